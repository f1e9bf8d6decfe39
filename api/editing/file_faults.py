"""Faults in files of records."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Table(Protocol):
    """A table of records, whose places people know by rows and columns."""

    def at(self, line: int, member: str = "") -> str:
        """Return a place of it in words."""


# A file of records, or a table of one.
Source = Path | Table


def place(source: Source, line: int, member: str = "") -> str:
    """Return a place: file, line and member as compilers write them, or in words if it is in a table."""
    if not isinstance(source, Path):
        return source.at(line, member)
    return ":".join([str(source), *([str(line)] if line else []), *([f" {member}"] if member else [])])


@dataclass(frozen=True)
class FileFault:
    """A fault in a file: its line, 0 for the whole file, the field if it is in one, and a text that says how to correct it."""

    file: Source
    line: int
    field: str
    detail: str

    def __str__(self) -> str:
        """Return the fault as one line."""
        return f"{place(self.file, self.line, self.field)}: {self.detail}"


class FileError(Exception):
    """A fault after which a file cannot be read any further."""

    def __init__(self, file: Source, line: int, detail: str) -> None:
        """Keep the fault."""
        self.fault = FileFault(file, line, "", " ".join(detail.split()))
        super().__init__(str(self.fault))
