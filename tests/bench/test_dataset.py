"""Generated databases equal those that the ledger would have made."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select, text

from api.db.database import Database
from api.ledger import publish
from api.ledger.models import CURRENT, Revision
from api.ledger.verify import verify
from api.resources.initiatives import Initiative
from api.settings import Settings
from bench.dataset import build
from tests.support.applications import serving
from tests.support.databases import SQLITE_FIRST, Store, opened, publishing

# Only measurements need such data, and `tests/query/test_plan.py`, which asks for each row.
pytestmark = pytest.mark.slow
SIZE = 300
SCHEMA = {
    "sqlite": "select type, name, tbl_name, sql from sqlite_master order by 1, 2",
    "postgresql": (
        "select 'index', indexname, indexdef from pg_indexes where schemaname = 'public' union all "
        "select 'constraint', conname, pg_get_constraintdef(oid) from pg_constraint where convalidated union all "
        "select 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger where tgenabled = 'O' and not tgisinternal "
        "order by 1, 2, 3"
    ),
}


@pytest.fixture(scope="module")
def built(store: Store) -> Settings:
    """A database with generated initiatives."""
    settings = store.empty()
    build(settings, SIZE)
    return settings


def schema(database: Database) -> Sequence[Any]:
    """Return everything that the database says of its tables."""
    with database.reading() as session:
        rows = session.execute(text(SCHEMA[database.engine.dialect.name])).all()
    # When alembic recreates a table on SQLite, it writes the constraints in any order.
    return [[sorted(re.split(r",\s*", str(value).rstrip("\n)"))) for value in row] for row in rows]


def published(database: Database) -> Sequence[Any]:
    """Return every revision without the time of its publication."""
    columns = (Revision.version, Revision.commit_version, Revision.kind, Revision.id, Revision.hash, Revision.superseded)
    with database.reading() as session:
        return session.execute(select(*columns).order_by(Revision.version)).all()


@SQLITE_FIRST
def test_a_generated_database_is_what_the_ledger_would_have_made(built: Settings) -> None:
    """Rows, references, documents, versions and the index of full text agree, as far as `ledger verify` can see."""
    with opened(built) as database, database.reading() as session:
        assert list(verify(session)) == []


@SQLITE_FIRST
def test_a_publication_after_it_finds_nothing_to_change(built: Settings, store: Store) -> None:
    """The ledger renders every generated record, noted as changed, to the document that is already stored."""
    with opened(store.copy(built)) as database:
        before = published(database)
        with publishing(database) as session:
            session.execute(text("insert into ledger_dirty (kind, id) select kind, id from records"))
        assert published(database) == before


@SQLITE_FIRST
def test_its_schema_is_the_migrated_one(built: Settings, migrated: Settings, store: Store) -> None:
    """Indexes and triggers that were dropped for speed are there again, and nothing else is."""
    with opened(built) as database, opened(store.copy(migrated)) as other:
        assert schema(database) == schema(other)


@SQLITE_FIRST
def test_its_triggers_work(built: Settings, store: Store) -> None:
    """A change by raw SQL afterwards is published by the next sweep."""
    with opened(store.copy(built)) as database:
        with database.writing() as session:
            session.execute(text("update initiatives set summary = summary || ' More.' where status = 'pilot'"))
        with database.reading() as session:
            changed = session.scalar(select(func.count()).where(Initiative.status == "pilot"))
        assert publish.sweep(database).revisions == changed
        with database.reading() as session:
            assert list(verify(session)) == []


@SQLITE_FIRST
def test_the_api_lists_them(built: Settings) -> None:
    """Every initiative is in the list, seeded ones included, and California has the most."""
    with opened(built) as database, database.reading() as session:
        ids = session.scalars(select(Initiative.id).order_by(Initiative.id)).all()
        seeded = session.scalar(
            select(func.count()).where(Revision.kind == "initiatives", *CURRENT, Revision.reason.is_distinct_from("generated"))
        )
    with serving(built) as app:
        listed = app.test_client().get("/initiatives.ndjson?sort=id&fields=id").get_data(as_text=True).splitlines()
        facet = app.test_client().get("/initiatives?facets=city.state&limit=1").get_json()["facets"]["city.state"]
    assert listed == [f'{{"id":"{id}"}}' for id in ids]
    assert len(ids) == SIZE + (seeded or 0)
    assert facet["values"][0]["value"] == "CA"


@SQLITE_FIRST
def test_the_same_number_gives_the_same_data(built: Settings, tmp_path: Any) -> None:
    """A second database, of either kind, has the same records in the same versions."""
    again = Settings(database_url=f"sqlite:///{tmp_path / 'again.sqlite3'}")
    build(again, SIZE)
    with opened(built) as database, opened(again) as other:
        assert published(database) == published(other)
