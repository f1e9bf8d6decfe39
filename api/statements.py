"""The SQL behind a list: a `Query` in; pages, counts, facets, included records and streams out.

Rows are found in the nouns' tables and served from the ledger, as the documents that were published.
"""

import itertools
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.orm import Session, aliased

from api import conditions, counting, cursors, dataset, prepared, search
from api.bitmaps import Versions, dimension_of
from api.counting import NotIndexedError, Order
from api.ledger import CURRENT, Dirty, Revision
from api.operators import WIDE
from api.prepared import Among
from api.problems import ProblemError, mistake
from api.query import CAP, DEFAULT_LIMIT, Condition, Conditions, Expression, Group, Key, Query
from api.resource import Relation, Resource

MAX_INCLUDED = 500
STREAMED = 500
ALL = Conditions(())
# So many rows are counted to see by which of two conditions others are found best.
WEIGHED = 50_000
# Of a filter beside a search, at most so many rows are found first.
FEW = 1_000
# A filter that leaves less than one in so many is asked by the bitmap index.
RARE = 10
# So many versions are put in order at most, where the bitmap index says which they are.
ORDERED = 256
# What it costs to ask a search of one row, in parts of what it costs to find one by it.
LOOKUP = 16


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
        if query.search is not None:
            prepared.replan(session)
        # None stands for the rank.
        self.order: tuple[Key | None, ...] = (None, *query.order) if query.ranked else query.order
        self.values: dict[str, Any] = {}
        keys = tuple([key and (key.field.name, key.descending) for key in self.order])
        # Where all is published, nothing is to be checked.
        self.state = dataset.state(session)
        self.settled = self.state.settled
        own = (query.resource.name, conditions.shape(query.where, self.values), keys)
        lookup = None if query.search is None else self.lookup()
        self.values |= lookup.values if lookup else {}
        self.shape = (own, query.ranked, lookup and lookup.shape, self.settled)
        self.joined = query.search is not None or any(key and key.field.column.class_ is Revision for key in self.order)

    def rows(self, name: Hashable, build: Callable[[], Select[Any]], **values: Any) -> list[Any]:
        """Run one of the list's statements."""
        return prepared.rows(self.session, (self.shape, name), build, self.values | values)

    @cached_property
    def _filtered(self) -> Versions | NotIndexedError | None:
        query = self.query
        try:
            return None if query.where == ALL else counting.versions(self.session, query.resource, query.where)
        except NotIndexedError as error:
            return error

    @property
    def filtered(self) -> Versions | None:
        """The current revisions that its filter leaves; None where it has none. Raises NotIndexedError."""
        if not self.state.indexed:
            raise NotIndexedError
        if isinstance(self._filtered, NotIndexedError):
            raise self._filtered
        return self._filtered

    @cached_property
    def _found(self) -> Versions:
        """The current revisions that its search finds."""
        assert self.query.search is not None
        with suppress(NotIndexedError):
            return counting.found(self.session, (self.query.resource.name,), self.query.search)
        engine, lookup = search.ENGINES[self.dialect], self.lookup()
        shape = (self.shape, "versions")
        return prepared.taken(self.session, shape, lambda: engine.versions(lookup.condition()), self.values, Versions.taken)

    @property
    def versions(self) -> Versions | None:
        """The current revisions of the list's records; None where it has all. Raises NotIndexedError."""
        filtered = self.filtered
        if self.query.search is None or (filtered is not None and not filtered):
            return filtered
        return self._found if filtered is None else self._found & filtered

    def count(self, most: int | None) -> int:
        """Count the rows of the list, up to so many."""
        with suppress(NotIndexedError):
            known = self._known()
            return known if most is None else min(known, most)
        plan = self.plan

        def build() -> Any:
            ids = self._ids(plan)
            return select(func.count()).select_from((ids if most is None else ids.limit(limited("most"))).subquery())

        ((counted,),) = self.rows(("count", most is None, plan), build, most=most)
        return int(counted)

    def _known(self) -> int:
        """Count them by what is known of all records. Raises NotIndexedError where SQL does it sooner, too."""
        query, resource = self.query, self.query.resource
        if query.search is not None:
            # Of phrases: where a filter leaves little of all that is found, it takes long to look at one after the other.
            few = query.where == ALL or not FEW < len(self.filtered or ()) < self.size / RARE
            if few and not query.search.plain:
                raise NotIndexedError
        elif self.settled and query.where == ALL:
            return dataset.records(self.session, resource.name)
        elif self.state.indexed and (known := counting.cardinality(self.session, resource, query.where)) is not None:
            return known
        return len(self.versions or ())

    @property
    def size(self) -> int:
        """About how many records the noun has."""
        return dataset.sizes(self.session).get(self.query.resource.name, 0)

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
        """Select one thing of each of the list's rows, in no order, to be counted."""
        found = self.links()
        if found is None and plan.leads and self.settled and self.query.where == ALL:
            return search.ENGINES[self.dialect].versions(self.lookup().condition())
        return self.select(literal_column("1"), plan=plan) if found is None else found

    def links(self) -> Select[Any] | None:
        """Select them from the links of a relation, where it decides alone and is kept in a table with an index for it."""
        where = self.where
        rows = where.all if isinstance(where, Conditions) else ()
        relation = rows[0].filter.path[0] if rows and rows[0].filter.path else None
        if (
            self.joined
            or relation is None
            or relation.owner.key == "id"
            or any(conditions.is_other(row, relation) for row in rows)
        ):
            return None
        # Links that are records of their own have no index for this.
        if relation.target is not None and conditions.is_target(relation):
            return None
        # Where one relation decides, its links need not be looked up in the noun's table to be counted.
        owner, links = conditions.links_of(
            relation, partial(conditions.holding, relation, [(row.filter.path[1:], row) for row in rows])
        )
        found: Select[Any] = links.where(self.published(owner))
        return found if len(rows) == 1 and conditions.is_single(rows[0], relation) else found.distinct()

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
            return statement.where(conditions.where(resource, table, self.where, probing=plan.probing))
        engine = search.ENGINES[self.dialect]
        matching = self.lookup(tier).condition()
        if not plan.leads:
            entry = select(engine.version).select_from(engine.table).where(engine.version == Revision.version, matching)
            statement = statement.select_from(table).join(Revision, and_(Revision.id == table.id, *own))
            return statement.where(
                entry.correlate(Revision).exists(), conditions.where(resource, table, self.where, probing=plan.probing)
            )
        # As a sum, the entry's version can't be looked up, nor can the noun: so SQLite begins with the entries.
        found = (Revision.version == engine.version + 0, is_of(resource))
        statement = statement.select_from(engine.table).join(Revision, and_(*found))
        if model or not self.settled or self.query.where != ALL:
            statement = statement.join(table, table.id == Revision.id)
        return statement.where(matching, conditions.where(resource, table, self.where, probing=plan.probing))

    def lookup(self, tier: int | None = None) -> search.Lookup:
        """Return how the entries are found that its search finds, or those of a tier."""
        assert self.query.search is not None
        wanted = search.wanted(self.query.search) if tier is None else search.tiers(self.query.search)[tier]
        return search.matching(wanted, dataset.nouns(self.session, (self.query.resource.name,)), self.dialect)

    @property
    def where(self) -> Expression:
        """Its expression, with parameters in the place of values."""
        return conditions.parametrized(self.query.where, itertools.count())

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
    are asked of one row after the other, and don't find them. ``soon``: so the next rows of its order are met soon.
    """

    leads: bool = False
    probing: bool = False
    soon: bool = False


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
    signature = cursors.signature(query)
    limit = query.limit or DEFAULT_LIMIT
    places = cursors.decode(query.cursor, signature, [key or int for key in listed.order]) if query.cursor else []
    plan = _plan(listed, limit, number)
    rows: list[Any] = []
    for segment in _segments(listed, places):
        bounds = {f"k{n}": value for n, value in enumerate(places) if value is not None and segment.keys}
        wanted = limit + 1 - len(rows)
        lookup = None if segment.tier is None else listed.lookup(segment.tier)
        if plan.soon and (versions := upcoming(listed, segment, places, wanted)):
            shape: Hashable = ("page of these", segment, tuple(bounds), versions.shape)
            rows += listed.rows(
                shape, partial(_page_of, listed, segment, places, versions), **bounds, **versions.values, limit=wanted
            )
        else:
            rows += listed.rows(
                ("page", segment, tuple(bounds), plan, lookup and lookup.shape),
                partial(_page, listed, segment, places, plan),
                **bounds,
                **(lookup.values if lookup else {}),
                limit=wanted,
            )
        if len(rows) > limit:
            break
    shown = rows[:limit]
    cursor = cursors.encode(signature, rows[limit - 1][2:]) if len(rows) > limit else None
    return Page([row[0] for row in shown], [row[1] for row in shown], cursor)


def _plan(listed: Listing, limit: int, number: int | None) -> Plan:
    """Tell how the rows of a page are found."""
    if listed.query.ranked or (listed.query.search is None and not _is_linked(listed.query.where)):
        return listed.plan
    if number is None:
        number = listed.count(CAP)
    # Of many, the next in the order are soon met; of few, all are found, and then put in order.
    soon = number * number > limit * listed.size
    return Plan(probing=True, soon=True) if soon else listed.plan


def _is_linked(expression: Expression) -> bool:
    """Tell whether it asks for anything that is in another table than the noun's."""
    if isinstance(expression, Group):
        return any(map(_is_linked, expression.children))
    return any(row.filter.path and row.filter.path[0].owner.key != "id" for row in expression.all)


