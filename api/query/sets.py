"""Counting by the bitmap index: the sets of the current revisions that hold a value, and the set of which an expression holds.

The index knows what is published: whoever asks has seen, by `dataset.state`, that this is all and that the index has it.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import and_, itemgetter, or_, sub
from typing import Any, cast

from sqlalchemy import BigInteger, Select, bindparam, func, literal, literal_column, select
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger.index.bitmaps import Bitmap
from api.ledger.index.dimensions import WORDS, Dimension, dimension_of, encode
from api.ledger.index.versions import UnreadableError, Versions
from api.ledger.index.words import Search
from api.query import conditions
from api.query.conditions import Rest
from api.query.language import Condition, Conditions, Expression, Filter
from api.resources import BY_NAME
from api.schema.operators import FOLDED, bound, fold
from api.schema.resource import Relation, Resource

# Of more values, all of the dimension are read.
MANY = 500
# So many pieces are read to find what comes first.
FIRST = 8
JOINS = {"and": and_, "or": or_}
# Operators that can be asked of each value of a dimension; those that compare do so in Python as in SQL.
HOLDS = ("not", "isnull", "gt", "gte", "lt", "lte", "startswith")

Reader = Callable[[Session], Versions]


class NotIndexedError(Exception):
    """The bitmap index can't tell; SQL can."""


def cardinality(session: Session, resource: Resource, expression: Expression) -> int | None:
    """Return how many records of a noun an expression holds of, where that is known without the set of them; else None.

    Raises NotIndexedError where the set is not known either.
    """
    rows = [(row.filter.path, row) for row in expression.all] if isinstance(expression, Conditions) else []
    if len(rows) == 1 and rows[0][1].filter.operator.name == "":
        ((path, row),) = rows
        dimension = dimension_at(resource, path, row.filter)
        if dimension and not (dimension.many and len(row.value) > 1):
            # What holds one of these values holds no other of them.
            return sum(cardinalities(session, resource, dimension, row.value).values())
    steps = {path[:1] for path, _ in rows}
    if len(steps) == 1 and (step := steps.pop()) and (referring := reverse(step[0])):
        there = _all(referring[0], _beyond(rows))(session)
        return sum(found.meets(there) for found in by_owner(session, *referring).values())
    return None


def versions(session: Session, resource: Resource, expression: Expression) -> Versions:
    """Return the current revisions of a noun that an expression holds of. Raises NotIndexedError, before anything is read."""
    return _reader(resource, expression)(session)


def found(session: Session, kinds: Sequence[str], asked: Search) -> Versions:
    """Return the current revisions of nouns that a search finds. Raises NotIndexedError where it is not of single words."""
    if not asked.plain:
        raise NotIndexedError
    wanted, unwanted = ({word for (word,) in phrases} for phrases in (asked.positive, asked.negative))
    values = {encode(word): word for word in wanted | unwanted}
    among = statements.among(session, sorted(values))

    def build() -> Any:
        pieces = select(Bitmap.value, Bitmap.first, Bitmap.versions)
        nouns = Bitmap.kind.in_([literal(kind) for kind in kinds])
        return pieces.where(nouns, Bitmap.dimension == literal(WORDS), among.condition(Bitmap.value))

    pieces = defaultdict(list)
    # Each version is of one noun, so those of several need not be told apart.
    for row in statements.rows(session, ("found", tuple(kinds), among.shape), build, among.values):
        pieces[values[row[0]]].append(row)
    sets = {word: _assembled(pieces.get(word, ())) for word in values.values()}
    return reduce(sub, [sets[word] for word in unwanted], reduce(and_, [sets[word] for word in wanted]))


def _reader(resource: Resource, expression: Expression) -> Reader:
    """Return what reads the set of an expression. Raises NotIndexedError."""
    if isinstance(expression, Conditions):
        return _all(resource, [(row.filter.path, row) for row in expression.all])
    # What is empty holds of everything.
    children = [child for child in expression.children if expression.connective != "and" or child != Conditions(())]
    if expression.connective not in JOINS:
        raise NotIndexedError
    return _joined(JOINS[expression.connective], [_reader(resource, child) for child in children])


def _joined(join: Callable[[Versions, Versions], Versions], readers: Sequence[Reader]) -> Reader:
    if not readers:
        raise NotIndexedError
    return lambda session: reduce(join, [reader(session) for reader in readers])


