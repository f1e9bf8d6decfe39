"""Remembers outside of the database the highest version that was published, so that a restored database is noticed.

A restored file, data folder or dump cannot know what was published after it was made. So before the first answer that shows a
version, it is written to a small file: by the process that committed it, or by one that reads it first.
"""

import fcntl
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from api.settings import Settings, SettingsError

LINE = re.compile(rb"([0-9]{16}) ([0-9a-f]{64})\n")
# Seconds between two syncs: after a loss of power, only a backup that is younger than this would not be noticed.
SYNC = 1.0


class Published(NamedTuple):
    """A version, and the chain's hash there."""

    version: int
    chain: bytes


NOTHING = Published(0, bytes(32))
logger = logging.getLogger(__name__)


class Memory:
    """The highest version of one database that was published.

    The file has one line of fixed length, which is overwritten under a lock: any number of processes can share it.
    """

    def __init__(self, path: Path | None) -> None:
        """Remember in a file; without one, this process alone remembers."""
        self.path = path
        self.highest = NOTHING
        self.synced = -SYNC

    def read(self) -> Published:
        """Return the highest version that any process has published. Raises OSError."""
        if self.path:
            try:
                file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    self.highest = max(self.highest, _read(file))
                finally:
                    os.close(file)
            except FileNotFoundError:
                pass
        return self.highest

    def keep(self, published: Published, *, follows: Callable[[Published], bool] = lambda _: True) -> None:
        """Remember a version, unless a higher one is known, or it does not follow what is known."""
        if published.version <= self.highest.version:
            return
        try:
            self.highest = self._raised(published, follows)
        except OSError as error:
            logger.warning("The highest version that was published cannot be remembered: %s", error.strerror)
            self.highest = published

    def _raised(self, published: Published, follows: Callable[[Published], bool]) -> Published:
        if self.path is None:
            return published if follows(self.highest) else self.highest
        with _locked(self.path) as file:
            known = _read(file)
            if published.version <= known.version or not follows(known):
                return known
            os.pwrite(file, b"%016d %s\n" % (published.version, published.chain.hex().encode()), 0)
            if time.monotonic() >= self.synced + SYNC:
                os.fdatasync(file)
                self.synced = time.monotonic()
            return published


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file for this process alone; one that does not exist is made, for its owner's eyes only."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _read(file: int) -> Published:
    match = LINE.fullmatch(os.pread(file, 100, 0))
    return Published(int(match[1]), bytes.fromhex(match[2].decode())) if match else NOTHING


def memory_of(settings: Settings) -> Memory:
    """Return the memory of a database: in `STATE_DIR`, else next to a SQLite file. Raises `SettingsError`."""
    url = settings.sqlalchemy_url
    if settings.state_dir:
        folder = Path(settings.state_dir).resolve()
        if not (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
            raise SettingsError("STATE_DIR names no folder that this user may write to")
        is_file = url.drivername == "sqlite"
        name = str(Path(url.database or "").resolve()) if is_file else url.set(username=None, password=None).render_as_string()
        return Memory(folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.published")
    if url.drivername == "sqlite":
        path = Path(url.database or "").resolve()
        return Memory(path.with_name(f"{path.name}.published"))
    return Memory(None)
