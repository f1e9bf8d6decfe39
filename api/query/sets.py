"""The set of the current revisions for which an expression holds, by the bitmap index."""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce
from operator import and_, or_
from typing import Any

from sqlalchemy import Select, literal_column, select
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger.index.bitmaps import Bitmap
from api.ledger.index.dimensions import Dimension
from api.ledger.index.versions import Versions
from api.query import bitmap_sets, conditions
from api.query.bitmap_sets import NotIndexedError, dimension_at, forward, of_dimension, reverse
from api.query.conditions import Rest
from api.query.language import Condition, Conditions, Expression
from api.resources import BY_NAME
from api.schema.operators import FOLDED, bound, fold
from api.schema.resource import Relation, Resource

JOINS = {"and": and_, "or": or_}

Reader = Callable[[Session], Versions]


def cardinality(session: Session, resource: Resource, expression: Expression) -> int | None:
    """Return the number of a noun's records for which an expression holds; None if only their set would tell.

    Raises NotIndexedError if the index does not know the set either.
    """
    rows = [(row.filter.path, row) for row in expression.all] if isinstance(expression, Conditions) else []
    if len(rows) == 1 and (equal := _equal(rows[0][1])):
        ((path, row),) = rows
        dimension = dimension_at(resource, path, row.filter)
        if dimension and not (dimension.many and len(equal) > 1):
            # A record has only one of these values, so the numbers add up.
            return sum(bitmap_sets.cardinalities(session, resource, dimension, equal).values())
    steps = {path[:1] for path, _ in rows}
    if len(steps) == 1 and (step := steps.pop()) and (referring := reverse(step[0])):
        targets = _all(referring[0], _beyond(rows))(session)
        return sum(owner.meets(targets) for owner in bitmap_sets.by_owner(session, *referring).values())
    return None


def versions(session: Session, resource: Resource, expression: Expression) -> Versions:
    """Return the current revisions of a noun for which an expression holds.

    Raises NotIndexedError, and then nearly always before it reads anything.
    """
    return _reader(resource, expression)(session)


def values(session: Session, resource: Resource, expression: Expression, dimension: Dimension) -> Collection[Any] | None:
    """Return the values of a dimension that the records for which an expression holds can have; None for any value."""
    if isinstance(expression, Conditions) and not dimension.many:
        for rows in _steps([(row.filter.path, row) for row in expression.all]):
            path, row = rows[0]
            if dimension_at(resource, path, row.filter) is dimension and (equal := _equal(row)):
                return equal
            if path and forward(resource, path[0]) is dimension:
                return _Targets(path[0], _beyond(rows)).ids(session)
    return None


def _reader(resource: Resource, expression: Expression) -> Reader:
    """Return a function that reads the set of an expression. Raises NotIndexedError."""
    if isinstance(expression, Conditions):
        return _all(resource, [(row.filter.path, row) for row in expression.all])
    # An empty conjunction holds for every record.
    children = [child for child in expression.children if expression.connective != "and" or child != Conditions(())]
    if expression.connective not in JOINS:
        raise NotIndexedError
    return _joined(JOINS[expression.connective], [_reader(resource, child) for child in children])


def _joined(join: Callable[[Versions, Versions], Versions], readers: Sequence[Reader]) -> Reader:
    if not readers:
        raise NotIndexedError
    return lambda session: reduce(join, [reader(session) for reader in readers])


def _steps(rows: Sequence[Rest]) -> Collection[list[Rest]]:
    """Group the conditions that have the same next step, which are about the same related record."""
    steps: dict[Relation | int, list[Rest]] = defaultdict(list)
    for place, (path, row) in enumerate(rows):
        steps[path[0] if path else place].append((path, row))
    return steps.values()


def _all(resource: Resource, rows: Sequence[Rest]) -> Reader:
    """Return a function that reads the set for which all conditions hold. Raises NotIndexedError."""
    return _joined(and_, [_step(resource, same_step) for same_step in _steps(rows)])


def _step(resource: Resource, rows: Sequence[Rest]) -> Reader:
    path, row = rows[0]
    dimension = dimension_at(resource, path, row.filter) if len(rows) == 1 else None
    if dimension and (equal := _equal(row)):
        return lambda session: bitmap_sets.holding(session, resource, dimension, equal)
    if dimension and not dimension.many and row.filter.operator.holds:
        return lambda session: Versions.union(
            members
            for value, members in bitmap_sets.bitmaps(session, resource, dimension).items()
            if _holds(row, json.loads(value))
        )
    ids = forward(resource, path[0]) if path else None
    if not ids:
        raise NotIndexedError
    targets = _Targets(path[0], _beyond(rows))
    return lambda session: targets.referring(session, resource, ids)


def _equal(row: Condition) -> Sequence[Any]:
    """Return the values that a condition asks for; none if it compares in another way."""
    operator = row.filter.operator
    return bound(row.filter.field.type, operator, row.value) if operator.name in {"", "month"} else ()


def _holds(row: Condition, value: Any) -> bool:
    """Tell whether a condition holds for a value, as it does in SQL."""
    operator, type = row.filter.operator, row.filter.field.type
    assert operator.holds is not None
    if operator.folds and type.name in FOLDED and value is not None:
        value = fold(value)
    return operator.holds(value, *((row.value,) if operator.of_null else bound(type, operator, row.value)))


def _beyond(rows: Sequence[Rest]) -> list[Rest]:
    """Take the first step of the paths. Raises NotIndexedError if a condition is about the link itself."""
    if any(row.filter.linked and len(path) == 1 for path, row in rows):
        raise NotIndexedError
    return [(path[1:], row) for path, row in rows]


class _Targets:
    """The related records for which conditions hold."""

    def __init__(self, relation: Relation, rows: Sequence[Rest]) -> None:
        """Separate the shape of the conditions from their values."""
        self.noun, self.rows, self.parameters = BY_NAME[relation.to or ""], rows, dict[str, Any]()
        self.where = Conditions(tuple([row for _, row in rows]))
        self.shape = (relation.prefix, self.noun.name, conditions.shape(self.where, self.parameters))

    def ids(self, session: Session) -> Collection[str]:
        """Return their ids."""
        build = partial(self._select, self.noun.model.id)
        return [id for (id,) in statements.rows(session, ("ids", self.shape), build, self.parameters)]

    def referring(self, session: Session, resource: Resource, dimension: Dimension) -> Versions:
        """Return the set of a noun's records that have one of their ids in a dimension. Raises NotIndexedError."""

        def build() -> Any:
            # JSON escapes nothing in an id.
            ids = self._select(literal_column("'\"'") + self.noun.model.id + literal_column("'\"'"))
            return of_dimension(select(Bitmap.first, Bitmap.versions)).where(Bitmap.value.in_(ids))

        parameters = {"kind": resource.name, "dimension": dimension.name, **self.parameters}
        return bitmap_sets.assembled(statements.rows(session, ("referring", self.shape), build, parameters))

    def _select(self, column: Any) -> Select[Any]:
        where = conditions.parametrized(self.where, itertools.count())
        assert isinstance(where, Conditions)
        rows = [(path, row) for (path, _), row in zip(self.rows, where.all, strict=True)]
        return select(column).where(conditions.every(self.noun.name, self.noun.model, rows))
