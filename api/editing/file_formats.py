"""The formats of files of records: how YAML, JSON and NDJSON are read, record by record, and written; and cells of tables."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import yaml
from marshmallow import fields

from api.editing.file_faults import FileError
from api.editing.inputs import members
from api.editing.yaml_records import YamlRecords
from api.schema.canonical import Content
from api.schema.fields import Flag, Number, Object
from api.schema.formats import GUARDED, SEPARATOR
from api.schema.resource import Resource
from api.schema.strict_json import DECODER, load
from api.schema.validation import is_list

ENCODING = "utf-8-sig"
# Characters of a record, as many as a request's body may have, of an object with records in its `data`, and of one reading.
MAX_RECORD, MAX_ANSWER, WINDOW = 1_000_000, 20_000_000, 65_536
TOO_LONG = f"a record has at most {MAX_RECORD:,} characters"
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class FileFormat:
    """A row of the table of formats.

    ``read`` yields each record with the line on which it begins, and raises FileError, OSError or ValueError. ``write`` yields
    the text of a file. Both are None for a format of tables.
    """

    read: Callable[[Path, Resource], Iterator[tuple[int, Any]]] | None = None
    write: Callable[[Iterable[Content], Resource], Iterator[str]] | None = None


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of a file. Raises FileError for one that is too long."""
    number = 0
    while line := file.readline(MAX_RECORD + 1):
        number += 1
        if len(line) > MAX_RECORD:
            raise FileError(path, number, TOO_LONG)
        yield line


# --- YAML


def _read_yaml(path: Path, resource: Resource) -> Iterator[tuple[int, Any]]:
    known = members(resource.schema)
    with path.open(encoding=ENCODING) as file:
        yield from ((line, _with_texts(content, known)) for line, content in YamlRecords(path, file, MAX_RECORD))


def _with_texts(content: Any, known: Mapping[str, fields.Field[Any]]) -> Any:
    """Return an object whose numbers are texts where it needs texts: in YAML, a year looks like a number."""
    if not isinstance(content, dict):
        return content
    return {name: _as_text(value, known[name]) if name in known else value for name, value in content.items()}


def _as_text(value: Any, field: fields.Field[Any]) -> Any:
    if isinstance(value, list):
        inner = field.inner if isinstance(field, fields.List) else None
        if isinstance(inner, fields.Nested):
            return [_with_texts(item, inner.schema.fields) for item in value]
        return [_as_text(item, fields.String()) for item in value] if isinstance(field, fields.Pluck) else value
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return str(value) if is_number and isinstance(field, fields.String) else value


def _write_yaml(contents: Iterable[Content], _resource: Resource) -> Iterator[str]:
    empty = True
    for content in contents:
        yield "" if empty else "\n"
        yield yaml.dump([content], Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=110)
        empty = False
    if empty:
        yield "[]\n"


# --- JSON


