"""The cache of built statements: to build one in Python takes longer than to run it.

A statement has a *shape*: everything that its SQL depends on. Two requests of one shape share a statement and differ only in
the values of its named parameters. SQLAlchemy executes each statement, so that instrumentation sees it.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple, TypeVar, cast

from cachetools import LRUCache, cached
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Dialect,
    Executable,
    LargeBinary,
    Select,
    String,
    and_,
    any_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from api.db.dialects import BINARY_RESULTS, UNAWAITED

# Ids that SQLite gets as a parameter each.
FEW = 16
# At most this many statements are kept, at some 60 KB each with their compiled SQL.
MOST = 250
Taken = TypeVar("Taken")
# The values of a statement's parameters, or of several executions of it.
Values = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def connection_of(session: Session | Connection) -> Connection:
    """Return the connection that one of our sessions is bound to; `session.connection()` takes ten times as long."""
    connection = session if isinstance(session, Connection) else session.get_bind()
    assert isinstance(connection, Connection)
    return connection


def rows(
    session: Session | Connection, shape: Hashable, build: Callable[[], Executable], values: Mapping[str, Any]
) -> list[Any]:
    """Return all rows of the statement of this shape, which `build` makes unless it is cached.

    `values` has a value for each parameter of the statement. Raises DBAPIError.
    """
    return cast("list[Any]", _execute(session, shape, build, values).all())


def taken(
    session: Session,
    shape: Hashable,
    build: Callable[[], Executable],
    values: Mapping[str, Any],
    take: Callable[[Any], Taken],
) -> Taken:
    """Return what `take` makes of the result, for results with too many rows to hold at once. Raises DBAPIError.

    `take` gets SQLAlchemy's result, and reads it by `fetchmany`.
    """
    with _execute(session, shape, build, values) as result:
        return take(result)


def change(session: Session, shape: Hashable, build: Callable[[], Executable], values: Values, *, awaited: bool = True) -> None:
    """Carry out the statement of this shape, which changes rows, once or for each of several sets of values.

    Raises DBAPIError. If it is not ``awaited``, PostgreSQL carries it out later; its error is raised by a later statement or by
    the commit. So there must be a transaction, and no stream of rows from it.
    """
    _execute(session, shape, build, values, awaited=awaited)


def _execute(
    session: Session | Connection, shape: Hashable, build: Callable[[], Executable], values: Values, *, awaited: bool = True
) -> CursorResult[Any]:
    connection = connection_of(session)
    # SQLAlchemy compiles an INSERT of several rows in another way.
    several = not isinstance(values, Mapping) and len(values) > 1
    built = _built(connection.dialect, (shape, several), build)
    return connection.execute(built.statement, values, execution_options=built.options if awaited else built.unawaited)


class Built(NamedTuple):
    """A statement, and the options that SQLAlchemy executes it with; ``unawaited`` if one need not wait for it."""

    statement: Executable
    options: Mapping[str, Any]
    unawaited: Mapping[str, Any]


def constant(name: str) -> ColumnElement[str]:
    """Return a name of ours as a literal of SQL. A parameter would cost time at each execution: 3 µs, on PostgreSQL 10."""
    assert re.fullmatch("[a-z_]+", name)
    return literal_column(f"'{name}'", String)


class CompiledStatement(dict[Any, Any]):
    """The compiled SQL of one statement under any key.

    SQLAlchemy would look it up by a key as large as the statement. To hash that takes longer than to find a shape.
    """

    def get(self, _key: object, default: Any = None) -> Any:
        """Return the compiled SQL, if there is some."""
        return super().get(None, default)

    def __setitem__(self, _key: object, compiled: Any) -> None:
        """Keep the compiled SQL."""
        super().__setitem__(None, compiled)


@cached(LRUCache(MOST), key=lambda dialect, shape, _build: (dialect, shape), lock=Lock())
def _built(_dialect: Dialect, _shape: Hashable, build: Callable[[], Executable]) -> Built:
    statement = build()
    columns = statement.selected_columns if isinstance(statement, Select) else ()
    reads_bytes = any(isinstance(column.type, LargeBinary) for column in columns)
    options = {"compiled_cache": CompiledStatement(), BINARY_RESULTS: reads_bytes or None}
    return Built(statement, options, {**options, UNAWAITED: True})


def replan(session: Session) -> None:
    """Have PostgreSQL plan each statement for its values until the transaction ends, instead of using a generic plan.

    The fastest way to search for a word depends on how frequent it is, and a generic plan assumes an average word.
    """
    if session.get_bind().dialect.name == "postgresql" and "replanned" not in session.info:
        # Parallel workers take longer to start than a search takes, and other requests need the processors.
        settings = "set local plan_cache_mode = force_custom_plan; set local max_parallel_workers_per_gather = 0"
        connection_of(session).exec_driver_sql(settings)
        session.info["replanned"] = True


def use_indexes(session: Session) -> None:
    """Have PostgreSQL read no table as a whole until the transaction ends, if an index finds the rows.

    By its estimate, testing a row for hundreds of words costs as little as testing it for one.
    """
    replan(session)
    if session.get_bind().dialect.name == "postgresql":
        connection_of(session).exec_driver_sql("set local enable_seqscan = off")


@dataclass(frozen=True)
class Among:
    """The condition that a column has any of some values, at least one, with the `shape` and `values` of its parameters.

    PostgreSQL gets several values as one array, so that there is one statement for every number of them. It gets a single
    value by itself: it estimates that an array has ten, and would never use a generic plan for one.
    """

    dialect: str
    items: Sequence[Any]
    type: type[TypeEngine[Any]]

    @property
    def values(self) -> dict[str, Any]:
        """The values by the names of their parameters."""
        if self._is_array:
            return {"items": list(self.items)}
        return {f"i{n}": item for n, item in enumerate(padded(self.items))}

    @property
    def shape(self) -> Hashable:
        """The names of the parameters."""
        return tuple(self.values)

    @property
    def _is_array(self) -> bool:
        return self.dialect == "postgresql" and len(self.items) > 1

    def condition(self, column: Any) -> ColumnElement[bool]:
        """Return the condition for a column, with parameters in place of the values."""
        if self._is_array:
            return cast("ColumnElement[bool]", column == any_(bindparam("items", type_=ARRAY(self.type))))
        return cast("ColumnElement[bool]", column.in_([bindparam(name, type_=self.type) for name in self.values]))


class LongAmong(Among):
    """The same for many values on SQLite, which gets them as JSON: a statement with 500 parameters takes a megabyte."""

    @property
    def values(self) -> dict[str, Any]:
        """The values by the name of their parameter."""
        return {"items": list(self.items)}

    def condition(self, column: Any) -> ColumnElement[bool]:
        """Return the condition for a column."""
        listed = func.json_each(bindparam("items", type_=JSON)).table_valued("value", name="listed")
        return cast("ColumnElement[bool]", column.in_(select(listed.c.value)))


def among(session: Session, items: Sequence[Any], type: type[TypeEngine[Any]] = String) -> Among:
    """Return the condition that a column has any of these items, as the session's database takes it."""
    return Among(session.get_bind().dialect.name, items, type)


