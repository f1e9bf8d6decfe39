"""Backups of SQLite: copies of the file, made and put back by SQLite's own backup, while others read and write."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from api.db import failures
from api.db.backups import BackupError, Contents

# Pages that are copied between two looks at signals, such as Ctrl-C.
PAGES = 2_000
# Seconds between two attempts to get the write lock.
PAUSE = 0.05
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
TABLES = "select count(*) from sqlite_master where name in ('alembic_version', 'ledger_head', 'revision')"
HEAD = """
    select (select version_num from alembic_version), epoch, version, chain,
        version = 0 or chain = (select chain from revision where revision.version = ledger_head.version)
    from ledger_head
"""


def copy(source: sqlite3.Connection, path: Path) -> None:
    """Copy a database into a file. Raises `BackupError`.

    The source should be in a transaction: SQLite would begin again whenever somebody writes. Readers keep nobody from writing.
    """
    with failing_at(path), closing(sqlite3.connect(path)) as target:
        source.backup(target, pages=PAGES)
        # The copy is one file: it needs no write-ahead log.
        target.execute("pragma journal_mode = delete")


def opened(path: Path) -> sqlite3.Connection:
    """Open a backup to read it."""
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)


def read(path: Path) -> Contents:
    """Return what a backup says of itself, after SQLite has checked it. Raises `BackupError`."""
    try:
        with closing(opened(path)) as file:
            if file.execute(TABLES).fetchone() != (3,):
                raise BackupError(f"{path} is no backup of this service: it has no ledger.")
            faults = [fault for (fault,) in file.execute("pragma quick_check(1)")]
            revision, epoch, version, chain, is_committed = file.execute(HEAD).fetchone() or (None, 0, 0, b"", False)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname == "SQLITE_NOTADB":
            raise BackupError(f"{path} is no backup of this service: it is no SQLite database.") from None
        raise BackupError(f"{path} is damaged: {error}.") from None
    if faults != ["ok"]:
        raise BackupError(f"{path} is damaged: {' '.join(faults[0].split())}.")
    if not (revision and is_committed):
        raise BackupError(f"{path} is damaged: its head is at version {version}, which its ledger does not have.")
    return Contents(revision, epoch, version, bytes(chain))


def put_back(path: Path, live: sqlite3.Connection, patience: float) -> None:
    """Replace all that a database holds by a copy, in one transaction, while others read it. Raises `BackupError`.

    It is as it was before if that fails, also if another writer keeps the lock for more than ``patience`` seconds.
    """
    deadline = time.monotonic() + patience

    def give_up(status: int, *_: int) -> None:
        if status in BUSY and time.monotonic() > deadline:
            raise BackupError(failures.LOCKED)

    with failing_at(path), closing(sqlite3.connect(path)) as copy:
        copy.backup(live, pages=PAGES, progress=give_up, sleep=PAUSE)


@contextmanager
def failing_at(path: Path) -> Iterator[None]:
    """Raise a `BackupError` with a sentence if SQLite fails in the block, which writes a file."""
    try:
        yield
    except sqlite3.Error as error:
        code: Any = getattr(error, "sqlite_errorname", "")
        disk = f"The disk of {path.parent.resolve()}"
        known = {failures.FULL: f"{disk} is full.", failures.BROKEN: f"{disk} does not work, or lets no file become as large."}
        sentence = failures.sentence_of(code) or f"SQLite failed: {error}."
        raise BackupError(known.get(sentence, sentence)) from None
