"""A reader cannot make SQLite's write-ahead log grow without bound."""

import gc
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from api.db import wal
from api.settings import Settings
from api.web.responses import CutOffError
from tests.support.answers import brief
from tests.support.applications import serving
from tests.support.databases import Store, publishing, template
from tests.support.lengths import late

# Bytes of a city's summary, and cities in a commit.
SUMMARY, CITIES = 1_000, 1_000


@pytest.fixture
def settings(sqlite_store: Store) -> Settings:
    """A migrated SQLite database: PostgreSQL's log needs no care."""
    return sqlite_store.copy(template(sqlite_store))


def write(app: Flask, number: int) -> None:
    """Publish about 2 MB."""
    rows = [{"id": f"zz-{number}-{n}", "text": f"{number} {n} " + "word " * (SUMMARY // 5)} for n in range(CITIES)]
    with publishing(app.extensions["database"]) as session:
        session.execute(
            text("insert into cities (id, name, state, country, summary) values (:id, :id, 'ZZ', 'ZZ', :text)"), rows
        )


def size(app: Flask) -> int:
    """Return the size of the log."""
    path = app.extensions["database"].wal.path
    return int(path.stat().st_size)


@pytest.mark.parametrize("wal_mb", [8, late(1000)])
def test_streams_are_cut_off(settings: Settings, wal_mb: int) -> None:
    """When the log is full, streams end, and it is emptied before the next one; the control: with more room they go on."""
    with serving(replace(settings, wal_mb=wal_mb)) as app, ExitStack() as stack:
        client = app.test_client()
        write(app, 0)
        stream = client.get("/cities.ndjson?sort=id", buffered=False)
        stack.callback(stream.close)
        pieces = stream.iter_encoded()
        next(pieces)
        for number in range(1, 4):
            write(app, number)
        assert size(app) > 8_000_000
        if wal_mb == 1000:
            assert b"".join(pieces)
            return
        refused = client.get("/cities.csv")
        assert brief(refused) == (503, "unavailable", [])
        # The stream still reads.
        assert size(app) > 8_000_000
        with pytest.raises(CutOffError):
            list(pieces)
        stream.close()
        assert client.get("/cities.csv").status_code == 503
        assert size(app) == 0
        assert client.get("/cities.csv").status_code == 200
        assert client.get("/cities").status_code == 200


# Exits with 1 if another process writes to the file.
TRY = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('begin immediate')"


def test_a_map_keeps_the_locks(tmp_path: Path) -> None:
    """To map the index, and to forget the map, leaves SQLite's locks; the control: to close its file lets two processes write."""
    path = tmp_path / "a.sqlite3"

    def is_locked() -> bool:
        return bool(subprocess.run([sys.executable, "-c", TRY, path], check=False, stderr=subprocess.DEVNULL).returncode)

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        assert not is_locked()
        connection.execute("begin immediate")
        assert wal.map_index(connection, str(path)) is not None
        gc.collect()
        assert is_locked()
        os.close(os.open(f"{path}-shm", os.O_RDONLY))
        assert not is_locked()


def test_only_what_is_known_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without WAL, without a file of the index, or with another version of it there is no map; the control: else there is one."""
    with closing(sqlite3.connect(tmp_path / "a.sqlite3", isolation_level=None)) as connection:
        assert wal.map_index(connection, str(tmp_path / "a.sqlite3")) is None
        connection.execute("pragma journal_mode = wal")
        assert wal.map_index(connection, str(tmp_path / "b.sqlite3")) is None
        assert wal.map_index(connection, str(tmp_path / "a.sqlite3")) is not None
        monkeypatch.setattr(wal, "INDEX_VERSION", 3_008_000)
        assert wal.map_index(connection, str(tmp_path / "a.sqlite3")) is None