def upcoming(listed: Listing, segment: "Segment", places: Sequence[Any], wanted: int) -> Among | None:
    """Return the versions of a segment's next rows, and of some more; of a tie, of all of it. None where SQL is to find them.

    The bitmap index knows them where the list has no search, it has the list's filter, and the first key is a date.
    """
    key, resource = listed.order[0], listed.query.resource
    order = dimension_of(resource, key.field.column) if key and key.field.type.name == "date" else None
    place = places[0] if segment.keys else None
    if not key or not order or listed.query.search or segment.whole or segment.null or (segment.keys and place is None):
        return None
    with suppress(NotIndexedError):
        chosen = listed.filtered
        if chosen is None:
            return None
        if segment.keys > 1:
            found: Versions | None = counting.holding(listed.session, resource, order, [place]) & chosen
        else:
            found = counting.first(listed.session, Order(resource, order, key.descending, place), chosen, wanted)
        if found is not None and len(found) <= ORDERED:
            # No version is 0: where a tie has emptied, nothing is found.
            return prepared.among(listed.session, [*found] or [0], BigInteger)
    return None


def _page_of(listed: Listing, segment: "Segment", places: Sequence[Any], versions: Among) -> Select[Any]:
    """Select the first of a segment's rows among some versions, of all of which the list's filter holds."""
    keys = [column.label(f"key_{n}") for n, column in enumerate(listed.keys)]
    table = listed.query.resource.model
    found = select(table.id, Revision.document, *keys).join_from(Revision, table, table.id == Revision.id)
    found = found.where(versions.condition(Revision.version), _behind(listed, segment, places))
    return listed.ordered(found).limit(limited())


