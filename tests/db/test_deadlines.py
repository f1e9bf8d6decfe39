"""A statement above its time limit is stopped, on both databases; a stream may be read for longer."""

import time
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from api.db.failures import TOO_LONG, reason
from api.settings import Settings
from tests.support.answers import brief
from tests.support.applications import serving
from tests.support.databases import opened

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000000000) select {0} from n"
COUNTED = text("with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000) select count(*) from n")


def test_statements_are_stopped(settings: Settings) -> None:
    """A statement above the time limit fails in time with a clear error; its connection stays usable."""
    with opened(replace(settings, statement_timeout=1)) as database:
        with database.reading() as session:
            begun = time.monotonic()
            with pytest.raises(OperationalError) as caught:
                session.scalar(text(ENDLESS.format("count(*)")))
            assert 0.9 < time.monotonic() - begun < 10
        assert reason(caught.value) == TOO_LONG
        with database.reading() as session:
            assert session.scalar(text("select 1")) == 1
            with pytest.raises(DBAPIError) as other:
                session.execute(text("select nothing"))
        # The control: an error of another kind.
        assert reason(other.value) is None


def test_streams_are_not_stopped(settings: Settings) -> None:
    """Fetching the rows of one statement may take longer than the limit, which holds for each fetch."""
    with opened(replace(settings, statement_timeout=1)) as database, database.reading() as session:
        until = time.monotonic() + 1.5
        with session.execute(text(ENDLESS.format("i")).execution_options(yield_per=1_000)) as rows:
            assert any(time.monotonic() > until for _ in rows)


def test_without_a_limit(settings: Settings) -> None:
    """The control: 0 turns the limit off, and a statement of several seconds is answered."""
    with opened(replace(settings, statement_timeout=0)) as unlimited, unlimited.reading() as session:
        assert session.scalar(COUNTED) == 3_000_000


def test_an_answer_that_takes_too_long(settings: Settings) -> None:
    """A stopped query is a 503 that suggests another request."""
    with serving(replace(settings, statement_timeout=1)) as app:

        @app.get("/endless")
        def endless() -> str:
            with app.extensions["database"].reading() as session:
                return str(session.scalar(text(ENDLESS.format("count(*)"))))

        answer = app.test_client().get("/endless")
        assert brief(answer) == (503, "unavailable", [])
        assert "took too long" in answer.get_json()["detail"]
