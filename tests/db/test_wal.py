"""A reader cannot make SQLite's write-ahead log grow without bound."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import text

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