def _page(listed: Listing, segment: "Segment", places: Sequence[Any], plan: Plan) -> Select[Any]:
    keys = [column.label(f"key_{n}") for n, column in enumerate(listed.keys)]
    if segment.tier is not None:
        keys.insert(0, type_coerce(literal(segment.tier), BigInteger()).label("tier"))
    # Where all rows are found and put in order, the documents are those of the few that are left.
    late = not listed.joined and not plan.probing and _is_linked(listed.query.where)
    document = null() if late else listed.document
    columns = [listed.id, document.label("document"), *keys]
    found = listed.select(*columns, plan=plan, tier=segment.tier, model=not listed.query.ranked)
    found = found.where(_behind(listed, segment, places))
    if late and listed.dialect == "postgresql":
        # Behind an offset, the order gives nobody the idea to walk through an index of it, past all that is not wanted.
        found = select(*found.offset(0).subquery().c)
        found = listed.ordered(found, [*found.selected_columns][2:])
    else:
        found = listed.ordered(found)
    found = found.limit(limited())
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
    return counted(listed.count(CAP + 1 if how == "capped" else None), how)


def counted(number: int, how: str) -> tuple[int, str]:
    """Return a number as it was asked for, and whether it is exact or a lower bound."""
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


def is_of(resource: Resource) -> ColumnElement[bool]:
    """Return the condition of a revision of a noun, written so that no index serves it."""
    return Revision.kind + "" == literal(resource.name)


def limited(name: str = "limit") -> Any:
    """Return the parameter that says how many rows there are at most."""
    return bindparam(name, type_=BigInteger())


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
        rows = of_ids(session, shape, reached[path[:-1]], partial(_reached, relation))
        reached[path] = [id for id, _ in rows]
        noun = wanted.setdefault(relation.to or "", {})
        noun.update((id, document or "") for id, document in rows)
        if len(noun) > MAX_INCLUDED:
            raise _too_many(resource, path)
    return {noun: dict(sorted(found.items())) for noun, found in sorted(wanted.items())}


def _reached(relation: Relation, ids: Among) -> Select[Any]:
    link = aliased(relation.link)
    owner, target = getattr(link, relation.owner.key), getattr(link, conditions.target_of(relation).key)
    found = select(target).where(ids.condition(owner), target.is_not(None), *conditions.fixed(link, relation))
    named = (Revision.kind == relation.to, Revision.id.in_(found), *CURRENT)
    return cast("Select[Any]", select(Revision.id, Revision.document).where(*named).limit(MAX_INCLUDED + 1))


def of_ids(session: Session, shape: Hashable, ids: Sequence[str], build: Callable[[Among], Any]) -> list[Any]:
    """Run a statement about these ids."""
    if not ids:
        return []
    among = prepared.among(session, ids)
    return prepared.rows(session, (shape, among.shape), lambda: build(among), among.values)


def _too_many(resource: Resource, path: tuple[Relation, ...]) -> ProblemError:
    name, noun = ".".join(step.name for step in path), path[-1].to
    detail = f"`include={name}` would add more than {MAX_INCLUDED} {noun} to this page."
    cure = f"Ask for fewer {resource.name} with `limit`, or for the {noun} themselves at `/{noun}`, filtered."
    item = mistake("include", "too-many-included", f"{detail} {cure}", allowed={"maximum": MAX_INCLUDED})
    return ProblemError("too-many-included", f"{detail} {cure}", item)
