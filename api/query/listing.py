"""A list that a session reads: its query, and the shape and values that all of its statements share."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger import head
from api.ledger.index import fulltext
from api.ledger.models import Revision
from api.query import conditions
from api.query.language import Query
from api.query.order import SortKey
from api.query.plan import Planner

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Listing:
    """A list that a session reads.

    ``shape`` identifies its statements, ``values`` are their parameters by name. ``settled``: everything in the tables is
    published, so no row needs a check. ``joined``: its statements join the ledger.
    """

    session: Session
    query: Query
    planner: Planner
    shape: Hashable
    values: Mapping[str, Any]
    settled: bool
    joined: bool
    # The answers of functions that are called `once`.
    answers: dict[Callable[..., Any], Any] = field(default_factory=dict)

    @property
    def dialect(self) -> str:
        """The kind of database."""
        return dialect_of(self.session)

    @property
    def size(self) -> int:
        """The approximate number of the noun's records."""
        return self.planner.sizes(self.session).get(self.query.resource.name, 0)

    def rows(self, name: Hashable, build: Callable[[], Select[Any]], **values: Any) -> list[Any]:
        """Run the statement of this name, which ``build`` makes if its shape is new."""
        return statements.rows(self.session, (self.shape, name), build, {**self.values, **values})


def listing(session: Session, query: Query, planner: Planner) -> Listing:
    """Return the list for a query; runs no statement for rows yet."""
    if query.search is not None:
        statements.replan(session)
    settled = head.state(session).settled
    values: dict[str, Any] = {}
    keys = tuple([(key.name, key.descending, key.backward) for key in query.order])
    shape: tuple[Hashable, ...] = (query.resource.name, conditions.shape(query.where, values), keys, query.ranked, settled)
    if query.search is not None:
        entries = lookup(session, query, planner)
        shape, values = (*shape, entries.shape), values | entries.values
    joined = query.search is not None or any(map(is_of_ledger, query.order))
    return Listing(session, query, planner, shape, values, settled, joined)


def part_of(whole: Listing, part: Query) -> Listing:
    """Return the list for a part of a list's query, in no particular order."""
    return listing(whole.session, replace(part, sort=(), cursor=None), whole.planner)


def from_start(whole: Listing) -> Listing:
    """Return the same list for its first page."""
    return listing(whole.session, replace(whole.query, cursor=None), whole.planner)


def once(function: Callable[[Listing], Value]) -> Callable[[Listing], Value]:
    """Keep the answer of a function for each list, unless it raises."""

    @wraps(function)
    def kept(listing: Listing) -> Value:
        if function not in listing.answers:
            listing.answers[function] = function(listing)
        answer: Value = listing.answers[function]
        return answer

    return kept


def lookup(session: Session, query: Query, planner: Planner, tier: int | None = None) -> fulltext.Lookup:
    """Return the full-text lookup for a query's search, or for one tier of its ranking."""
    assert query.search is not None
    term_query = fulltext.term_query(query.search) if tier is None else fulltext.tiers(query.search)[tier]
    return fulltext.matching(term_query, planner.nouns(session, (query.resource.name,)), dialect_of(session))


def is_of_ledger(key: SortKey) -> bool:
    """Tell whether a sort key is a column of the ledger."""
    return bool(key.field.column.class_ is Revision)


def dialect_of(session: Session) -> str:
    """Return the kind of database that a session reads: `sqlite` or `postgresql`."""
    return session.get_bind().dialect.name
