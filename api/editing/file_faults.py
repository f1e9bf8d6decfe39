"""Faults in files of records."""

from dataclasses import dataclass
from pathlib import Path


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
