"""The SQL behind a list: a `Query` in; pages, counts, facets, included records and streams out.

Rows are found in the nouns' tables and served from the ledger, as the documents that were published.
"""

import base64
import binascii
import hashlib
import itertools
import json
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from api import prepared, search
from api.documents import MAX_INTEGER
from api.ledger import CURRENT, Bucket, Dirty, Head, Revision
from api.operators import OPERATORS, WIDE, bound, condition
from api.prepared import padded
from api.problems import ProblemError, mistake, nearest
from api.query import (
    CAP,
    DEFAULT_LIMIT,
    SEARCHABLE,
    SUGGESTED,
    Condition,
    Conditions,
    Expression,
    Filter,
    Find,
    Group,
    Key,
    Query,
    is_many,
)
from api.resource import Column, Relation, Resource
from api.resources import BY_NAME

MAX_INCLUDED = 500
MAX_VALUES = 100
STREAMED = 500
CONSIDERED = 200
ALL = Conditions(())
# So many rows are counted to see by which of two conditions others are found best.
WEIGHED = 50_000
FEW = 1_000
# What it costs to ask a search of one row, in parts of what it costs to find one by it.
LOOKUP = 16
# What JSON has for the value of a key, where it is no text.
KINDS: Mapping[str, type] = {"whole": int, "version": int, "instant": int, "flag": bool}


def dataset_version(session: Session) -> int:
    """Return the version that the whole dataset is at."""
    return _state(session)[0]


def _state(session: Session) -> tuple[int, bool]:
    """Return the version of the state that a session sees, and whether all that the tables say is published in it."""
    if "state" not in session.info:
        ((version, noted),) = prepared.rows(session, "state", _noted, {})
        session.info["state"] = (int(version), noted is None)
    found: tuple[int, bool] = session.info["state"]
    return found


def _noted() -> Any:
    return select(Head.version, select(Dirty.seq).limit(1).scalar_subquery())


# --- conditions


def _shape(expression: Expression, values: dict[str, Any]) -> Hashable:
    """Return what of an expression is not a value; the values are added by the names that they have as parameters."""
    if isinstance(expression, Group):
        return expression.connective, tuple([_shape(child, values) for child in expression.children])
    return tuple([(row.filter.name, *_named(row, values)) for row in expression.all])


def _named(row: Condition, values: dict[str, Any]) -> tuple[Any, ...]:
    """Name the values of a condition; returns how many there are, and what else its statement depends on."""
    found = bound(row.filter.field.type, row.filter.operator, row.value)
    if row.filter.operator.many:
        found = padded(found)
    for value in found:
        values[f"v{len(values)}"] = value
    return len(found), row.value if row.filter.operator.of_null else None


def _parametrized(expression: Expression, names: Iterator[int]) -> Expression:
    """Put parameters in the place of an expression's values, named as `_shape` does."""
    if isinstance(expression, Group):
        return replace(expression, children=tuple([_parametrized(child, names) for child in expression.children]))
    return Conditions(tuple([replace(row, value=_parameters(row, names)) for row in expression.all]))


def _parameters(row: Condition, names: Iterator[int]) -> Any:
    field, operator = row.filter.field, row.filter.operator
    if operator.of_null:
        return row.value
    count, _ = _named(row, {})
    type = WIDE.get(field.type.name) or field.column.type
    return tuple([bindparam(f"v{next(names)}", type_=type) for _ in range(count)])


