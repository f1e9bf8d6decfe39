"""The formats of a list: a table of them, and how documents are written in each."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

from api.schema.canonical import canonical

CHUNK = 65_536
QUOTE, SEPARATORS = '"', re.compile(r'[",;\t\r\n]')
SEPARATOR = "|"
# Texts that get an apostrophe in front as a guard: formulas, which a spreadsheet would run; the empty text, which would be
# read as null; and texts that already look guarded, because one of these follows their apostrophes.
GUARDED = re.compile(r"'*([=+\-@\t\r\n＝＋－＠]|\Z)")  # noqa: RUF001 - spreadsheets take the full-width ones too


@dataclass(frozen=True)
class Format:
    """A row of the table: the suffix, the media type, and a description of the whole list.

    ``write`` yields the text of a stream of documents, given their members and whether these are only some of them; it is None
    for the format that has pages.
    """

    name: str
    media_type: str
    description: str
    write: Callable[[Iterable[str], Sequence[str], bool], Iterator[str]] | None = None

    @property
    def content_type(self) -> str:
        """The media type with its parameters, for a header."""
        return f"{self.media_type}; charset=utf-8" if self.media_type.startswith("text/") else self.media_type


def select(document: str, members: Sequence[str]) -> str:
    """Return a document with only these members, in canonical form."""
    content = json.loads(document)
    return canonical({name: content[name] for name in members}).decode()


def _ndjson(documents: Iterable[str], members: Sequence[str], some: bool) -> Iterator[str]:  # noqa: FBT001 - the signature of the table
    """Write one document on each line; it is the stored text unless only ``some`` of its members are selected."""
    for document in documents:
        yield (select(document, members) if some else document) + "\n"


def _csv(documents: Iterable[str], members: Sequence[str], some: bool) -> Iterator[str]:  # noqa: ARG001, FBT001 - the signature of the table
    """Write CSV by RFC 4180: a header, one row for each document, lines that end in CR LF, and quotes where needed."""
    yield row(members)
    for document in documents:
        content = json.loads(document)
        yield row(content[name] for name in members)


def table(name: str, columns: Sequence[str]) -> Format:
    """Return a format with a row of CSV for each object of a list; the first column is the id of its record."""

    def write(documents: Iterable[str], members: Sequence[str], some: bool) -> Iterator[str]:  # noqa: ARG001, FBT001 - the signature of the table
        yield row(["id", *columns])
        for document in documents:
            content = json.loads(document)
            yield from (row([content["id"], *(item[column] for column in columns)]) for item in content[name])

    return Format(f"{name}.csv", "text/csv", f"A row for each of the `{name}`.", write)


def row(values: Iterable[Any]) -> str:
    """Return values as a line of CSV."""
    # Readers skip a line without a character; one with an empty cell in quotes is a row.
    return (",".join([_quoted(cell(value)) for value in values]) or '""') + "\r\n"


def _quoted(cell: str) -> str:
    """Return a cell in quotes if it has a separator, also of spreadsheets elsewhere, which would begin a new cell at it."""
    return f'"{cell.replace(QUOTE, QUOTE * 2)}"' if SEPARATORS.search(cell) else cell


def cell(value: Any) -> str:
    r"""Return one value as the text of a cell.

    Null and an empty list are empty; true, false and numbers are as in JSON; the values of a list are joined by ``|``, which is
    ``\|`` within a value (a backslash is ``\\``); a list of objects is JSON. An apostrophe guards each text that matches
    `GUARDED`. A reader who removes one apostrophe from a cell that still matches gets the text back.
    """
    if value is None or value == []:
        return ""
    if isinstance(value, str):
        return f"'{value}" if GUARDED.match(value) else value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return cell(SEPARATOR.join(re.sub(r"([|\\])", r"\\\1", item) for item in value))
    return rfc8785.dumps(value).decode() if isinstance(value, list | dict) else json.dumps(value)


FORMATS = {
    row.name: row
    for row in (
        Format("json", "application/json", "One page at a time, in an envelope with `page`, `links`, `included` and `facets`."),
        Format(
            "csv",
            "text/csv",
            (
                "The whole list, streamed: RFC 4180 in UTF-8 with a header. Null and an empty list are empty cells. Ids of a "
                f"list are joined by `{SEPARATOR}`; a list of objects is JSON. A text that begins like a formula (with `=`, "
                "`+`, `-`, `@`, a tab or a line break), or is empty, has an apostrophe in front."
            ),
            _csv,
        ),
        Format("ndjson", "application/x-ndjson", "The whole list, streamed: one document on each line.", _ndjson),
        Format("html", "text/html", "A page for people, in a browser: one page at a time, with names instead of ids."),
    )
}
BY_MEDIA_TYPE = {row.media_type: row for row in FORMATS.values()}


def chunks(lines: Iterable[str]) -> Iterator[bytes]:
    """Join lines into pieces of at least `CHUNK` characters, and encode them."""
    pending: list[str] = []
    length = 0
    for line in lines:
        pending.append(line)
        length += len(line)
        if length >= CHUNK:
            yield "".join(pending).encode()
            pending, length = [], 0
    if pending:
        yield "".join(pending).encode()