def values(session: Session, resource: Resource, expression: Expression, dimension: Dimension) -> Collection[Any] | None:
    """Return the values that an expression leaves to a dimension of one value a record; None where it may leave any."""
    if isinstance(expression, Conditions) and not dimension.many:
        for rows in _steps([(row.filter.path, row) for row in expression.all]):
            path, row = rows[0]
            if dimension_at(resource, path, row.filter) is dimension and row.filter.operator.name == "":
                return cast("Collection[Any]", row.value)
            if path and forward(resource, path[0]) is dimension:
                return _Targets(path[0], _beyond(rows)).ids(session)
    return None


def _steps(rows: Sequence[Rest]) -> Collection[list[Rest]]:
    """Put together the conditions that have the same next step, so are about one related record."""
    steps: dict[Relation | int, list[Rest]] = defaultdict(list)
    for place, (path, row) in enumerate(rows):
        steps[path[0] if path else place].append((path, row))
    return steps.values()


def _all(resource: Resource, rows: Sequence[Rest]) -> Reader:
    """Return what reads the set of which conditions hold, each with what is left of its path. Raises NotIndexedError."""
    return _joined(and_, [_step(resource, found) for found in _steps(rows)])


def _step(resource: Resource, rows: Sequence[Rest]) -> Reader:
    path, row = rows[0]
    dimension = dimension_at(resource, path, row.filter) if len(rows) == 1 else None
    if dimension and row.filter.operator.name == "":
        return lambda session: holding(session, resource, dimension, row.value)
    if dimension and not dimension.many and row.filter.operator.name in HOLDS:
        return lambda session: Versions.union(
            found for value, found in bitmaps(session, resource, dimension).items() if _holds(row, json.loads(value))
        )
    ids = forward(resource, path[0]) if path else None
    if not ids:
        raise NotIndexedError
    targets = _Targets(path[0], _beyond(rows))
    return lambda session: targets.referring(session, resource, ids)


def _holds(row: Condition, value: Any) -> bool:
    """Tell whether a condition holds of a value, as its operator says it in SQL."""
    operator = row.filter.operator
    if operator.of_null:
        return (value is None) is row.value
    if operator.name == "not":
        return value not in row.value
    if value is None:
        return False
    kind = row.filter.field.type
    if operator.name == "startswith":
        folds = kind.name in FOLDED
        return bool((fold(value) if folds else value).startswith(fold(row.value) if folds else row.value))
    return bool(operator.build(value, *bound(kind, operator, row.value)))


def _beyond(rows: Sequence[Rest]) -> list[Rest]:
    """Take the first step of paths, to what it leads to. Raises NotIndexedError where the step itself is asked about."""
    if any(row.filter.linked and len(path) == 1 for path, row in rows):
        raise NotIndexedError
    return [(path[1:], row) for path, row in rows]


class _Targets:
    """The related records of which conditions hold."""

    def __init__(self, relation: Relation, rows: Sequence[Rest]) -> None:
        """Tell the shape of the conditions from their values."""
        self.noun, self.rows, self.given = BY_NAME[relation.to or ""], rows, dict[str, Any]()
        self.asked = Conditions(tuple([row for _, row in rows]))
        self.shape = (relation.prefix, self.noun.name, conditions.shape(self.asked, self.given))

    def ids(self, session: Session) -> Collection[str]:
        """Return their ids."""
        build = partial(self._select, self.noun.model.id)
        return [id for (id,) in statements.rows(session, ("ids", self.shape), build, self.given)]

    def referring(self, session: Session, resource: Resource, dimension: Dimension) -> Versions:
        """Return the set of the records of a noun whose dimension has the id of any of them."""

        def build() -> Any:
            # Nothing in an id is escaped in JSON.
            values = self._select(literal_column("'\"'") + self.noun.model.id + literal_column("'\"'"))
            return _of_dimension(select(Bitmap.first, Bitmap.versions)).where(Bitmap.value.in_(values))

        given = {"kind": resource.name, "dimension": dimension.name, **self.given}
        return _assembled(statements.rows(session, ("referring", self.shape), build, given))

    def _select(self, column: Any) -> Select[Any]:
        given = conditions.parametrized(self.asked, itertools.count())
        assert isinstance(given, Conditions)
        left = [(path, row) for (path, _), row in zip(self.rows, given.all, strict=True)]
        return select(column).where(conditions.every(self.noun.name, self.noun.model, left))


# --- what the index has of a noun


def dimension_at(resource: Resource, path: Sequence[Relation], filter: Filter) -> Dimension | None:
    """Return the dimension of a filter's field, at the end of a path, where the noun's own documents say it."""
    return dimension_of(resource, filter.field.column) if not path or (len(path) == 1 and filter.linked) else None


def forward(resource: Resource, relation: Relation) -> Dimension | None:
    """Return the dimension of the ids of what a relation leads to, where the noun's own documents have them."""
    return None if relation.where or relation.target is None else dimension_of(resource, relation.target)


