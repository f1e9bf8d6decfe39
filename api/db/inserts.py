"""Inserts of rows by SQL for the driver.

SQLAlchemy executes it, so instrumentation sees it, but does not look at each value of each row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, TableClause, bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from api.db.dialects import UNAWAITED
from api.db.statements import MOST, connection_of

# Rows of one statement. Before a statement that fires triggers changes a page, SQLite copies it, to be able to undo the
# statement. Done for each row, that takes longer than the inserts. More rows in a statement would take more memory.
TOGETHER = 25
# How the drivers of our databases mark the place of a parameter.
PLACEHOLDERS = {"sqlite": "qmark", "postgresql": "format"}

Row = Mapping[str, Any]


def add(session: Session | Connection, table: TableClause, rows: Sequence[Row], *, awaited: bool = True) -> None:
    """Insert rows, which have values for the same columns; columns without one get the database's default.

    Raises DBAPIError. Unless ``awaited``, the error is raised later, as by `statements.change`.
    """
    connection = connection_of(session)
    whole = len(rows) - len(rows) % TOGETHER
    for together, some in ((TOGETHER, rows[:whole]), (1, rows[whole:])):
        if some:
            insertion = _insertion(connection.dialect, table, frozenset(some[0]), together)
            parameters = [insertion.parameters(some[start : start + together]) for start in range(0, len(some), together)]
            _execute(connection, insertion.sql, parameters, awaited=awaited)


def replace(session: Session | Connection, table: Table, rows: Sequence[Row], *, awaited: bool = True) -> None:
    """Insert rows, or update those that have their primary keys; they have values for all columns, as the driver takes them.

    Raises DBAPIError as `add` does.
    """
    if rows:
        connection = connection_of(session)
        _execute(connection, _upsert(connection.dialect, table), [*rows], awaited=awaited)


def _execute(connection: Connection, sql: str, parameters: list[Any], *, awaited: bool) -> None:
    options = {} if awaited else {UNAWAITED: True}
    connection.exec_driver_sql(sql, parameters if len(parameters) > 1 else parameters[0], execution_options=options)


@dataclass(frozen=True)
class _Insertion:
    """An INSERT of some rows; ``columns`` are those of a row, with what makes a value one that the driver takes, if needed."""

    sql: str
    columns: Sequence[tuple[str, Callable[[Any], Any] | None]]

    def parameters(self, rows: Sequence[Row]) -> tuple[Any, ...]:
        """Return the values of rows, one after the other."""
        return tuple([process(row[name]) if process else row[name] for row in rows for name, process in self.columns])


@lru_cache(MOST)
def _insertion(dialect: Dialect, table: TableClause, names: frozenset[str], together: int) -> _Insertion:
    columns = [column for column in table.c if column.name in names]
    assert len(columns) == len(names), "a value has no column"
    values = [{column.name: bindparam(f"{column.name}_{n}", type_=column.type) for column in columns} for n in range(together)]
    make: Callable[..., Dialect] = type(dialect)
    plain = make(paramstyle=PLACEHOLDERS[dialect.name])
    sql = str(insert(table).values(values).inline().compile(dialect=plain))
    return _Insertion(sql, [(column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in columns])


@lru_cache(MOST)
def _upsert(dialect: Dialect, table: Table) -> str:
    """Return SQL that takes rows by the names of columns."""
    statement = sqlite.insert(table) if dialect.name == "sqlite" else postgresql.insert(table)
    updated = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    statement = statement.on_conflict_do_update(index_elements=[*table.primary_key], set_=updated)
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named") if dialect.name == "sqlite" else dialect))
