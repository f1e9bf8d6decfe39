"""``citations``: check the facts against their sources."""

from pathlib import Path

import click
from flask.cli import AppGroup
from sqlalchemy import select

from api.cli.common import ready, report
from api.resources.citations import Citation
from api.resources.sources import Source
from api.schema import fingerprints

citation_commands = AppGroup("citations", help="Check the facts against their sources.")


@citation_commands.command()
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(source: str, file: Path) -> None:
    """Check every citation of SOURCE (its id) against FILE, the source's text in UTF-8, a paragraph a line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not a text in UTF-8") from None
    with ready() as database, database.reading() as session:
        found = session.get(Source, source)
        if found is None:
            known = ", ".join(session.scalars(select(Source.id).order_by(Source.id)))
            raise click.ClickException(f"there is no source {source!r}; there are: {known}")
        rows = session.scalars(select(Citation).where(Citation.source_id == source).order_by(Citation.id)).all()
    complaints = fingerprints.check(
        text, [{column.key: getattr(row, column.key) for column in Citation.__table__.c} for row in rows]
    )
    if fingerprints.text_sha256(text) != found.text_sha256:
        complaints.append("the text as a whole is not the source's")
    report(complaints)
    click.echo(f"Citations that agree with the text: {len(rows)}.")
