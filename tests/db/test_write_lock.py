"""Writers that wait for SQLite's write lock, and for PostgreSQL's lock of the ledger's head."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from api.db import failures
from api.db.database import Database
from api.ledger import publish
from tests.support.databases import ON_SQLITE, opened

# Holds the locks of a recovery on the log's index, whose header it makes invalid, until its input ends.
# The locks begin at byte 120, by sqlite.org/walformat.html.
RECOVERING = """
import fcntl, os, sys
index = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(index, fcntl.LOCK_EX, 3, 120)
os.pwrite(index, bytes(96), 0)
print("held", flush=True)
sys.stdin.read()
"""
ADDED = text("update cities set summary = coalesce(summary, '') || '+' where id = 'boston-ma'")


def write(database: Database) -> None:
    """Write as a request does, under the ledger's lock."""
    with database.writing() as session:
        publish.wait(session)
        session.execute(ADDED)


@pytest.mark.parametrize("is_same_process", [True, False])
def test_a_writer_gives_up(database: Database, *, is_same_process: bool) -> None:
    """A write that waits longer than LOCK_TIMEOUT for one of the same process, or of another, is told why."""
    with opened(replace(database.settings, lock_timeout=1)) as hasty, holding(hasty if is_same_process else database):
        with pytest.raises(OperationalError) as caught:
            write(hasty)
        assert failures.reason(caught.value) == failures.LOCKED
    write(database)


@pytest.mark.parametrize("is_same_process", [True, False])
def test_a_writer_goes_on(database: Database, *, is_same_process: bool) -> None:
    """A write that waits for another is carried out after it."""
    with opened(database.settings) as other:
        with holding(other if is_same_process else database):
            waiting = threading.Thread(target=write, args=(other,))
            waiting.start()
        waiting.join()
    with database.reading() as session:
        assert str(session.scalar(text("select summary from cities where id = 'boston-ma'"))).endswith("+")


@ON_SQLITE
def test_a_writer_waits_for_a_recovery(database: Database) -> None:
    """While another process recovers the log, as after a crash, a write waits as long as for a writer."""
    with opened(replace(database.settings, lock_timeout=1)) as hasty:
        write(hasty)
        holder = [sys.executable, "-c", RECOVERING, f"{hasty.path}-shm"]
        with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            since = time.monotonic()
            with pytest.raises(OperationalError) as caught:
                write(hasty)
            assert time.monotonic() - since >= 1
            assert failures.reason(caught.value) == failures.LOCKED
            process.stdin.close()
        write(hasty)


@contextmanager
def holding(database: Database) -> Iterator[None]:
    """Hold the lock in the block, in another thread."""
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with database.writing() as session:
            publish.wait(session)
            held.set()
            released.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        yield
    finally:
        released.set()
        thread.join()
