"""A database of the last release whose dates were years, months and days."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import Store, config, opened, publishing, template, upgrade

FORMER = "0013"
ID = "los-angeles-ca-myla311"
SET = f"update initiatives set started = :date where id = '{ID}'"
SET_METRIC = f"update initiative_metrics set as_of = :date where initiative_id = '{ID}' and position = 0"
STORED = f"""
    select started, started_period, started_month, as_of, as_of_period, as_of_month
    from initiatives join initiative_metrics on initiative_id = id where id = '{ID}' and position = 0
"""


def change(database: Database, statement: str, date: str | None) -> None:
    """Set a date by raw SQL; nothing is published."""
    with database.writing() as session:
        session.execute(text(statement), {"date": date})


@pytest.mark.parametrize(
    ("date", "period", "month"),
    [
        ("2024", "2024-01-01/2024-12-31", None),
        ("2024-07", "2024-07-01/2024-07-31", 7),
        ("2024-02-29", "2024-02-29/2024-02-29", 2),
        (None, None, None),
    ],
)
def test_an_upgrade_fills_the_columns(store: Store, date: str | None, period: str | None, month: int | None) -> None:
    """An upgrade keeps dates, makes room for longer ones, and derives the columns for filters and sort keys."""
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        with pytest.raises(IntegrityError):
            change(database, SET, "2023-12-01/2024")
        change(database, SET, date)
        change(database, SET_METRIC, date)
        upgrade(settings)
        with database.reading() as session:
            assert tuple(session.execute(text(STORED)).one()) == (date, period, month) * 2
            assert list(verify(session)) == []
        with publishing(database) as session:
            session.execute(text(SET), {"date": "2023-12-01~/2024-05-31?"})
        with pytest.raises(IntegrityError):
            change(database, SET, "2023-12-01~/2024-05-31?/")
        with database.reading() as session:
            assert list(verify(session)) == []


def test_an_upgrade_names_what_is_no_date(store: Store) -> None:
    """A text that is no date, which raw SQL has stored, stops the upgrade with its record's name, and nothing changes."""
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        change(database, SET, "May 2024")
        with pytest.raises(CommandError, match=f"initiatives/{ID}: can't be published"):
            command.upgrade(config(database), "head")
        change(database, SET, "2024-05")
        command.upgrade(config(database), "head")


@pytest.mark.parametrize("date", ["2024?", "XXXX-12", "2024-21", "2023/2024", "2023-02-29"])
@pytest.mark.parametrize(("statement", "column"), [(SET, "started"), (SET_METRIC, "as_of")])
def test_a_downgrade_loses_no_date(settings: Settings, statement: str, column: str, date: str) -> None:
    """A downgrade is refused while a date needs more than the former release has, with the SQL that mends it."""
    with opened(settings) as database:
        change(database, statement, date)
        with pytest.raises(CommandError) as refusal:
            command.downgrade(config(database), FORMER)
        line = str(refusal.value).splitlines()[1]
        assert line.startswith(f"{ID} has the {column} {date}: update ")
        with database.writing() as session:
            session.execute(text(line.partition(": ")[2].rstrip(";")))
        command.downgrade(config(database), FORMER)
        with pytest.raises(IntegrityError):
            change(database, SET, "2023-12-01/2024")
        upgrade(settings)
        with database.reading() as session:
            assert list(verify(session)) == []
