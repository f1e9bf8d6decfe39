"""The SQL behind a list: what the statements of a `Query` share, how many records it has, and the stream of them all.

Rows are found in the nouns' tables and served from the ledger, as the documents that were published.
"""

import itertools
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

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
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger import head
from api.ledger.index import fulltext
from api.ledger.index.versions import Versions
from api.ledger.models import CURRENT, Dirty, Revision
from api.query import conditions, plan, sets
from api.query.language import CAP, Condition, Conditions, Expression, Key, Query
from api.query.plan import FEW, LOOKUP, RARE, WEIGHED, Plan
from api.query.sets import NotIndexedError
from api.schema.operators import WIDE
from api.schema.resource import Resource

STREAMED = 500
ALL = Conditions(())


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
            statements.replan(session)
        # None stands for the rank.
        self.order: tuple[Key | None, ...] = (None, *query.order) if query.ranked else query.order
        self.values: dict[str, Any] = {}
        keys = tuple([key and (key.field.name, key.descending) for key in self.order])
        # Where all is published, nothing is to be checked.
        self.state = head.state(session)
        self.settled = self.state.settled
        own = (query.resource.name, conditions.shape(query.where, self.values), keys)
        lookup = None if query.search is None else self.lookup()
        self.values |= lookup.values if lookup else {}
        self.shape = (own, query.ranked, lookup and lookup.shape, self.settled)
        self.joined = query.search is not None or any(key and key.field.column.class_ is Revision for key in self.order)

    def rows(self, name: Hashable, build: Callable[[], Select[Any]], **values: Any) -> list[Any]:
        """Run one of the list's statements."""
        return statements.rows(self.session, (self.shape, name), build, self.values | values)

    @cached_property
    def _filtered(self) -> Versions | NotIndexedError | None:
        query = self.query
        try:
            return None if query.where == ALL else sets.versions(self.session, query.resource, query.where)
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
            return sets.found(self.session, (self.query.resource.name,), self.query.search)
        engine, lookup = fulltext.ENGINES[self.dialect], self.lookup()
        shape = (self.shape, "versions")
        return statements.taken(self.session, shape, lambda: engine.versions(lookup.condition()), self.values, Versions.taken)

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
            return head.records(self.session, resource.name)
        elif self.state.indexed and (known := sets.cardinality(self.session, resource, query.where)) is not None:
            return known
        return len(self.versions or ())

    @property
    def size(self) -> int:
        """About how many records the noun has."""
        return head.sizes(self.session).get(self.query.resource.name, 0)

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
            return fulltext.ENGINES[self.dialect].versions(self.lookup().condition())
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
            return (type_coerce(fulltext.ENGINES[self.dialect].version, BigInteger()),)
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
        engine = fulltext.ENGINES[self.dialect]
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

    def lookup(self, tier: int | None = None) -> fulltext.Lookup:
        """Return how the entries are found that its search finds, or those of a tier."""
        assert self.query.search is not None
        wanted = fulltext.term_query(self.query.search) if tier is None else fulltext.tiers(self.query.search)[tier]
        return fulltext.matching(wanted, plan.nouns(self.session, (self.query.resource.name,)), self.dialect)

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
        return [*fulltext.tiers(self.query.search)] if self.query.ranked and self.query.search else [None]


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


def is_of(resource: Resource) -> ColumnElement[bool]:
    """Return the condition of a revision of a noun, written so that no index serves it."""
    return Revision.kind + "" == literal(resource.name)


def limited(name: str = "limit") -> Any:
    """Return the parameter that says how many rows there are at most."""
    return bindparam(name, type_=BigInteger())