def _where(resource: Resource, model: Any, expression: Expression, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition of a noun's row, ``model`` being its table or an alias of it.

    ``probing``: it is written to be asked of one row after the other, and not to find the rows.
    """
    if isinstance(expression, Conditions):
        return _all(resource.name, model, [(row.filter.path, row) for row in expression.all], probing=probing)
    children = [_where(resource, model, child, probing=probing) for child in expression.children]
    if expression.connective == "not":
        # What is neither true nor false, as of a null, does not hold: so its contrary does.
        return not_(func.coalesce(children[0], false()))
    return (or_ if expression.connective == "or" else and_)(*children)


def _all(
    kind: str, model: Any, rows: Sequence[tuple[tuple[Relation, ...], Condition]], *, probing: bool = False
) -> ColumnElement[bool]:
    """Join conditions, each with what is left of its path: those with the same next step are about one related row."""
    own = [_own(kind, model, row) for path, row in rows if not path]
    steps: dict[str, list[tuple[tuple[Relation, ...], Condition]]] = {}
    wholes = []
    for path, row in rows:
        if len(path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}:
            wholes.append(_whole(model, path[0], row))
        elif path:
            steps.setdefault(path[0].prefix, []).append((path, row))
    related = []
    for found in steps.values():
        relation = found[0][0][0]
        holds = partial(_holds, relation, [(path[1:], row) for path, row in found])
        related.append(_linked(model, relation, holds, probing=probing))
    return and_(true(), *own, *wholes, *related)


def _own(kind: str, model: Any, row: Condition) -> ColumnElement[bool]:
    field, operator = row.filter.field, row.filter.operator
    if field.column.class_ is Revision:
        return _of_ledger(kind, model, row)
    values = (row.value,) if operator.of_null else row.value
    return condition(field.type, operator, getattr(model, field.column.key), values)


def _of_ledger(kind: str, model: Any, row: Condition) -> ColumnElement[bool]:
    """Compare the version, or the time by way of the version: time never runs backwards in the ledger."""
    operator, values = row.filter.operator, row.value
    if row.filter.field.type.name == "instant":
        # The first version after those that are wanted, or not wanted; none is as great as the greatest.
        (value,) = values
        beyond = Revision.changed_at > value if operator.name in {"gt", "lte"} else Revision.changed_at >= value
        first = select(Revision.version).where(beyond).order_by(Revision.changed_at, Revision.version).limit(1)
        values = (func.coalesce(first.scalar_subquery(), MAX_INTEGER),)
        operator = OPERATORS["gte" if operator.name in {"gt", "gte"} else "lt"]
    found = select(Revision.id).where(Revision.kind == kind, *CURRENT, operator.build(Revision.version.expression, *values))
    return model.id.in_(found)  # type: ignore[no-any-return]


def _whole(model: Any, relation: Relation, row: Condition) -> ColumnElement[bool]:
    """Return the condition that a relation leads to none of these, or to none (or any) at all."""
    if row.filter.operator.name == "not":
        return not_(_linked(model, relation, lambda link: getattr(link, _target(relation).key).in_(row.value)))
    found = _linked(model, relation, lambda _: true())
    return not_(found) if row.value else found


def _target(relation: Relation) -> Column:
    assert relation.target is not None
    return cast("Column", relation.target)


def _is_target(relation: Relation) -> bool:
    """Tell whether a relation's table is the one that it leads to: so it is where others refer back to a record."""
    return _target(relation).key == "id"


def _holds(relation: Relation, rows: Sequence[tuple[tuple[Relation, ...], Condition]], link: Any) -> ColumnElement[bool]:
    """Return the condition that all of these hold of the row that a link leads to."""
    # What the link's own table says is asked there; the rest of the record that it leads to.
    linked = [(path, row) for path, row in rows if not path and row.filter.linked]
    beyond = [found for found in rows if found not in linked]
    conditions = [_own(relation.to or "", link, row) for _, row in linked]
    if beyond:
        target = BY_NAME[relation.to or ""]
        if _is_target(relation):
            conditions.append(_all(target.name, link, beyond))
        else:
            other = aliased(target.model)
            found = select(other.id).where(_all(target.name, other, beyond))
            conditions.append(getattr(link, _target(relation).key).in_(found))
    return and_(true(), *conditions)


Holds = Callable[[Any], ColumnElement[bool]]


def _linked(model: Any, relation: Relation, holds: Holds, *, probing: bool = False) -> ColumnElement[bool]:
    """Return the condition that a row has a link of which ``holds`` is true."""
    if relation.owner.key == "id":
        return holds(model)
    owner, links = _links(relation, holds)
    found: ColumnElement[bool] = links.where(owner == model.id).exists() if probing else model.id.in_(links)
    return found


def _links(relation: Relation, holds: Holds) -> tuple[Any, Any]:
    """Return the column of those who have such a link, and the statement that selects them."""
    link = aliased(relation.link)
    owner = getattr(link, relation.owner.key)
    # A null among the owners would make `not in` neither true nor false.
    return owner, select(owner).where(owner.is_not(None), *_fixed(link, relation), holds(link))


def _is_other(row: Condition, relation: Relation) -> bool:
    """Tell whether a condition is about something else than a row that this relation leads to."""
    wholly = len(row.filter.path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}
    return wholly or not row.filter.path or row.filter.path[0] is not relation


def _is_single(row: Condition, relation: Relation) -> bool:
    """Tell whether no record has more than one link of which a condition holds: one of its table's key to one record."""
    keys = {column.key for column in relation.link.__table__.primary_key}
    one = row.filter.field.column is relation.target and row.filter.operator.name == "" and len(row.value) == 1
    return one and keys == {relation.owner.key, _target(relation).key}


def _fixed(link: Any, relation: Relation) -> list[ColumnElement[bool]]:
    return [getattr(link, name) == value for name, value in relation.where.items()]


# --- lists


def _records() -> Any:
    return select(func.sum(Bucket.records)).where(Bucket.kind == bindparam("kind"))


def published(resource: Resource, column: Any, id: Any = None) -> ScalarSelect[Any]:
    """Return a column of a row's current revision, null when it is not published; of the row of an ``id``, if it is given.

    A subquery and not a join, so that no planner begins with the ledger: the noun's own index gives the
    order, and a page costs as many look-ups as it has rows.
    """
    one = (Revision.kind == resource.name, Revision.id == (resource.model.id if id is None else id), *CURRENT)
    return select(column).where(*one).correlate_except(Revision).scalar_subquery()


class Listing:
    """A query with what its statements share: their shape and values, where the rows come from, and what orders them."""

    def __init__(self, session: Session, query: Query) -> None:
        """Tell the shape of a query from its values; no statement is built yet."""
        self.session, self.query = session, query
        self.dialect = session.get_bind().dialect.name
        # None stands for the rank.
        self.order: tuple[Key | None, ...] = (None, *query.order) if query.ranked else query.order
        self.values: dict[str, Any] = {}
        keys = tuple([key and (key.field.name, key.descending) for key in self.order])
        # Where all is published, nothing is to be checked.
        _, self.settled = _state(session)
        own = (query.resource.name, _shape(query.where, self.values), keys)
        lookup = None if query.search is None else self.lookup()
        self.values |= lookup.values if lookup else {}
        self.shape = (own, query.ranked, lookup and lookup.shape, self.settled)
        self.joined = query.search is not None or any(key and key.field.column.class_ is Revision for key in self.order)

    def rows(self, name: Hashable, build: Callable[[], Select[Any]], **values: Any) -> list[Any]:
        """Run one of the list's statements."""
        return prepared.rows(self.session, (self.shape, name), build, self.values | values)

    def count(self, most: int | None) -> int:
        """Count the rows of the list, up to so many."""
        if self.settled and self.query.search is None and self.query.where == ALL:
            return self.records
        plan = self.plan

        def build() -> Any:
            ids = self._ids(plan)
            return select(func.count()).select_from((ids if most is None else ids.limit(_limit("most"))).subquery())

        ((found,),) = self.rows(("count", most is None, plan), build, most=most)
        return int(found)

    @cached_property
    def records(self) -> int:
        """How many records of the noun there are: the digest knows."""
        ((known,),) = prepared.rows(self.session, "records", _records, {"kind": self.query.resource.name})
        return int(known or 0)

    @cached_property
    def plan(self) -> "Plan":
        """How the rows are found, where all of them are wanted."""
        query = self.query
        own, related = self._parts()
        if query.search is not None:
            # The filter's rows are found first where they are few, and much fewer than the search's.
            filtered = FEW + 1 if query.where == ALL else self._of(replace(query, search=None)).count(FEW + 1)
            beyond = filtered * LOOKUP
            leads = filtered > FEW or self._of(replace(query, where=ALL)).count(beyond + 1) <= beyond
            return Plan(leads=leads, probing=leads)
        if self.dialect != "sqlite" or not own or not related:
            return Plan()
        # PostgreSQL has statistics for this.
        sizes = [self._of(replace(query, where=Conditions(rows))).count(WEIGHED) for rows in (own, related)]
        return Plan(probing=sizes[0] <= sizes[1])

    def _of(self, query: Query) -> "Listing":
        """Return a part of the query as a list of its own."""
        return Listing(self.session, replace(query, sort=(), cursor=None))

    def _parts(self) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
        """Return the conditions of the noun's own table, and those of the first relation that is kept in another."""
        rows = self.query.where.all if isinstance(self.query.where, Conditions) else ()
        linking = [row.filter.path[0] for row in rows if row.filter.path and row.filter.path[0].owner.key != "id"]
        own = tuple([row for row in rows if not row.filter.path or row.filter.path[0].owner.key == "id"])
        return own, tuple([row for row in rows if linking and row.filter.path and row.filter.path[0] is linking[0]])

    def _ids(self, plan: "Plan") -> Select[Any]:
        """Select the ids of the list's rows, in no order."""
        found = self.links()
        if found is None and plan.leads and self.settled and self.query.where == ALL:
            return search.ENGINES[self.dialect].versions(self.lookup().condition())
        return self.select(self.id, plan=plan) if found is None else found

    def links(self) -> Select[Any] | None:
        """Select them from the links of a relation, where it decides alone and is kept in a table with an index for it."""
        where = self.where
        rows = where.all if isinstance(where, Conditions) else ()
        relation = rows[0].filter.path[0] if rows and rows[0].filter.path else None
        if self.joined or relation is None or relation.owner.key == "id" or any(_is_other(row, relation) for row in rows):
            return None
        # Links that are records of their own have no index for this.
        if relation.target is not None and _is_target(relation):
            return None
        # Where one relation decides, its links need not be looked up in the noun's table to be counted.
        owner, links = _links(relation, partial(_holds, relation, [(row.filter.path[1:], row) for row in rows]))
        found: Select[Any] = links.where(self.published(owner))
        return found if len(rows) == 1 and _is_single(rows[0], relation) else found.distinct()

    def published(self, id: Any) -> ColumnElement[bool]:
        """Return the condition that a row of the table is published."""
        if self.settled:
            return true()
        # Only what is noted as changed can be in the table and not published: the rest is spared the look-up.
        resource = self.query.resource
        noted = select(Dirty.id).where(Dirty.kind == resource.name)
        return or_(id.not_in(noted), published(resource, Revision.version, id).is_not(None))

    @cached_property
    def keys(self) -> tuple[ColumnElement[Any], ...]:
        """The columns that order it; of one that is ranked, those that order each tier."""
        if self.query.ranked and self.plan.leads:
            return (type_coerce(search.ENGINES[self.dialect].version, BigInteger()),)
        return tuple([self._column(key) for key in self.order if key])

    def _column(self, key: Key) -> Any:
        # The times of the ledger have the order of its versions, which have no ties.
        column = Revision.version if key.field.column.class_ is Revision else key.field.column
        return type_coerce(column, WIDE[key.field.type.name]) if key.field.type.name in WIDE else column

    @property
    def id(self) -> Any:
        """The column with the id."""
        return Revision.id if self.query.search is not None else self.query.resource.model.id

    def select(self, *columns: Any, plan: "Plan", tier: int | None = None, model: bool = False) -> Select[Any]:
        """Select from the rows of the list; documents of the ledger are there when joined, else by `published`.

        The noun's table is, too, where its rows are found in it, and else where ``model`` says so.
        """
        resource, asked = self.query.resource, self.query.search
        table, statement = resource.model, select(*columns)
        own = (Revision.kind == resource.name, *CURRENT)
        if asked is None:
            statement = statement.select_from(table)
            if self.joined:
                statement = statement.join(Revision, and_(Revision.id == table.id, *own))
            else:
                statement = statement.where(self.published(table.id))
            return statement.where(_where(resource, table, self.where, probing=plan.probing))
        engine = search.ENGINES[self.dialect]
        matching = self.lookup(tier).condition()
        if not plan.leads:
            entry = select(engine.version).select_from(engine.table).where(engine.version == Revision.version, matching)
            statement = statement.select_from(table).join(Revision, and_(Revision.id == table.id, *own))
            return statement.where(
                entry.correlate(Revision).exists(), _where(resource, table, self.where, probing=plan.probing)
            )
        # As a sum, the entry's version can't be looked up, nor can the noun: so SQLite begins with the entries.
        found = (Revision.version == engine.version + 0, _is_of(resource))
        statement = statement.select_from(engine.table).join(Revision, and_(*found))
        if model or not self.settled or self.query.where != ALL:
            statement = statement.join(table, table.id == Revision.id)
        return statement.where(matching, _where(resource, table, self.where, probing=plan.probing))

    def lookup(self, tier: int | None = None) -> search.Lookup:
        """Return how the entries are found that its search finds, or those of a tier."""
        assert self.query.search is not None
        wanted = search.wanted(self.query.search) if tier is None else search.tiers(self.query.search)[tier]
        return search.matching(wanted, _nouns(self.session, (self.query.resource.name,)), self.dialect)

    @property
    def where(self) -> Expression:
        """Its expression, with parameters in the place of values."""
        return _parametrized(self.query.where, itertools.count())

    @property
    def document(self) -> Any:
        """The column with the document."""
        return Revision.document if self.joined else published(self.query.resource, Revision.document)

    def ordered(self, statement: Select[Any], keys: Sequence[Any] = ()) -> Select[Any]:
        """Order a statement by the keys, or by what it calls them, nulls last both ways."""
        terms = []
        for column, key in zip(keys or self.keys, [key for key in self.order if key], strict=True):
            term = column.desc() if key.descending else column.asc()
            terms.append(term.nulls_last() if key.field.nullable else term)
        return statement.order_by(*terms)

    @property
    def tiers(self) -> Sequence[int | None]:
        """The tiers of a list that is ranked; the one of another is None."""
        return [*search.tiers(self.query.search)] if self.query.ranked and self.query.search else [None]


@dataclass(frozen=True)
class Plan:
    """How the rows of a list are found.

    ``leads``: its search finds rows, and its filter is asked of them; else the other way round. ``probing``: its relations
    are asked of one row after the other, and don't find them.
    """

    leads: bool = False
    probing: bool = False


@dataclass(frozen=True)
class Page:
    """One page: the ids of its records and their documents as stored, and where the next page begins."""

    ids: Sequence[str]
    documents: Sequence[str]
    cursor: str | None


def page(listed: Listing, number: int | None) -> Page:
    """Return a page of a list, in as many statements as its place in the order needs. Raises a 400 for a foreign cursor.

    ``number`` is how many records there are, at least; None where they were not counted.
    """
    query = listed.query
    signature = _signature(query)
    limit = query.limit or DEFAULT_LIMIT
    places = _decode(query.cursor, signature, [key or int for key in listed.order]) if query.cursor else []
    plan = _plan(listed, limit, number)
    rows: list[Any] = []
    for segment in _segments(listed, places):
        bounds = {f"k{n}": value for n, value in enumerate(places) if value is not None and segment.keys}
        lookup = None if segment.tier is None else listed.lookup(segment.tier)
        rows += listed.rows(
            ("page", segment, tuple(bounds), plan, lookup and lookup.shape),
            partial(_page, listed, segment, places, plan),
            **bounds,
            **(lookup.values if lookup else {}),
            limit=limit + 1 - len(rows),
        )
        if len(rows) > limit:
            break
    shown = rows[:limit]
    cursor = _encode(signature, rows[limit - 1][2:]) if len(rows) > limit else None
    return Page([row[0] for row in shown], [row[1] for row in shown], cursor)


def _plan(listed: Listing, limit: int, number: int | None) -> Plan:
    """Tell how the rows of a page are found."""
    if listed.query.ranked or (listed.query.search is None and not _is_linked(listed.query.where)):
        return listed.plan
    if number is None:
        number = listed.count(CAP)
    # Of many, the next in the order are soon met; of few, all are found, and then put in order.
    soon = number * number > limit * listed.records
    return Plan(probing=True) if soon else listed.plan


def _is_linked(expression: Expression) -> bool:
    """Tell whether it asks for anything that is in another table than the noun's."""
    if isinstance(expression, Group):
        return any(map(_is_linked, expression.children))
    return any(row.filter.path and row.filter.path[0].owner.key != "id" for row in expression.all)


def _page(listed: Listing, segment: "Segment", places: Sequence[Any], plan: Plan) -> Select[Any]:
    keys = [column.label(f"key_{n}") for n, column in enumerate(listed.keys)]
    if segment.tier is not None:
        keys.insert(0, type_coerce(literal(segment.tier), BigInteger()).label("tier"))
    # Where all rows are found and put in order, the documents are those of the few that are left.
    late = not listed.joined and not plan.probing and _is_linked(listed.query.where)
    document = null() if late else listed.document
    columns = [listed.id, document.label("document"), *keys]
    found = listed.select(*columns, plan=plan, tier=segment.tier, model=not listed.query.ranked)
    found = listed.ordered(found.where(_behind(listed, segment, places))).limit(_limit())
    if not late:
        return found
    id, _, *rest = found.subquery().c
    return listed.ordered(select(id, published(listed.query.resource, Revision.document, id), *rest), rest)


def stream(session: Session, query: Query) -> Generator[str]:
    """Yield the documents of a whole list, or of its first `limit`, in its order and in constant memory."""
    listed = Listing(session, query)
    yield from itertools.islice(_streamed(listed), query.limit)


def _streamed(listed: Listing) -> Generator[str]:
    for tier in listed.tiers:
        statement = listed.select(listed.document, plan=listed.plan, tier=tier, model=not listed.query.ranked)
        values = listed.values | ({} if tier is None else listed.lookup(tier).values)
        # A reader who goes away closes the generator, and this the database's cursor.
        asked = listed.ordered(statement).limit(listed.query.limit).execution_options(yield_per=STREAMED)
        with listed.session.execute(asked, values) as rows:
            yield from rows.scalars()


def total(listed: Listing) -> tuple[int | None, str | None]:
    """Count a list as it was asked to be counted: the number, and whether it is exact (`eq`) or a lower bound (`gte`)."""
    how = listed.query.count
    if how == "none":
        return None, None
    return _counted(listed.count(CAP + 1 if how == "capped" else None), how)


def _counted(number: int, how: str) -> tuple[int, str]:
    return (CAP, "gte") if how == "capped" and number > CAP else (number, "eq")


@dataclass(frozen=True)
class Segment:
    """A range of an index behind a cursor: the rows that are equal to it in all but the last of so many keys.

    In that key they have a greater value, or null. All of ``keys`` at once where one comparison of rows says the same.
    Of a list that is ranked, those of a ``tier``.
    """

    keys: int = 0
    whole: bool = False
    null: bool = False
    tier: int | None = None


def _segments(listed: Listing, places: Sequence[Any]) -> Iterator[Segment]:
    """Yield the segments of a list, or those behind a cursor, in its order.

    Behind a row are first those that are equal to it in all keys but the last, then those in all but the
    last two, and so on; of these, first those with a greater value and then those with null.
    """
    if listed.query.ranked:
        for tier in listed.tiers:
            if not places or tier == places[0]:
                yield Segment(1 if places else 0, tier=tier)
            elif tier is not None and tier > places[0]:
                yield Segment(tier=tier)
        return
    order = [key for key in listed.order if key]
    nullable = [key.field.nullable for key in order]
    if not places:
        yield Segment()
    elif len({key.descending for key in order}) == 1 and not any(nullable):
        yield Segment(len(order), whole=True)
    else:
        for length in range(len(order), 0, -1):
            if places[length - 1] is not None:
                yield Segment(length)
                if nullable[length - 1]:
                    yield Segment(length, null=True)


def _behind(listed: Listing, segment: Segment, places: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of a segment's rows."""
    keys = listed.keys[: segment.keys]
    if not keys:
        return true()
    # The first place of a list that is ranked is the tier.
    first = int(listed.query.ranked)
    bounds = [bindparam(f"k{n}", type_=column.type) for n, column in enumerate(keys, first)]
    descending = [key.descending for key in listed.order if key]
    if segment.whole:
        row, bound = tuple_(*keys), tuple_(*bounds)
        return row < bound if descending[0] else row > bound
    equal = [
        column == bound if value is not None else column.is_(None)
        for column, bound, value in zip(keys[:-1], bounds[:-1], places, strict=False)
    ]
    if segment.null:
        return and_(*equal, keys[-1].is_(None))
    return and_(*equal, keys[-1] < bounds[-1] if descending[len(keys) - 1] else keys[-1] > bounds[-1])


def _signature(query: Query) -> str:
    """Name the list that a cursor belongs to: its noun, its filters and its order."""
    asked = [query.resource.name, _canonical(query.where), [[key.field.name, key.descending] for key in query.order]]
    if query.search is not None:
        asked += [repr(query.search), query.sort is None]
    return _hash(asked)


def _hash(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _canonical(expression: Expression) -> Any:
    if isinstance(expression, Group):
        return [expression.connective, *map(_canonical, expression.children)]
    return [[row.filter.name, str(row.value)] for row in expression.all]


def _encode(signature: str, values: Sequence[Any]) -> str:
    text = json.dumps([signature, *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, signature: str, keys: Sequence[Key | type]) -> list[Any]:
    """Read a cursor; what it holds is checked like any other input, since anyone can write one."""
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        values: list[Any] = found[1:]
        if found[0] == signature and len(values) == len(keys):
            for value, key in zip(values, keys, strict=True):
                _check(value, key)
            return values
    except (ValueError, KeyError, TypeError, RecursionError, IndexError, binascii.Error):
        pass
    item = mistake("cursor", "invalid-cursor", "Take it from `links.next` or `page.cursor` of this list.")
    raise ProblemError("invalid-cursor", "The cursor was not made by this list.", item)


def _check(value: Any, key: Key | type) -> None:
    """Raise a TypeError or ValueError unless a key could have this value."""
    if isinstance(key, Key):
        if value is None and key.field.nullable:
            return
        if value not in key.field.schema.get("enum", [value]):
            raise ValueError
    kind = KINDS.get(key.field.type.name, str) if isinstance(key, Key) else key
    if type(value) is not kind or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        raise TypeError
    # A lone surrogate is a string to JSON, but to no database; nor is a null character to PostgreSQL.
    if b"\0" in str(value).encode():
        raise ValueError


# --- facets


@dataclass(frozen=True)
class FacetValue:
    """One value of a facet: what it is called, and how many records of the list have it."""

    value: Any
    label: str | None
    count: int


def facet(listed: Listing, filter: Filter) -> tuple[list[FacetValue], bool]:
    """Count a list by the values of a field, the most frequent first; tells also whether there are more values."""
    plan = listed.plan
    rows = listed.rows(("facet", filter.name, plan), lambda: _facet(listed, filter, plan))
    labels = _labels(listed.session, filter, [found for found, _ in rows if found is not None])
    values = [FacetValue(found, labels.get(found), number) for found, number in rows[:MAX_VALUES]]
    return values, len(rows) > MAX_VALUES


def _facet(listed: Listing, filter: Filter, plan: Plan) -> Select[Any]:
    model: Any = listed.query.resource.model
    row = model
    joins: list[tuple[Any, ColumnElement[bool]]] = []
    for relation in filter.path:
        link = row
        if relation.owner.key != "id":
            link = aliased(relation.link)
            joins.append((link, and_(getattr(link, relation.owner.key) == row.id, *_fixed(link, relation))))
        if (filter.linked and relation is filter.path[-1]) or _is_target(relation):
            row = link
        else:
            row = aliased(BY_NAME[relation.to or ""].model)
            joins.append((row, getattr(link, _target(relation).key) == row.id))
    value = getattr(row, filter.field.column.key)
    # A record can be reached more than once, and counts once.
    count = func.count(model.id.distinct()) if any(map(is_many, filter.path)) else func.count()
    linked = listed.links()
    if linked is None:
        statement = listed.select(value, count, plan=plan, model=True)
    else:
        ids = linked.subquery()
        statement = select(value, count).select_from(ids).join(model, model.id == ids.c[0])
        for index in model.__table__.indexes if row is model else ():
            if next(column.key for column in index.columns) == "id" and value.key in index.columns:
                # SQLite, which has no statistics, would read the whole rows.
                statement = statement.with_hint(model, f"INDEXED BY {index.name}", "sqlite")
    for joined, condition_of_join in joins:
        statement = statement.join(joined, condition_of_join)
    statement = statement.group_by(value).order_by(count.desc(), value.asc().nulls_last())
    return statement.limit(MAX_VALUES + 1)


def _labels(session: Session, filter: Filter, values: Sequence[Any]) -> dict[Any, str]:
    """Return what values are called: the name of the record for an id, the words for a code."""
    noun = refers_to(filter)
    if noun:
        resource = BY_NAME[noun]
        model: Any = resource.model
        return dict(
            _of_ids(session, ("labels", noun), values, lambda ids: select(model.id, resource.label).where(model.id.in_(ids)))
        )
    if filter.field.type.name == "choice":
        return {value: str(value).replace("_", " ").capitalize() for value in values}
    return {value: json.dumps(value) if isinstance(value, bool) else str(value) for value in values}


def refers_to(filter: Filter) -> str | None:
    """Return the noun whose ids a filter's values are, if they are."""
    column = filter.field.column
    for key in column.property.columns[0].foreign_keys:
        table = key.column.table.name
        if table in BY_NAME and key.column.name == "id":
            return str(table)
    return str(column.class_.__tablename__) if column.key == "id" else None


# --- included records


def included(
    session: Session, resource: Resource, ids: Sequence[str], paths: Sequence[tuple[Relation, ...]]
) -> dict[str, dict[str, str]]:
    """Return the documents of the records that these are related to, by noun and id.

    As many statements as there are steps, whatever the number of records. Raises a 400 above
    `MAX_INCLUDED` of a noun.
    """
    reached: dict[tuple[Relation, ...], list[str]] = {(): list(ids)}
    steps = dict.fromkeys(path[:length] for path in paths for length in range(1, len(path) + 1))
    wanted: dict[str, dict[str, str]] = {}
    for path in steps:
        relation = path[-1]
        shape = ("included", resource.name, tuple([step.name for step in path]))
        rows = _of_ids(session, shape, reached[path[:-1]], partial(_reached, relation))
        reached[path] = [id for id, _ in rows]
        noun = wanted.setdefault(relation.to or "", {})
        noun.update((id, document or "") for id, document in rows)
        if len(noun) > MAX_INCLUDED:
            raise _too_many(resource, path)
    return {noun: dict(sorted(found.items())) for noun, found in sorted(wanted.items())}


def _reached(relation: Relation, ids: Sequence[Any]) -> Select[Any]:
    link = aliased(relation.link)
    owner, target = getattr(link, relation.owner.key), getattr(link, _target(relation).key)
    found = select(target).where(owner.in_(ids), target.is_not(None), *_fixed(link, relation))
    named = (Revision.kind == relation.to, Revision.id.in_(found), *CURRENT)
    return cast("Select[Any]", select(Revision.id, Revision.document).where(*named).limit(MAX_INCLUDED + 1))


def _of_ids(session: Session, shape: Hashable, ids: Sequence[str], build: Callable[[Sequence[Any]], Any]) -> list[Any]:
    """Run a statement about these ids, which ``build`` makes of as many parameters."""
    if not ids:
        return []
    values = {f"i{n}": id for n, id in enumerate(padded(ids))}
    return prepared.rows(session, (shape, len(values)), lambda: build([bindparam(name) for name in values]), values)


def _too_many(resource: Resource, path: tuple[Relation, ...]) -> ProblemError:
    name, noun = ".".join(step.name for step in path), path[-1].to
    detail = f"`include={name}` would add more than {MAX_INCLUDED} {noun} to this page."
    cure = f"Ask for fewer {resource.name} with `limit`, or for the {noun} themselves at `/{noun}`, filtered."
    item = mistake("include", "too-many-included", f"{detail} {cure}", allowed={"maximum": MAX_INCLUDED})
    return ProblemError("too-many-included", f"{detail} {cure}", item)


# --- every noun at once


@dataclass(frozen=True)
class Hit:
    """A record that was found."""

    kind: str
    id: str
    document: str


def find(session: Session, asked: Find) -> tuple[list[Hit], str | None]:
    """Return a page of the records of every noun that a search finds, the best first, and the next page's cursor."""
    signature = _hash(["search", repr(asked.search), sorted(asked.kinds)])
    places = _decode(asked.cursor, signature, (int, int, int)) if asked.cursor else []
    rows: list[Any] = []
    for tier, wanted in search.tiers(asked.search).items():
        if not places or tier >= places[0]:
            behind = places if places and tier == places[0] else (tier, *START)
            rows += _newest(session, partial(search.matching, wanted), asked.kinds, asked.limit + 1 - len(rows), behind)
        if len(rows) > asked.limit:
            break
    rows = rows[: asked.limit + 1]
    hits = [Hit(row[0], row[1], row[2] or "") for row in rows[: asked.limit]]
    return hits, _encode(signature, rows[asked.limit - 1][3:]) if len(rows) > asked.limit else None


# Before the first noun's newest record.
START = (0, MAX_INTEGER)
# How many records of each noun there were, at what version, by database: nothing but the way to an answer depends on it.
_sizes: WeakKeyDictionary[Any, tuple[int, Mapping[str, int]]] = WeakKeyDictionary()
STALE = 1_000


def _nouns(session: Session, kinds: Sequence[str]) -> search.Nouns:
    """Return nouns for a search, as those that are left out where these have fewer records."""
    version, engine = dataset_version(session), session.get_bind()
    if engine.dialect.name != "sqlite":
        return search.Nouns(tuple(sorted(kinds)))
    then, sizes = _sizes.get(engine, (-STALE, {}))
    if abs(version - then) >= STALE:
        sizes = dict(prepared.rows(session, "sizes", _by_noun, {}))
        _sizes[engine] = (version, sizes)
    others = tuple([resource.name for resource in SEARCHABLE if resource.name not in kinds])
    fewer = sum(sizes.get(kind, 0) for kind in others) < sum(sizes.get(kind, 0) for kind in kinds)
    # Nouns of a newer release are not known by name, so they can't be left out.
    return search.Nouns(tuple(sorted(kinds)), others if fewer and sizes.keys() <= BY_NAME.keys() else None)


def _by_noun() -> Any:
    return select(Bucket.kind, func.sum(Bucket.records)).group_by(Bucket.kind)


def _is_of(resource: Resource) -> ColumnElement[bool]:
    """Return the condition of a revision of a noun, written so that no index serves it."""
    return Revision.kind + "" == literal(resource.name)


def _newest(
    session: Session, lookup: Callable[..., search.Lookup], kinds: Sequence[str], limit: int, behind: Sequence[int]
) -> list[Any]:
    """Return so many entries of each noun that are found, noun by noun and the newest first, behind a place and a version.

    As kind, id and document, and then the tier, the place of the noun, and the version.
    """
    tier, place, version = behind
    dialect = session.get_bind().dialect.name
    lookups = {
        n: lookup(_nouns(session, (resource.name,)), dialect, mark=f"q{n}_")
        for n, resource in enumerate(SEARCHABLE)
        if resource.name in kinds and n >= place
    }
    if not lookups:
        return []
    values: dict[str, Any] = {f"below{n}": version if n == place else MAX_INTEGER for n in lookups}
    for found in lookups.values():
        values |= found.values
    shape = ("newest", *[(n, found.shape) for n, found in lookups.items()])
    return prepared.rows(session, shape, partial(_first, lookups, dialect), values | {"limit": limit, "tier": tier})


def _first(lookups: Mapping[int, search.Lookup], dialect: str) -> Any:
    engine = search.ENGINES[dialect]
    parts = []
    for n, lookup in lookups.items():
        found = select(
            *(Revision.kind, Revision.id, Revision.document, bindparam("tier", type_=BigInteger()).label("tier")),
            *(type_coerce(literal(n), BigInteger()).label("place"), engine.version.label("version")),
        )
        found = found.select_from(engine.table).join(
            Revision, and_(Revision.version == engine.version + 0, _is_of(SEARCHABLE[n]))
        )
        found = found.where(lookup.condition(), engine.version < bindparam(f"below{n}", type_=BigInteger()))
        # Each noun has as many as are wanted, by its own index.
        parts.append(select(found.order_by(engine.version.desc()).limit(_limit()).subquery()))
    every = union_all(*parts).subquery()
    return select(*every.c).order_by(every.c.place, every.c.version.desc())


def _limit(name: str = "limit") -> Any:
    return bindparam(name, type_=BigInteger())


def find_total(session: Session, asked: Find) -> tuple[int | None, str | None]:
    """Count what a search finds, as `total` does a list."""
    if asked.count == "none":
        return None, None
    most = CAP + 1 if asked.count == "capped" else None
    dialect = session.get_bind().dialect.name
    lookup = search.matching(search.wanted(asked.search), _nouns(session, asked.kinds), dialect)

    def build() -> Any:
        found = search.ENGINES[dialect].versions(lookup.condition())
        return select(func.count()).select_from((found if most is None else found.limit(_limit("most"))).subquery())

    shape = ("found", lookup.shape, most is None)
    ((number,),) = prepared.rows(session, shape, build, lookup.values | {"most": most})
    return _counted(number, asked.count)


def suggest(session: Session, asked: Find) -> list[Hit]:
    """Return the records whose names have words that begin as typed: names that begin so first, then by noun and name."""
    # A letter or two begin words without end: the newest of so many are good enough, until more is typed.
    rows = _newest(session, partial(search.prefixed, asked.text), asked.kinds, CONSIDERED, (0, *START))
    hits = [Hit(row[0], row[1], row[2] or "") for row in rows]
    order = [resource.name for resource in SUGGESTED]
    typed = " ".join(search.words(asked.text))

    def key(hit: Hit) -> tuple[bool, int, str, str]:
        name = label(hit)
        return not " ".join(search.words(name)).startswith(typed), order.index(hit.kind), name, hit.id

    return sorted(hits, key=key)[: asked.limit]


def label(hit: Hit) -> str:
    """Return what a reader calls a record."""
    return str(json.loads(hit.document)[BY_NAME[hit.kind].label.key])


def near_id(session: Session, kind: str, id: str) -> str | None:
    """Return the published id that was probably meant by one that is none, if any."""
    word = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in id.lower()).split())[:200]
    # Those that begin alike: a range of an index, whatever the size of the table.
    alike = (Revision.kind == kind, Revision.id >= word[:2], Revision.id < word[:2] + "~")
    near = select(Revision.id).where(*alike, *CURRENT).order_by(Revision.id).limit(500)
    candidates = session.scalars(near).all() if word else []
    return next((found for found in candidates if found.startswith(word)), None) or nearest(word, candidates)
