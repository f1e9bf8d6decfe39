"""The options of commands that read tables, and the report of what was read."""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from api.db.database import Database
from api.editing import sources
from api.editing.file_formats import FILE_FORMATS
from api.editing.sheets.headers import kind_of, kinds
from api.editing.sheets.reading import Options
from api.editing.sources import STANDARD_INPUT, Sources

# More lines than this about what was read as what would not be read.
MAX_NOTES = 500


class Pair(click.ParamType[tuple[str, str]]):
    """A name and what it stands for, such as ``City=name``."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return both. Fails for a text without an equals sign."""
        name, sign, meaning = str(value).rpartition("=")
        if not sign or not name.strip():
            self.fail(f"{value!r} is not of the form {self.name}", param, ctx)
        return name.strip(), meaning.strip()


OPTIONS = (
    click.option(
        "--columns",
        multiple=True,
        type=Pair(),
        metavar="COLUMN=MEMBER",
        help="Member that a column of a table is; nothing leaves the column out. Repeatable.",
    ),
    click.option(
        "--columns-file",
        type=click.File(encoding="utf-8"),
        help="File with such a pair on each line.",
    ),
    click.option("--set", "constants", multiple=True, type=Pair(), metavar="MEMBER=VALUE", help="Value for rows without one."),
    click.option("--fill-down", multiple=True, metavar="COLUMN", help="Fill blank cells of a column from above. Repeatable."),
    click.option(
        "--noun",
        type=click.Choice([str(kind) for kind in dict.fromkeys(kinds().values())]),
        help="Noun of tables whose name is none, and of standard input.",
    ),
    click.option("--sheet", "sheets", multiple=True, metavar="NAME", help="Only sheet of workbooks to read. Repeatable."),
    click.option("--format", "form", type=click.Choice(list(FILE_FORMATS)), help="Format of standard input."),
    click.option("--encoding", help="Encoding of text with separators.  [default: detected]"),
)


def reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which takes them as one argument, ``options``."""

    @functools.wraps(command)
    def with_options(  # noqa: PLR0913 - the options
        *arguments: Any,
        columns: Sequence[tuple[str, str]],
        columns_file: Any,
        constants: Sequence[tuple[str, str]],
        fill_down: Sequence[str],
        noun: str | None,
        sheets: Sequence[str],
        form: str | None,
        encoding: str | None,
        **others: Any,
    ) -> None:
        lines = [line.strip() for line in columns_file or ()]
        pairs = [Pair().convert(line, None, None) for line in lines if line and not line.startswith("#")]
        options = Options(
            columns=dict([*pairs, *columns]),
            constants=dict(constants),
            fill_down=fill_down,
            kind=kind_of(noun) if noun else None,
            sheets=sheets,
            form=form,
            encoding=encoding,
        )
        command(*arguments, options=options, **others)

    for option in reversed(OPTIONS):
        with_options = option(with_options)
    return with_options


@contextmanager
def opened_sources(database: Database, paths: Sequence[Path], options: Options) -> Iterator[Sources]:
    """Yield the sources at some paths, and print what was detected, what was read as what, and what was not taken."""
    if STANDARD_INPUT in paths and not (options.kind and options.form):
        raise click.UsageError("Name what standard input has with --noun and --format.")
    try:
        "".encode(options.encoding or "utf-8")
    except LookupError:
        raise click.BadParameter(f"{options.encoding!r} is not an encoding") from None
    with sources.opened(database, paths, options, sys.stdin.buffer) as opened:
        if opened.mistakes:
            raise click.UsageError("; ".join(opened.mistakes))
        for note in opened.notes[:MAX_NOTES]:
            click.echo(note)
        if (more := len(opened.notes) - MAX_NOTES) > 0:
            click.echo(f"There are {more} more cells that were read as something else.")
        for name in opened.untaken:
            click.echo(f"Not taken: {name}")
        yield opened
