"""Backups: files with all that a database holds, made while servers go on, and put back while they go on."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class BackupError(Exception):
    """A backup cannot be made or put back; the message says why, for an operator."""


class Contents(NamedTuple):
    """What a backup says of itself: its alembic revision, and the last version of its ledger with its epoch and chain hash."""

    revision: str
    epoch: int
    version: int
    chain: bytes


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a file for its owner's eyes only, which gets its name after the block, when it is whole and on the disk.

    Raises `BackupError` if there is a file of that name, unless it is to be replaced, and OSError.
    """
    if path.exists() and not force:
        raise BackupError(f"{path} exists already: choose another name, or add --force.")
    with sibling_of(path) as (part, number):
        yield part
        os.fsync(number)
        part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def sibling_of(path: Path) -> Iterator[tuple[Path, int]]:
    """Yield a new, empty file in the same folder, with its descriptor; it is deleted in the end, unless it was renamed."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        yield Path(name), number
    finally:
        os.close(number)
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{name}{end}").unlink(missing_ok=True)