def reverse(relation: Relation) -> tuple[Resource, Dimension] | None:
    """Return the noun that a relation leads to and the dimension in which that refers back, where its documents do so."""
    noun = BY_NAME.get(relation.to or "")
    dimension = noun and not relation.where and dimension_of(noun, relation.owner)
    return (noun, dimension) if noun and dimension else None


def by_owner(session: Session, noun: Resource, dimension: Dimension) -> Mapping[str, Versions]:
    """Return the sets of those that refer to each record, by its id."""
    found = {json.loads(value): referring for value, referring in bitmaps(session, noun, dimension).items()}
    return {id: referring for id, referring in found.items() if id is not None}


def cardinalities(
    session: Session, resource: Resource, dimension: Dimension, values: Collection[Any] | None = None
) -> Mapping[Any, int]:
    """Return how many records hold each value, or each of these; what nothing holds is left out."""
    rows = _read(session, resource, dimension, values, func.sum(Bitmap.records))
    return {json.loads(value): int(number) for value, number in rows}


def bitmaps(
    session: Session, resource: Resource, dimension: Dimension, values: Collection[Any] | None = None
) -> Mapping[str, Versions]:
    """Return the set of each value, by its JSON, or of each of these; what nothing holds is left out."""
    pieces = defaultdict(list)
    for row in _read(session, resource, dimension, values, Bitmap.first, Bitmap.versions):
        pieces[row[0]].append(row)
    return {value: _assembled(found) for value, found in pieces.items()}


def holding(session: Session, resource: Resource, dimension: Dimension, values: Collection[Any]) -> Versions:
    """Return the set of what holds any of these values."""
    return _assembled(_read(session, resource, dimension, values, Bitmap.first, Bitmap.versions))


@dataclass(frozen=True)
class Order:
    """The texts of a noun's dimension in an order: all, or those behind one of them."""

    noun: Resource
    dimension: Dimension
    descending: bool
    behind: str | None


def first(session: Session, order: Order, chosen: Versions, wanted: int) -> Versions | None:
    """Return so many of a set, or more, that come first in an order: all of the set that hold any of some texts.

    None where so many are not met in the first pieces.
    """

    def build() -> Any:
        found = _of_dimension(select(Bitmap.value, Bitmap.first, Bitmap.versions))
        if order.behind is not None:
            behind: Any = bindparam("behind")
            found = found.where(Bitmap.value < behind if order.descending else Bitmap.value > behind)
        # As JSON, null comes behind all texts.
        found = found.where(Bitmap.value < encode(None)).limit(bindparam("pieces", type_=BigInteger()))
        return found.order_by(Bitmap.value.desc() if order.descending else Bitmap.value)

    given = {"kind": order.noun.name, "dimension": order.dimension.name, "pieces": FIRST}
    given |= {} if order.behind is None else {"behind": encode(order.behind)}
    pieces = statements.rows(session, ("first", order.descending, order.behind is None), build, given)
    found = Versions()
    for _, several in itertools.groupby(pieces, key=itemgetter(0)):
        if len(found) >= wanted:
            return found
        found |= _assembled(several) & chosen
    # The last value that was read may have more pieces.
    return found if len(found) >= wanted and len(pieces) < FIRST else None


def _assembled(rows: Iterable[Sequence[Any]]) -> Versions:
    """Join pieces as `Versions.read` does. Raises NotIndexedError."""
    try:
        return Versions.read(rows)
    except UnreadableError as error:
        raise NotIndexedError from error


def _of_dimension(found: Any) -> Any:
    return found.where(Bitmap.kind == bindparam("kind"), Bitmap.dimension == bindparam("dimension"))


def _read(
    session: Session, resource: Resource, dimension: Dimension, values: Collection[Any] | None, *columns: Any
) -> Iterable[Any]:
    """Return values as JSON, all or these, with columns of each of their pieces; where there is one column, it sums them up."""
    wanted = None if values is None else {encode(value) for value in values}
    if wanted == set():
        return ()
    some = statements.among(session, sorted(wanted)) if wanted and len(wanted) <= MANY else None

    def build() -> Any:
        found = _of_dimension(select(Bitmap.value, *columns))
        found = found.where(some.condition(Bitmap.value)) if some else found
        return found.group_by(Bitmap.value) if len(columns) == 1 else found

    given = {"kind": resource.name, "dimension": dimension.name, **(some.values if some else {})}
    rows = statements.rows(session, ("bitmaps", len(columns), some and some.shape), build, given)
    return rows if some or wanted is None else [row for row in rows if row[0] in wanted]