class _JsonText:
    """A JSON file with only a window of it in memory, which begins at the next value and has at least that value."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path, self.file = path, file
        self.window, self.place, self.line = "", 0, 1

    def next(self) -> str:
        """Return the next character that is no space; empty at the end of the file."""
        while True:
            match = SPACE.match(self.window, self.place)
            self._move(match.end() if match else self.place)
            if self.place < len(self.window) or not self._read():
                return self.window[self.place : self.place + 1]

    def skip(self) -> None:
        """Go behind the next character."""
        self._move(self.place + 1)

    def value(self) -> Any:
        """Return the next value, and go behind it; the window grows until it has all of it."""
        while True:
            try:
                value, end = DECODER.raw_decode(self.window, self.place)
            except RecursionError:
                raise FileError(self.path, self.line, "it is nested too deeply") from None
            except json.JSONDecodeError as error:
                if len(self.window) - self.place > MAX_RECORD:
                    raise FileError(self.path, self.line, f"{TOO_LONG}, or this is not JSON: {error.msg}") from None
                line = self.line + self.window.count("\n", self.place, error.pos)
                if not self._read():
                    raise FileError(self.path, line, error.msg) from None
            except ValueError as error:
                raise FileError(self.path, self.line, str(error)) from None
            else:
                if end < len(self.window) or not self._read():
                    self._move(end)
                    return value

    def rest(self) -> str:
        """Return all that is left."""
        text = self.window[self.place :] + self.file.read(MAX_ANSWER + 1)
        if len(text) > MAX_ANSWER:
            raise FileError(
                self.path, self.line, f"an object has at most {MAX_ANSWER:,} characters: take the list in its `data`"
            )
        return text

    def _move(self, place: int) -> None:
        self.line += self.window.count("\n", self.place, place)
        self.place = place

    def _read(self) -> bool:
        """Read more, and forget what is behind; tells whether there was more."""
        more = self.file.read(WINDOW)
        self.window, self.place = self.window[self.place :] + more, 0
        return bool(more)


def _read_json(path: Path, _resource: Resource) -> Iterator[tuple[int, Any]]:
    """Read a list of records one by one, or the `data` of one of our responses."""
    with path.open(encoding=ENCODING) as file:
        text = _JsonText(path, file)
        if (first := text.next()) == "{":
            listed = load(text.rest(), exact=True).get("data")
            if isinstance(listed, list):
                yield from ((1, content) for content in listed)
                return
        if first != "[":
            raise FileError(path, 1, "a file of records is a list, or an object whose `data` is one")
        yield from _listed(text)
        if text.next():
            raise FileError(path, text.line, "the file goes on after the end of the list")


def _listed(text: _JsonText) -> Iterator[tuple[int, Any]]:
    """Yield the values of a list, each with its line."""
    text.skip()
    while (following := text.next()) != "]":
        line = text.line
        yield line, text.value()
        if (following := text.next()) == ",":
            text.skip()
        if (following == ",") == (text.next() == "]"):
            raise FileError(text.path, text.line, "the records of a list are separated by one comma each")
    text.skip()


def _write_json(contents: Iterable[Content], _resource: Resource) -> Iterator[str]:
    before = "[\n"
    for content in contents:
        yield before + json.dumps(content, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


# --- NDJSON


def _read_ndjson(path: Path, _resource: Resource) -> Iterator[tuple[int, Any]]:
    with path.open(encoding=ENCODING, newline="\n") as file:
        for number, line in enumerate(_lines(path, file), 1):
            if line.strip():
                try:
                    content = load(line, exact=True)
                except ValueError as error:
                    raise FileError(path, number, str(error)) from None
                yield number, content


def _write_ndjson(contents: Iterable[Content], _resource: Resource) -> Iterator[str]:
    return (json.dumps(content, ensure_ascii=False) + "\n" for content in contents)


# --- cells of tables


def value_of(cell: str, field: fields.Field[Any] | None) -> Any:
    """Read a cell, as `formats.cell` wrote it; a malformed value stays a text, which the field then refuses."""
    if cell == "":
        return [] if field is not None and is_list(field) else None
    text = unguarded(cell)
    if field is not None and is_list(field):
        if isinstance(field, fields.Pluck) or not text.startswith("["):
            return _items(text)
    elif not isinstance(field, Flag | fields.Integer | Number | Object | fields.Dict):
        return text
    try:
        return load(cell, exact=True)
    except ValueError:
        return text


def unguarded(cell: str) -> str:
    """Remove the apostrophe that keeps a spreadsheet from running a text as a formula."""
    return cell[1:] if cell.startswith("'") and GUARDED.match(cell) else cell


def _items(text: str) -> list[str]:
    if not text:
        return []
    items = re.findall(rf"(?:[^{SEPARATOR}\\]|\\.)+", text, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", item, flags=re.DOTALL) for item in items]


# Tables have no reader here: what their cells mean depends on other records.
FILE_FORMATS = {
    "yaml": FileFormat(_read_yaml, _write_yaml),
    "json": FileFormat(_read_json, _write_json),
    "ndjson": FileFormat(_read_ndjson, _write_ndjson),
    "csv": FileFormat(),
    "xlsx": FileFormat(),
    "ods": FileFormat(),
}
WRITTEN = tuple(name for name in FILE_FORMATS if name != "ods")
