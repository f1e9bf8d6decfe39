"""A database of the last release whose records had to say more than their sources."""

import pytest
from alembic import command
from sqlalchemy import text

from api.db.database import Database
from api.ledger.verify import verify
from tests.support.databases import SQLITE_FIRST, Store, config, head, opened, template, upgrade

FORMER = "0014"
METRICS = "select kind, value, unit, qualifier, direction, period from initiative_metrics"
# Figures as they were, by the name of the metric, and as they are.
FIGURES = {
    "City departments reached": ((11, "departments", "exactly"), ("count", 11, "departments", None, None, None)),
    "Money set aside": ((360_000, "USD", "more_than"), ("money", 360_000, "USD", "more_than", None, None)),
    "Share of the staff": ((84, "percent", "nearly"), ("share", 84, "percent", "nearly", None, None)),
    "Decrease in calls": ((40, "percent", "at_least"), ("change", 40, "percent", "at_least", "decrease", None)),
    "Best year since": ((2005, "year", "exactly"), ("record", None, "year", None, "highest", "2005/..")),
}
# Of our own, because a later revision corrects those of the edition.
ID = "boston-ma-own"
INITIATIVE = (
    "insert into initiatives (id, city_id, title, summary, status) values (:id, 'boston-ma', 'Own', 'Own.', 'in_progress')"
)


def put_figures(database: Database) -> None:
    """Add an initiative with metrics by raw SQL."""
    row = "insert into initiative_metrics (initiative_id, position, name, value, unit, qualifier) values (:id, :n, :name, :v, :u, :q)"
    with database.writing() as session:
        session.execute(text(INITIATIVE), {"id": ID})
        for n, (name, (former, _)) in enumerate(FIGURES.items()):
            session.execute(text(row), {"id": ID, "n": n, "name": name, **dict(zip("vuq", former, strict=True))})


@pytest.mark.slow
@SQLITE_FIRST
def test_an_upgrade_claims_less(store: Store) -> None:
    """Figures get their kinds, guesses of a stage become null, all records are published again, and a downgrade brings them back."""
    settings = store.copy(template(store, FORMER))
    figures = text(f"{METRICS} where initiative_id = :id order by position")
    status = text("select status from initiatives where id = :id")
    with opened(settings) as database:
        put_figures(database)
        before = head(database)
        upgrade(settings)
        with database.reading() as session:
            assert [tuple(row) for row in session.execute(figures, {"id": ID})] == [row for _, row in FIGURES.values()]
            assert session.scalar(status, {"id": ID}) is None
            assert list(verify(session)) == []
            records = session.scalars(text("select count(*) from records")).one()
        assert head(database) >= before + records
        command.downgrade(config(database), FORMER)
        with database.reading() as session:
            former = session.execute(
                text("select value, unit, qualifier from initiative_metrics where initiative_id = :id order by position"),
                {"id": ID},
            )
            assert [tuple(row) for row in former] == [row for row, _ in FIGURES.values()]
            assert session.scalar(status, {"id": ID}) == "in_progress"
        upgrade(settings)
        with database.reading() as session:
            assert list(verify(session)) == []
