"""``citations``: check the citations of a source against its text."""

from pathlib import Path

import click
from flask.cli import AppGroup
from sqlalchemy import select

from api.cli.common import open_database, report_differences
from api.ledger.dangling import dangling
from api.resources.citations import Citation
from api.resources.sources import Source
from api.schema import fingerprints

citation_commands = AppGroup("citations", help="Check citations against the text of their source.")


@citation_commands.command()
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(source: str, file: Path) -> None:
    """Check every citation of a source against its text.

    SOURCE is the id of the source. FILE is its text in UTF-8, one paragraph on each line; empty lines do not count. The
    command prints each citation that does not match the text, or points to nothing in its record. It exits with status 1 if
    there is any.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not UTF-8 text") from None
    with open_database() as database, database.reading() as session:
        record = session.get(Source, source)
        if record is None:
            known = ", ".join(session.scalars(select(Source.id).order_by(Source.id)))
            raise click.ClickException(f"there is no source {source!r}; the sources are: {known}")
        citations = session.scalars(select(Citation).where(Citation.source_id == source).order_by(Citation.id)).all()
        pointless = [fault for _, fault in dangling(session, Citation.source_id == source)]
    rows = [{column.key: getattr(citation, column.key) for column in Citation.__table__.c} for citation in citations]
    differences = [*fingerprints.check(text, rows), *pointless]
    if fingerprints.text_sha256(text) != record.text_sha256:
        differences.append("the text has another fingerprint than the source")
    report_differences(differences)
    click.echo(f"Citations that match the text: {len(rows)}.")
