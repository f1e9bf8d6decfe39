"""A database of the last release whose dates were years, months and days."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import SQLITE_FIRST, Store, config, opened, publishing, template, upgrade
from tests.support.lengths import few

FORMER = "0013"
# Of our own, because a later revision corrects those of the edition.
ID = "boston-ma-day"
INITIATIVE = "insert into initiatives (id, city_id, title, summary, status) values (:id, 'boston-ma', :id, 'Own.', 'pilot')"
METRIC = (
    "insert into initiative_metrics (initiative_id, position, name, value, unit, {}) values (:id, 0, 'Own', 1, 'courses', '{}')"
)
SET = "update initiatives set started = :date where id = :id"
SET_METRIC = "update initiative_metrics set as_of = :date where initiative_id = :id and position = 0"
STORED = """
    select started, started_period, started_month, as_of, as_of_period, as_of_month
    from initiatives join initiative_metrics on initiative_id = id where id = :id and position = 0
"""
# Dates of initiatives, with their periods and months.
DATES = {
    "boston-ma-year": ("2024", "2024-01-01/2024-12-31", None),
    "boston-ma-month": ("2024-07", "2024-07-01/2024-07-31", 7),
    "boston-ma-day": ("2024-02-29", "2024-02-29/2024-02-29", 2),
    "boston-ma-none": (None, None, None),
}


def add(database: Database, *required: str) -> None:
    """Add the initiatives, each with a metric, given a column that the revision requires and its value."""
    with database.writing() as session:
        for id in DATES:
            for statement in (INITIATIVE, METRIC.format(*required)):
                session.execute(text(statement), {"id": id})


def change(database: Database, statement: str, date: str | None, id: str = ID) -> None:
    """Set a date by raw SQL; nothing is published."""
    with database.writing() as session:
        session.execute(text(statement), {"date": date, "id": id})


@pytest.mark.slow
@SQLITE_FIRST
def test_an_upgrade_fills_the_columns(store: Store) -> None:
    """An upgrade keeps dates, makes room for longer ones, and derives the columns for filters and sort keys."""
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        add(database, "qualifier", "exactly")
        with pytest.raises(IntegrityError):
            change(database, SET, "2023-12-01/2024")
        for id, (date, _, _) in DATES.items():
            change(database, SET, date, id)
            change(database, SET_METRIC, date, id)
        upgrade(settings)
        with database.reading() as session:
            stored = {id: tuple(session.execute(text(STORED), {"id": id}).one()) for id in DATES}
            assert stored == {id: row * 2 for id, row in DATES.items()}
            assert list(verify(session)) == []
        with publishing(database) as session:
            session.execute(text(SET), {"date": "2023-12-01~/2024-05-31?", "id": ID})
        with pytest.raises(IntegrityError):
            change(database, SET, "2023-12-01~/2024-05-31?/")
        with database.reading() as session:
            assert list(verify(session)) == []


@pytest.mark.slow
@SQLITE_FIRST
def test_an_upgrade_names_what_is_no_date(store: Store) -> None:
    """A text that is no date, which raw SQL has stored, stops the upgrade with its record's name, and nothing changes."""
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        add(database, "qualifier", "exactly")
        change(database, SET, "May 2024")
        with pytest.raises(CommandError, match=f"initiatives/{ID}: can't be published"):
            command.upgrade(config(database), "head")
        change(database, SET, "2024-05")
        command.upgrade(config(database), "head")


@pytest.mark.slow
@SQLITE_FIRST
@pytest.mark.parametrize("date", few(["2024?", "XXXX-12", "2024-21", "2023/2024", "2023-02-29"], "XXXX-12", "2023/2024"))
def test_a_downgrade_loses_no_date(settings: Settings, date: str) -> None:
    """A downgrade is refused while dates need more than the former release has, with the SQL that mends each of them."""
    with opened(settings) as database:
        add(database, "kind", "count")
        change(database, SET, date)
        change(database, SET_METRIC, date)
        with pytest.raises(CommandError) as refusal:
            command.downgrade(config(database), FORMER)
        faults = dict(line.split(": ", 1) for line in str(refusal.value).splitlines()[1:])
        assert list(faults) == [f"{ID} has the {column} {date}" for column in ("started", "as_of")]
        with database.writing() as session:
            for mend in faults.values():
                assert mend.startswith("update ")
                session.execute(text(mend.rstrip(";")))
        command.downgrade(config(database), FORMER)
        with pytest.raises(IntegrityError):
            change(database, SET, "2023-12-01/2024")
        upgrade(settings)
        with database.reading() as session:
            assert list(verify(session)) == []
