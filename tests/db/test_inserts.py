"""Inserts of rows by SQL for the driver."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import delete, event, select
from sqlalchemy.exc import IntegrityError

from api.db import inserts
from api.db.database import Database
from api.db.types import table_of
from api.ledger.index.bitmaps import Bitmap
from api.ledger.models import Op, Revision

TOGETHER = inserts.TOGETHER


def piece(number: int, versions: bytes = b"x") -> dict[str, Any]:
    """Return a row of the bitmap index."""
    return {"kind": "zz", "dimension": "d", "value": f"{number:03}", "first": 0, "records": 1, "versions": versions}


@pytest.mark.parametrize("count", [0, 1, TOGETHER - 1, TOGETHER, 2 * TOGETHER + 3])
def test_any_number_of_rows_takes_two_statements(database: Database, count: int) -> None:
    """Rows are inserted in their order, many by one statement."""
    rows, executed = [piece(number) for number in range(count)], list[str]()
    event.listen(database.engine, "before_cursor_execute", lambda *row: executed.append(row[2]))
    with database.writing() as session:
        inserts.add(session, table_of(Bitmap), rows)
    assert [sql.partition(" ")[0] for sql in executed] == ["INSERT"] * ((count >= TOGETHER) + (count % TOGETHER > 0))
    with database.reading() as session:
        stored = session.execute(select(Bitmap.value).where(Bitmap.kind == "zz").order_by(Bitmap.value)).scalars()
        assert list(stored) == [row["value"] for row in rows]


@pytest.mark.parametrize("count", [1, TOGETHER])
def test_values_are_stored_as_their_columns_want_them(database: Database, count: int) -> None:
    """Times, enumerations and bytes are those that were inserted; a column without a value has the default of the database."""
    moment = dt.datetime(2026, 5, 4, 3, 2, 1, 987_000, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    common = {"commit_version": 10**9, "kind": "zz", "op": Op.UPSERT, "changed_at": moment, "document": "{}", "hash": "ab"}
    rows = [
        {"version": 10**9 + n, "id": f"z{n}", "bucket": 3, "leaf": b"\0%\xff", "chain": b"%s", **common} for n in range(count)
    ]
    columns = (*(getattr(Revision, name) for name in rows[0]), Revision.erases, Revision.author)
    with database.writing() as session:
        inserts.add(session, table_of(Revision), rows)
        stored = session.execute(select(*columns).where(Revision.kind == "zz").order_by(Revision.version)).all()
        session.execute(delete(Revision).where(Revision.kind == "zz"))
    assert [tuple(row) for row in stored] == [(*row.values(), False, None) for row in rows]


def test_a_value_without_a_column_is_refused(database: Database) -> None:
    """A misspelled column is an error, and not left out."""
    with database.writing() as session, pytest.raises(AssertionError):
        inserts.add(session, table_of(Bitmap), [{**piece(1), "verions": b"x"}])


def test_a_row_that_exists_is_refused(database: Database) -> None:
    """The database's error is SQLAlchemy's, and does not show the values."""
    with database.writing() as session:
        inserts.add(session, table_of(Bitmap), [piece(1)])
        with pytest.raises(IntegrityError) as caught:
            inserts.add(session, table_of(Bitmap), [piece(1, b"secret")])
        session.rollback()
    assert "secret" not in str(caught.value)


def test_rows_are_replaced_by_their_primary_keys(database: Database) -> None:
    """Rows that exist are updated, and others inserted."""
    with database.writing() as session:
        inserts.add(session, table_of(Bitmap), [piece(0)])
        inserts.replace(session, table_of(Bitmap), [piece(number, b"y") for number in range(3)])
        inserts.replace(session, table_of(Bitmap), [])
    with database.reading() as session:
        stored = session.execute(select(Bitmap.value, Bitmap.versions).where(Bitmap.kind == "zz").order_by(Bitmap.value))
        assert [(value, bytes(versions)) for value, versions in stored] == [("000", b"y"), ("001", b"y"), ("002", b"y")]
