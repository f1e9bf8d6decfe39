"""Statements that are built and compiled once for all requests of one shape: building one costs more than running it.

What differs between two requests of a shape are the values of its parameters, which have names.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from cachetools import LRUCache
from sqlalchemy import ARRAY, ColumnElement, Dialect, LargeBinary, Select, String, any_, bindparam
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from api.db.engines import connection_of, driven

# So many statements are kept; each takes some kilobytes.
MOST = 500
Taken = TypeVar("Taken")
_kept: LRUCache[Hashable, "Prepared"] = LRUCache(MOST)
_lock = threading.Lock()


class Prepared:
    """A compiled statement: its text, and what its values and columns pass through on their way."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        """Compile a statement; its parameters without a value are those that `rows` is given."""
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self.names = compiled.positiontup
        processors = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()}
        self.processors = {name: processor for name, processor in processors.items() if processor}
        fixed = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
        self.fixed = self._processed(fixed)
        results = [column.type.dialect_impl(dialect) for column in statement.selected_columns]
        readers = [type.result_processor(dialect, None) for type in results]
        self.readers = readers if any(readers) else None
        # PostgreSQL would write bytes as text otherwise.
        bytewise = dialect.name == "postgresql" and any(
            isinstance(column.type, LargeBinary) for column in statement.selected_columns
        )
        self.options = {"binary": True} if bytewise else {}

    def run(self, session: Session, values: Mapping[str, Any], take: Callable[[Any], Any]) -> Any:
        """Run it; returns what is taken from the driver's cursor. Raises DBAPIError."""
        given = {**self.fixed, **self._processed(values)}
        parameters = tuple([given[name] for name in self.names]) if self.names is not None else given
        connection = connection_of(session)
        with driven(connection, self.text, parameters) as cursor:
            for listener in connection.dispatch.before_cursor_execute:
                listener(connection, cursor, self.text, parameters, None, False)  # noqa: FBT003 - SQLAlchemy's interface
            cursor.execute(self.text, parameters, **self.options)
            return take(cursor)

    def rows(self, cursor: Any) -> list[Any]:
        """Take all rows from a cursor, as tuples."""
        found: list[Any] = cursor.fetchall()
        if self.readers is None:
            return found
        return [tuple([read(value) if read else value for read, value in zip(self.readers, row, strict=True)]) for row in found]

    def _processed(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        processors = self.processors
        if not processors:
            return values
        return {name: processors[name](value) if name in processors else value for name, value in values.items()}


def rows(session: Session, shape: Hashable, build: Callable[[], Select[Any]], values: Mapping[str, Any]) -> list[Any]:
    """Run the statement of a shape, which ``build`` makes where it is new; returns its rows as tuples."""
    prepared = _prepared(session, shape, build)
    found: list[Any] = prepared.run(session, values, prepared.rows)
    return found


def taken(
    session: Session,
    shape: Hashable,
    build: Callable[[], Select[Any]],
    values: Mapping[str, Any],
    take: Callable[[Any], Taken],
) -> Taken:
    """Run it; returns what is taken from the driver's cursor, where the rows themselves would be too many to keep."""
    found: Taken = _prepared(session, shape, build).run(session, values, take)
    return found


def _prepared(session: Session, shape: Hashable, build: Callable[[], Select[Any]]) -> Prepared:
    dialect = session.get_bind().dialect
    key = (dialect.name, shape)
    with _lock:
        prepared = _kept.get(key)
    if prepared is None:
        prepared = Prepared(build(), dialect)
        with _lock:
            _kept[key] = prepared
    return prepared


def replan(session: Session) -> None:
    """Have PostgreSQL plan statements for their values, however often it has run them, until the transaction ends.

    How frequent a word is decides on how it is best searched for; what the planner thinks of any word suits few.
    """
    if session.get_bind().dialect.name == "postgresql" and "replanned" not in session.info:
        # Several processes for one search would take longer to start than it does, and be missed by others.
        settings = "set local plan_cache_mode = force_custom_plan; set local max_parallel_workers_per_gather = 0"
        connection_of(session).exec_driver_sql(settings)
        session.info["replanned"] = True


@dataclass(frozen=True)
class Among:
    """Values, at least one, of which a column is any: its statement's ``shape`` and ``values``, and the condition itself.

    PostgreSQL takes several as one array, so that there is one statement for all lengths. It would plan that anew for one
    value, each time: arrays have ten, to its mind.
    """

    dialect: str
    these: Sequence[Any]
    type: type[TypeEngine[Any]]

    @property
    def values(self) -> dict[str, Any]:
        """The values by the names of their parameters."""
        if self._is_array:
            return {"these": list(self.these)}
        return {f"i{n}": value for n, value in enumerate(padded(self.these))}

    @property
    def shape(self) -> Hashable:
        """The names of the parameters."""
        return tuple(self.values)

    @property
    def _is_array(self) -> bool:
        return self.dialect == "postgresql" and len(self.these) > 1

    def condition(self, column: Any) -> ColumnElement[bool]:
        """Return the condition of a column, with parameters in the place of the values."""
        if self._is_array:
            return cast("ColumnElement[bool]", column == any_(bindparam("these", type_=ARRAY(self.type))))
        return cast("ColumnElement[bool]", column.in_([bindparam(name, type_=self.type) for name in self.values]))


def among(session: Session, these: Sequence[Any], type: type[TypeEngine[Any]] = String) -> Among:
    """Return how a session's database is asked for any of these: texts, if no other type is named."""
    return Among(session.get_bind().dialect.name, these, type)


def of_ids(session: Session, shape: Hashable, ids: Sequence[str], build: Callable[[Among], Any]) -> list[Any]:
    """Run a statement about these ids."""
    if not ids:
        return []
    given = among(session, ids)
    return rows(session, (shape, given.shape), lambda: build(given), given.values)


def padded(values: Sequence[Any]) -> tuple[Any, ...]:
    """Repeat the last of some values up to a power of two: so lists of all lengths have few shapes."""
    length = 1 << (len(values) - 1).bit_length()
    return (*values, *[values[-1]] * (length - len(values)))