class Listed:
    """A list of rows, each a list of values, as a table of a statement: one statement takes any number of them.

    The statement has a parameter for all of them, `listed`.
    """

    def __init__(self, dialect: str, types: Sequence[TypeEngine[Any]]) -> None:
        """Make the table, with a column of each type."""
        self._is_lateral = dialect == "postgresql"
        function = {"sqlite": func.json_each, "postgresql": func.json_array_elements}[dialect]
        self.table = function(bindparam("listed", type_=JSON)).table_valued(column("value", JSON), name="listed")
        values = [self.table.c.value.op("->>", return_type=String())(literal_column(str(n))) for n in range(len(types))]
        # PostgreSQL returns every member of JSON as a text, SQLite as a value of its type.
        self.columns = [
            value if isinstance(type, String) else cast_to(value, type) for value, type in zip(values, types, strict=True)
        ]

    def select(self, columns: Sequence[Column[Any]], *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return a SELECT of the rows of a table that meet the conditions for any of these rows.

        Neither database has statistics of these rows, and either could begin with the table. The outer join keeps SQLite from
        that, and the lateral query PostgreSQL. The last column of the result is null for one of these that no row matches.
        """
        matched = next(iter(columns[0].table.primary_key)).label("matched")
        if not self._is_lateral:
            joined = self.table.join(columns[0].table, and_(true(), *conditions), isouter=True)
            return select(*columns, matched).select_from(joined)
        rows = select(*columns, matched).where(*conditions).offset(literal_column("0")).correlate(self.table).lateral()
        return select(*rows.c).select_from(self.table.join(rows, true(), isouter=True))


def of_listed(
    session: Session,
    shape: Hashable,
    types: Sequence[TypeEngine[Any]],
    listed: Sequence[Sequence[Any]],
    build: Callable[[Listed], Executable],
) -> list[Any]:
    """Return the rows of a statement about these rows of values, made of `Listed.select`, none for none.

    Raises DBAPIError.
    """
    if not listed:
        return []
    dialect = session.get_bind().dialect.name
    found = rows(session, shape, lambda: build(Listed(dialect, types)), {"listed": listed})
    return [row[:-1] for row in found if row[-1] is not None]


def of_ids(
    session: Session,
    shape: Hashable,
    ids: Sequence[str],
    build: Callable[[Among], Any],
    values: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Return the rows of a statement about these ids, none for no ids; ``values`` are of its other parameters.

    Raises DBAPIError.
    """
    if not ids:
        return []
    is_long = len(ids) > FEW and session.get_bind().dialect.name == "sqlite"
    condition = LongAmong("sqlite", ids, String) if is_long else among(session, ids)
    return rows(session, (shape, condition.shape), lambda: build(condition), {**condition.values, **(values or {})})


def padded(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the values with the last one repeated up to a power of two, so that lists of all lengths have few shapes."""
    length = 1 << (len(values) - 1).bit_length()
    return (*values, *[values[-1]] * (length - len(values)))
