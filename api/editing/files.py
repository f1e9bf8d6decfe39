"""Files of records, as `data export` writes them and `data import` reads them.

A file has the records of one noun and is named for it, such as `cities.yaml`. A record has the members that
can be sent, and those that the ledger adds: they tell an import which revision was exported.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.editing.file_faults import FileError
from api.editing.file_formats import FILE_FORMATS
from api.editing.inputs import sendable
from api.editing.sheets import tables
from api.editing.sheets.headers import parts_of
from api.editing.sheets.spool import Table
from api.errors import nearest
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION, Content
from api.schema.resource import Resource

# A file of records, or a table that was opened.
Source = Path | Table
ALIASES = {"yml": "yaml", "tsv": "csv", "txt": "csv"}


@dataclass(frozen=True)
class FileRecord:
    """A record as a file has it, and the line or the row on which it begins."""

    file: Source
    line: int
    content: Any


def noun_of(source: Source) -> Resource:
    """Return the noun of a file's records, by the file's name. Raises FileError."""
    if isinstance(source, Table):
        return source.kind.noun
    if suffix_of(source) not in FILE_FORMATS:
        raise FileError(source, 1, f"a file of records ends with {', '.join(f'.{name}' for name in FILE_FORMATS)}")
    if source.stem not in BY_NAME:
        near = nearest(source.stem, BY_NAME)
        hint = f"did you mean {near}{source.suffix}?" if near else f"the nouns are {', '.join(BY_NAME)}"
        hint += "; or name its noun with `--noun`" if is_table(source) else ""
        raise FileError(
            source, 0 if is_table(source) else 1, f"a file is named for its noun, and {source.stem!r} is not a noun; {hint}"
        )
    return BY_NAME[source.stem]


def files_in(paths: Sequence[Source]) -> list[Source]:
    """Return these sources, with the files of records in folders instead of the folders."""
    sources: list[Source] = []
    for path in paths:
        if isinstance(path, Path) and path.is_dir():
            sources += [file for file in sorted(path.iterdir()) if suffix_of(file) in FILE_FORMATS]
        else:
            sources.append(path)
    return sources


def is_table(path: Path) -> bool:
    """Tell whether a file has tables, which `sources` reads."""
    form = FILE_FORMATS.get(suffix_of(path))
    return form is not None and form.read is None


def records_of(source: Source) -> Iterator[FileRecord]:
    """Yield the records of a file, or of a table that was opened. Raises FileError."""
    if isinstance(source, Table):
        yield from (FileRecord(source, line, content) for line, content in source.records())
        return
    line, read = 1, FILE_FORMATS[suffix_of(source)].read
    assert read is not None
    try:
        for line, content in read(source, noun_of(source)):
            yield FileRecord(source, line, content)
    except UnicodeDecodeError:
        raise FileError(source, line, "the file is not in UTF-8") from None
    except OSError as error:
        raise FileError(source, line, f"the file can't be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(source, line, str(error)) from None


def names_of(resource: Resource, form: str) -> list[str]:
    """Return the names of the files that an export of a noun writes: in CSV, lists of objects have files of their own."""
    parts = [f"{resource.name}.{part}.csv" for part in parts_of(resource)] if form == "csv" else []
    return [f"{resource.name}.{form}", *parts]


def write(paths: Sequence[Path], documents: Iterable[Content], resource: Resource) -> int:
    """Write published documents into the files of an export; returns their number."""
    count = 0

    def contents() -> Iterator[Content]:
        nonlocal count
        for document in documents:
            count += 1
            yield sendable(resource, document) | {name: document[name] for name in PUBLICATION}

    text = FILE_FORMATS[suffix_of(paths[0])].write
    if text is None:
        tables.write(paths, contents(), resource)
    else:
        with paths[0].open("w", encoding="utf-8", newline="") as file:
            file.writelines(text(contents(), resource))
    return count


def suffix_of(path: Path) -> str:
    """Return the format that the end of a file's name says, in lower case."""
    return ALIASES.get(suffix := path.suffix.removeprefix(".").lower(), suffix)
