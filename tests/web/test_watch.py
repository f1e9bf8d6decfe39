"""The watch has the state of a SQLite file at every look, whatever happened to the file since the one before."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from api.db import wal
from api.db.database import Database
from api.web.watch import CURRENT_STATE, SqliteWatch, WatchedState
from tests.support.databases import ON_SQLITE, publishing

pytestmark = ON_SQLITE

# Changes a record in a process of its own, and publishes nothing.
WRITE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("update cities set summary = 'Unpublished.' where id = 'boston-ma'")
connection.close()
"""


def publish(database: Database) -> None:
    """Change a record and publish it."""
    with publishing(database) as session:
        session.execute(text("update cities set summary = coalesce(summary, '') || '.' where id = 'boston-ma'"))


def publish_alone(database: Database) -> None:
    """Publish when no connection of the pool is open, and close that of the writer."""
    database.engine.dispose()
    publish(database)
    database.engine.dispose()


def publish_after_emptying(database: Database) -> None:
    """Publish when the log has just been emptied."""
    database.wal.empty()
    publish(database)


def write_elsewhere(database: Database) -> None:
    """Change a record in another process."""
    subprocess.run([sys.executable, "-c", WRITE, database.path], check=True)


def copy_over(database: Database) -> None:
    """Restore what the file had before a commit, as `restore` does."""
    with closing(sqlite3.connect(database.path)) as file, closing(sqlite3.connect(":memory:")) as copy:
        file.backup(copy)
        publish(database)
        copy.backup(file)


def replace_file(database: Database) -> None:
    """Move another file to the place of this one."""
    database.engine.dispose()
    path = Path(database.path)
    with closing(sqlite3.connect(path)) as file, closing(sqlite3.connect(path.with_suffix(".copy"))) as copy:
        file.backup(copy)
    publish(database)
    database.engine.dispose()
    path.with_suffix(".copy").rename(path)


def roll_back(database: Database) -> None:
    """Undo a change."""
    with suppress(ZeroDivisionError), database.writing() as session:
        session.execute(text("delete from citations"))
        raise ZeroDivisionError


HAPPENINGS: tuple[Callable[[Database], None], ...] = (
    *(
        publish,
        publish,
        publish_after_emptying,
        publish,
        publish_alone,
        publish,
        copy_over,
        publish,
        write_elsewhere,
        roll_back,
    ),
    *(publish, replace_file, publish),
)


def stored(database: Database) -> WatchedState:
    """Return the state by a connection of its own."""
    with closing(sqlite3.connect(database.path)) as connection:
        return WatchedState(*connection.execute(str(CURRENT_STATE.compile(database.engine))).fetchone())


@pytest.mark.parametrize(
    ("map_index", "is_right"),
    [(wal.map_index, True), (lambda *_: None, True), (lambda *_: bytes(wal.HEADER_SIZE), False)],
    ids=["map", "pragma", "map that never changes"],
)
def test_every_happening_is_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch, map_index: Callable[..., bytes | None], *, is_right: bool
) -> None:
    """Each look has the state of the file, by the map of the WAL index and without it; the control: by a constant map it has not."""
    monkeypatch.setattr(wal, "map_index", map_index)
    watch, rights = SqliteWatch(database), []
    for happening in HAPPENINGS:
        watch.state()
        happening(database)
        rights.append(watch.state() == stored(database))
    assert all(rights) == is_right


def test_looks_in_between_are_free(database: Database) -> None:
    """Without a commit, a look runs no statement; a commit costs one."""
    watch, statements = SqliteWatch(database), list[str]()
    watch.state()
    assert watch.connection is not None
    watch.connection.sqlite.set_trace_callback(statements.append)
    for number in range(3):
        assert [watch.state() for _ in range(10)] == [stored(database)] * 10
        assert len(statements) == number
        publish(database)


def test_failures_open_nothing(database: Database) -> None:
    """However often the state cannot be read, and can be again, no more descriptors are open."""
    watch, numbers = SqliteWatch(database), set[int]()
    statement = watch.statement
    for _ in range(5):
        publish(database)
        watch.statement = "select nothing"
        assert watch.state() is None
        watch.statement = statement
        assert watch.state() == stored(database)
        numbers.add(len(list(Path("/dev/fd").iterdir())))
    assert len(numbers) == 1


def test_without_wal(database: Database) -> None:
    """A file without a WAL, and one that is gone, are no error: the state is looked up by SQLite alone, or unknown."""
    database.engine.dispose()
    with closing(sqlite3.connect(database.path)) as connection:
        assert connection.execute("pragma journal_mode = delete").fetchone() == ("delete",)
    watch = SqliteWatch(database)
    assert watch.state() == stored(database)
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("update cities set summary = 'Other.' where id = 'boston-ma'")
    assert watch.state() == stored(database)
    Path(database.path).rename(f"{database.path}.away")
    assert watch.state() is None
