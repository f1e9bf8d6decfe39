"""Reads lists: one page with everything that its answer has, or the stream of a whole list."""

import itertools
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from api.ledger.index import words
from api.query import counts, flat, pages, selects
from api.query.facets import Facet, facet
from api.query.hints import Hint, hints
from api.query.language import Query
from api.query.listing import Listing, listing
from api.query.pages import ListPage
from api.query.plan import PLANNER, Planner
from api.query.related import related

STREAMED = 500


@dataclass(frozen=True)
class Result:
    """One page of a list.

    ``total`` and ``relation`` are None if the query counts nothing; ``relation`` is `eq` for an exact total and `gte` for a
    lower bound. ``facets`` are by name, ``included`` documents by noun and id, ``highlights`` by id, or None if the query
    does not ask for them. ``hints`` are for the first page.
    """

    page: ListPage
    total: int | None
    relation: str | None
    facets: Mapping[str, Facet]
    included: Mapping[str, Mapping[str, str]]
    highlights: Mapping[str, Any] | None
    hints: Sequence[Hint]


def read(session: Session, query: Query, planner: Planner = PLANNER) -> Result:
    """Return a page of a list. Raises a 400 for a cursor of another list, and if too many records would be included."""
    list_ = listing(session, query, planner)
    number, relation = counts.total(list_)
    page = pages.page(list_, number)
    page = replace(page, documents=flat.extended(session, query, page.ids, page.documents))
    facets = {filter.name: facet(list_, filter) for filter in query.facets}
    included = related(session, query.resource, page.ids, query.include, page.related)
    highlights = _highlights(query, page) if query.highlights else None
    is_empty = not number if number is not None else not page.ids and query.most > 0
    hinted = () if query.cursor else hints(list_, is_empty=is_empty)
    return Result(page, number, relation, facets, included, highlights, hinted)


def _highlights(query: Query, page: ListPage) -> dict[str, Any]:
    if query.search is None:
        return {}
    rows = zip(page.ids, page.documents, strict=True)
    return {id: words.highlights(query.search, query.resource, json.loads(document)) for id, document in rows}


def stream(session: Session, query: Query, planner: Planner = PLANNER) -> Generator[str]:
    """Yield the documents of a whole list, or of its first `limit`, in its order and in constant memory."""
    yield from itertools.islice(_streamed(listing(session, query, planner)), query.limit)


def _streamed(listing: Listing) -> Generator[str]:
    query, plan = listing.query, counts.plan_of(listing)
    for tier in selects.tiers(listing):
        columns = [selects.document_of(listing), *flat.columns(query)]
        needs_table = not query.ranked or flat.is_flat(query)
        statement = selects.select_rows(listing, *columns, plan=plan, tier=tier, needs_table=needs_table)
        statement = selects.ordered(listing, statement, selects.keys(listing, plan)).limit(query.limit)
        values = {**listing.values, **({} if tier is None else selects.lookup_of(listing, tier).values)}
        # When a reader goes away, the generator is closed, and with it the database's cursor.
        with listing.session.execute(statement.execution_options(yield_per=STREAMED), values) as rows:
            yield from (flat.joined(query, row[0], row[1:]) for row in rows) if flat.is_flat(query) else rows.scalars()
