"""Inserts of many rows into tables with triggers, by statements of several rows each."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Executable, Table, bindparam, insert
from sqlalchemy.orm import Session

from api.db import statements

# Rows of one statement. Before a statement that fires triggers changes a page, SQLite copies it, to be able to undo the
# statement. Done for each row, that takes longer than the inserts. More rows in a statement would take more memory.
TOGETHER = 25


def add(session: Session, table: Table, rows: Sequence[Mapping[str, Any]], *, awaited: bool = True) -> None:
    """Insert rows, which have values for the same columns. Raises DBAPIError as `statements.change` does."""
    whole = len(rows) - len(rows) % TOGETHER
    if whole:
        names = [*rows[0]]
        several = [_numbered(rows[start : start + TOGETHER]) for start in range(0, whole, TOGETHER)]
        build = partial(_statement, table, names)
        statements.change(session, ("insert several", table.name, *names), build, several, awaited=awaited)
    statements.add(session, table, rows[whole:], awaited=awaited)


def _statement(table: Table, names: Sequence[str]) -> Executable:
    values = {name: table.c[name].type for name in names}
    return insert(table).values(
        [{name: bindparam(f"{name}_{n}", type_=type) for name, type in values.items()} for n in range(TOGETHER)]
    )


def _numbered(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {f"{name}_{n}": value for n, row in enumerate(rows) for name, value in row.items()}
