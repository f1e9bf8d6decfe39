"""``citations``: check the citations of a source against its text, and find the places of its sentences."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.cli.common import open_database, require_slug
from api.ledger.factcheck import SECTIONS, Section, findings
from api.resources.sources import Source
from api.schema import fingerprints

citation_commands = AppGroup("citations", help="Check citations against the text of their source.")


FILE = click.Path(exists=True, dir_okay=False)


class TextFile(click.ParamType[str]):
    """A file in UTF-8, converted to its text."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, with the line ends that the file has. Raises `click.ClickException` for another encoding."""
        file = Path(str(FILE.convert(value, param, ctx)))
        try:
            return file.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise click.ClickException(f"{file} is not UTF-8 text") from None


@contextmanager
def _reading() -> Iterator[Session]:
    with open_database() as database, database.reading() as session:
        yield session


@citation_commands.command()
@click.argument("source")
@click.argument("text", metavar="FILE", type=TextFile())
@click.option("--names", type=TextFile(), help="Proper names that our texts may share with it, one on each line.")
def check(source: str, text: str, names: str | None) -> None:
    """Check a source's citations, and our own words, against its text.

    SOURCE is the id of the source. FILE is its text in UTF-8, one paragraph on each line; empty lines do not count. For a data
    set, it is a JSON object of records by id, or CSV with a header and the ids in its first column. The
    command exits with status 1 if a citation does not match the text or supports nothing, if a fact has no citation, or if a
    text of ours shares eight words in a row with the source. It also lists shared sequences of six and seven words, and
    sentences that no citation uses.
    """
    found: dict[Section, list[str]] = {section: [] for section in SECTIONS}
    with _reading() as session:
        record = session.get(Source, source)
        if record is None:
            known = ", ".join(session.scalars(select(Source.id).order_by(Source.id)))
            raise click.ClickException(f"there is no source {source!r}; the sources are: {known}")
        try:
            for section, line in findings(session, record, text, (names or "").splitlines()):
                found[section].append(line)
        except ValueError as error:
            raise click.ClickException(f"the data set cannot be read: {error}") from None
    for section, lines in found.items():
        click.echo(f"{section.title}: {len(lines)}.")
        for line in lines:
            click.echo(f"  {line}")
    if faults := sum(len(lines) for section, lines in found.items() if section.is_fault):
        raise click.ClickException(f"faults: {faults}")


def _write_text(document: Mapping[str, Any]) -> None:
    for row in document["sentences"]:
        place = f"{row['paragraph']}.{row['sentence']}"
        click.echo(f"{place:<6}  {row['sentence_sha256']}  {row['first_words']}")


def _write_json(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _write_csv(document: Mapping[str, Any]) -> None:
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(document["sentences"])


# Members of a citation, and the first words.
COLUMNS = ("source", "paragraph", "sentence", "sentence_sha256", "first_words")
OUTPUTS = {"text": _write_text, "json": _write_json, "csv": _write_csv}


@citation_commands.command()
@click.argument("source", callback=require_slug)
@click.argument("text", metavar="FILE", type=TextFile())
@click.option(
    "--format", "output", type=click.Choice(list(OUTPUTS)), default="text", help="Form of the output.  [default: text]"
)
def locate(source: str, text: str, output: str) -> None:
    """Print each sentence of FILE: its place (paragraph and number), its fingerprint and its first words.

    SOURCE is the id of the source, which need not exist yet. FILE is its text in UTF-8, one paragraph on each line. The command
    warns on standard error if FILE is not the text of the source.
    """
    sha256 = fingerprints.text_sha256(text)
    with _reading() as session:
        record = session.get(Source, source)
    if record is None:
        click.echo(f"There is no source {source!r} yet. Its `text_sha256` is {sha256}.", err=True)
    elif record.text_sha256 != sha256:
        click.echo(f"Warning: this is not the text of {source!r}: its `text_sha256` is {sha256}.", err=True)
    rows = [
        dict(zip(COLUMNS, (source, row.paragraph, row.number, row.sha256, row.first_words), strict=True))
        for row in fingerprints.located(text)
    ]
    OUTPUTS[output]({"sentence_rule": fingerprints.SENTENCE_RULE, "text_sha256": sha256, "sentences": rows})
