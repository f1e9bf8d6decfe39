"""Rows of tables of which the facts have none."""

from collections.abc import Mapping

from sqlalchemy import Connection, Table, insert, literal, select, text
from sqlalchemy.orm import Session


def fill_if_empty(session: Session | Connection, table: Table, owners: Mapping[str, str]) -> bool:
    """Insert a row of texts into a table if it has none, and tell whether it did; ``owners`` are its owners' kinds by column."""
    if session.execute(select(literal(1)).select_from(table).limit(1)).first():
        return False
    first = {column: session.execute(text(f"select min(id) from {kind}")).scalar() for column, kind in owners.items()}
    session.execute(insert(table).values({column.name: first.get(column.name, "zz") for column in table.columns}))
    return True
