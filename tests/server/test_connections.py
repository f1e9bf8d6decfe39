"""The watch over connections looks at every descriptor of the process, and changes nothing about those of files."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import event

from api.db.engines import engine_for
from api.server.connections import Connections
from api.settings import Settings

# Exits with 1 if another process holds the lock.
TRY = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(1)
"""


def is_locked(path: Path) -> bool:
    """Return whether another process finds the file locked by this one."""
    return bool(subprocess.run([sys.executable, "-c", TRY, path], check=False).returncode)


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A file on which this process has a lock like SQLite's."""
    path = tmp_path / "locked.sqlite3"
    # Closing the file would end the lock, so the process keeps it.
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    return path


def test_locks_survive_a_look(locked: Path) -> None:
    """A look at the connections keeps this process's locks; the control, closing a duplicate of a descriptor, drops them."""
    connections = Connections(Settings(), lambda _: False)
    connections.look(time.monotonic())
    assert is_locked(locked)
    for link in [link for link in Path("/dev/fd").iterdir() if link.resolve() == locked]:
        os.close(os.dup(int(link.name)))
    assert not is_locked(locked)


def test_locks_survive_another_connection(locked: Path) -> None:
    """A file that exists is not opened and closed before SQLite opens it, even if a missing one would be made."""
    states: list[bool] = []
    engine = engine_for(Settings(database_url=f"sqlite:///{locked}"), create=True)
    # SQLite itself drops the locks of the process, so look before it opens the file.
    event.listen(engine, "do_connect", lambda *_: states.append(is_locked(locked)))
    with engine.connect():
        assert states == [True]
    engine.dispose()
