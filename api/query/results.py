"""The result of a list query: one page, the total, facets, included records and highlights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.ledger.index import words
from api.query import facets, lists, pages
from api.query.language import Query
from api.query.related import related


@dataclass(frozen=True)
class Facet:
    """The most frequent values of a facet, the most frequent first; ``more`` tells whether there are others."""

    values: Sequence[facets.FacetValue]
    more: bool


@dataclass(frozen=True)
class Result:
    """One page of a list; ``total`` and ``relation`` are None if the query counts nothing."""

    page: pages.Page
    total: int | None
    relation: str | None
    facets: Mapping[str, Facet]
    included: Mapping[str, Mapping[str, str]]
    highlights: Mapping[str, Any] | None


def read(session: Session, query: Query) -> Result:
    """Return a page of a list. Raises a 400 for a cursor of another list, and if too many records would be included."""
    listing = lists.Listing(session, query)
    number, relation = lists.total(listing)
    page = pages.page(listing, number)
    counts = {filter.name: Facet(*facets.facet(listing, filter)) for filter in query.facets}
    included = related(session, query.resource, page.ids, query.include, page.beside)
    return Result(page, number, relation, counts, included, _highlights(query, page) if query.highlights else None)


def _highlights(query: Query, page: pages.Page) -> dict[str, Any]:
    if query.search is None:
        return {}
    rows = zip(page.ids, page.documents, strict=True)
    return {id: words.highlights(query.search, query.resource, json.loads(document)) for id, document in rows}
