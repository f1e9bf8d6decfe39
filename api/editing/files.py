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
from api.errors import nearest
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION, Content
from api.schema.resource import Resource


@dataclass(frozen=True)
class FileRecord:
    """A record as a file has it, and the line on which it begins."""

    file: Path
    line: int
    content: Any


def noun_of(path: Path) -> Resource:
    """Return the noun of a file's records, by the file's name. Raises FileError."""
    if _suffix(path) not in FILE_FORMATS:
        raise FileError(path, 1, f"a file of records ends with {', '.join(f'.{name}' for name in FILE_FORMATS)}")
    if path.stem not in BY_NAME:
        near = nearest(path.stem, BY_NAME)
        hint = f"did you mean {near}{path.suffix}?" if near else f"the nouns are {', '.join(BY_NAME)}"
        raise FileError(path, 1, f"a file is named for its noun, and {path.stem!r} is not a noun; {hint}")
    return BY_NAME[path.stem]


def files_in(paths: Sequence[Path]) -> list[Path]:
    """Return these files, and the files of records in these folders."""
    files: list[Path] = []
    for path in paths:
        files += [file for file in sorted(path.iterdir()) if _suffix(file) in FILE_FORMATS] if path.is_dir() else [path]
    return files


def records_of(path: Path) -> Iterator[FileRecord]:
    """Yield the records of a file. Raises FileError."""
    line = 1
    try:
        for line, content in FILE_FORMATS[_suffix(path)].read(path, noun_of(path)):
            yield FileRecord(path, line, content)
    except UnicodeDecodeError:
        raise FileError(path, line, "the file is not in UTF-8") from None
    except OSError as error:
        raise FileError(path, line, f"the file can't be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(path, line, str(error)) from None


def write(path: Path, documents: Iterable[Content], resource: Resource) -> int:
    """Write published documents into a file; returns their number."""
    count = 0

    def contents() -> Iterator[Content]:
        nonlocal count
        for document in documents:
            count += 1
            yield sendable(resource, document) | {name: document[name] for name in PUBLICATION}

    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(FILE_FORMATS[_suffix(path)].write(contents(), resource))
    return count


def _suffix(path: Path) -> str:
    return path.suffix.removeprefix(".")
