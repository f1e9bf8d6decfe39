"""The formats of files of records: how YAML, JSON, NDJSON and CSV are read, record by record, and written."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from marshmallow import fields

from api.editing.inputs import members
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import Flag, Number
from api.schema.formats import FORMATS, GUARDED, SEPARATOR
from api.schema.resource import Resource
from api.schema.strict_json import DECODER, load
from api.schema.validation import is_list

ENCODING = "utf-8-sig"
SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class FileFault:
    """A fault in a file: its line, the field if it is in one, and a text that says how to correct it."""

    file: Path
    line: int
    field: str
    detail: str

    def __str__(self) -> str:
        """Return the fault as one line, in the form that compilers use."""
        return f"{self.file}:{self.line}: {f'{self.field}: ' if self.field else ''}{self.detail}"


class FileError(Exception):
    """A fault after which a file cannot be read any further."""

    def __init__(self, file: Path, line: int, detail: str) -> None:
        """Keep the fault."""
        self.fault = FileFault(file, line, "", " ".join(detail.split()))
        super().__init__(str(self.fault))


@dataclass(frozen=True)
class FileFormat:
    """A row of the table of formats.

    ``read`` yields each record with the line on which it begins, and raises FileError, OSError or ValueError. ``write`` yields
    the text of a file.
    """

    read: Callable[[Path, Resource], Iterator[tuple[int, Any]]]
    write: Callable[[Iterable[Content], Resource], Iterator[str]]


# --- YAML


class _Loader(yaml.CSafeLoader):
    """Reads numbers, true, false and null as JSON does; YAML 1.1 would read `NO` as false, and `2024-07-31` as a date."""


# Each pattern is narrower than YAML 1.1's, so that a text that YAML writes without quotes is read as the same text.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("bool", r"^(?:true|false)$", ["t", "f"]),
    ("int", r"^-?(?:0|[1-9][0-9]*)$", list("-0123456789")),
    ("float", r"^-?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?$", list("-0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _read_yaml(path: Path, _resource: Resource) -> Iterator[tuple[int, Any]]:
    with path.open(encoding=ENCODING) as file:
        loader = _Loader(file)
        try:
            node = loader.get_single_node()
            if node is None:
                return
            if not isinstance(node, yaml.SequenceNode):
                raise FileError(path, node.start_mark.line + 1, "a file of records is a list")
            for item in node.value:
                _refuse_duplicates(path, item)
                yield item.start_mark.line + 1, loader.construct_document(item)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise FileError(path, mark.line + 1 if mark else 1, str(error.problem or error.context)) from None
        except yaml.YAMLError as error:
            raise FileError(path, 1, str(error)) from None


def _refuse_duplicates(path: Path, node: yaml.Node) -> None:
    """Raise FileError for a key that occurs twice, because YAML would keep only the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise FileError(path, key.start_mark.line + 1, f"the key {key.value!r} occurs twice")
            seen.add(key.value)
            _refuse_duplicates(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(path, value)


def _write_yaml(contents: Iterable[Content], _resource: Resource) -> Iterator[str]:
    empty = True
    for content in contents:
        yield "" if empty else "\n"
        yield yaml.dump([content], Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=110)
        empty = False
    if empty:
        yield "[]\n"


# --- JSON


def _read_json(path: Path, _resource: Resource) -> Iterator[tuple[int, Any]]:
    """Read a list of records one by one, or the `data` of one of our responses."""
    text = path.read_text(encoding=ENCODING)
    place = _after_space(text, 0)
    if text.startswith("{", place):
        listed = load(text, exact=True).get("data")
        if isinstance(listed, list):
            yield from ((1, content) for content in listed)
            return
    if not text.startswith("[", place):
        raise FileError(path, 1, "a file of records is a list, or an object whose `data` is one")
    line, counted, place = 1, 0, _after_space(text, place + 1)
    while not text.startswith("]", place):
        line, counted = line + text.count("\n", counted, place), place
        content, place = _decoded(path, text, place, line)
        yield line, content
        place = _after_space(text, place)
        if text.startswith(",", place):
            place = _after_space(text, place + 1)
            if not text.startswith("]", place):
                continue
        elif text.startswith("]", place):
            break
        raise FileError(path, line + text.count("\n", counted, place), "the records of a list are separated by one comma each")
    if text[place + 1 :].strip():
        raise FileError(path, line, "the file goes on after the end of the list")


def _decoded(path: Path, text: str, place: int, line: int) -> tuple[Any, int]:
    """Return the JSON value at a place, and the place after it."""
    try:
        return DECODER.raw_decode(text, place)
    except RecursionError:
        raise FileError(path, line, "it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise FileError(path, error.lineno, error.msg) from None


def _after_space(text: str, place: int) -> int:
    match = SPACE.match(text, place)
    return match.end() if match else place


def _write_json(contents: Iterable[Content], _resource: Resource) -> Iterator[str]:
    before = "[\n"
    for content in contents:
        yield before + json.dumps(content, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


# --- NDJSON


def _read_ndjson(path: Path, _resource: Resource) -> Iterator[tuple[int, Any]]:
    with path.open(encoding=ENCODING, newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    content = load(line, exact=True)
                except ValueError as error:
                    raise FileError(path, number, str(error)) from None
                yield number, content


def _write_ndjson(contents: Iterable[Content], _resource: Resource) -> Iterator[str]:
    return (json.dumps(content, ensure_ascii=False) + "\n" for content in contents)


# --- CSV


def _read_csv(path: Path, resource: Resource) -> Iterator[tuple[int, Any]]:
    """Read what `formats.cell` wrote; the column decides the type of a cell."""
    known = {**resource.schema().fields, **members(resource.schema)}
    with path.open(encoding=ENCODING, newline="") as file:
        rows = _rows(path, csv.reader(file, strict=True))
        _, header = next(rows, (1, []))
        if len(set(header)) < len(header):
            raise FileError(path, 1, "a column occurs twice")
        for line, row in rows:
            if len(row) != len(header):
                raise FileError(path, line, f"the header has {len(header)} cells, and this row {len(row)}")
            yield line, {name: value_of(cell, known.get(name)) for name, cell in zip(header, row, strict=True)}


def _rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line on which it begins."""
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileError(path, line, str(error)) from None


def value_of(cell: str, field: fields.Field[Any] | None) -> Any:
    """Read a cell, as `formats.cell` wrote it; a malformed value stays a text, which the field then refuses."""
    if cell == "":
        return [] if field is not None and is_list(field) else None
    text = unguarded(cell)
    if field is not None and is_list(field):
        if isinstance(field, fields.Pluck) or not text.startswith("["):
            return _items(text)
    elif not isinstance(field, Flag | fields.Integer | Number):
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


def _write_csv(contents: Iterable[Content], resource: Resource) -> Iterator[str]:
    text = FORMATS["csv"].write
    assert text is not None
    return text((json.dumps(content) for content in contents), [*members(resource.schema), *PUBLICATION], False)  # noqa: FBT003 - the signature of the table of formats


FILE_FORMATS = {
    "yaml": FileFormat(_read_yaml, _write_yaml),
    "json": FileFormat(_read_json, _write_json),
    "ndjson": FileFormat(_read_ndjson, _write_ndjson),
    "csv": FileFormat(_read_csv, _write_csv),
}
