"""The page of a record."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from api.html import lists as shown
from api.html import records as facts
from api.html import texts, values
from api.html.addresses import Address
from api.html.maps import map_of
from api.html.values import Names, Reader
from api.query.labels import Hit, labels
from api.query.language import Query
from api.query.order import is_many
from api.query.overview import AWARDS
from api.query.plan import Planner
from api.query.profile import CITATIONS, Profile, RelatedList, profile
from api.resources import BY_NAME
from api.web.frames import page
from api.web.pages.lists import names_of
from api.web.pages.overviews import edition
from api.web.urls import root

NOTHING = Profile((), None)


def record_page(session: Session, query: Query, document: str, planner: Planner, version: int) -> Response:
    """Return the page of a record as it is now, or as it was."""
    resource, record = query.resource, json.loads(document)
    # The past has no index that finds the records which referred to it.
    about = profile(session, resource, record["id"], planner) if query.as_of is None else NOTHING
    related = [(row, [json.loads(text) for text in row.result.page.documents]) for row in about.lists]
    citations = [json.loads(text) for text in about.citations.page.documents] if about.citations else []
    sources = about.citations.included.get("sources", {}) if about.citations else {}
    names = dict(names_of(session, resource, [record], *_named(related, citations), chosen=query.fields))
    # A record of the past is called as it was then.
    names[resource.name, record["id"]] = labels(session, [Hit(resource.name, record["id"], document)])[0]
    reader = Reader(names, root(), facts.marker(record, citations))
    has_ranking = resource.look.ranking and query.as_of is None
    # A ranking has each award that a short list would show.
    told = [row for row, _ in related if has_ranking and row.resource.name == AWARDS and not row.result.page.cursor]
    return page(
        "record.html",
        alternates=("json",),
        resource=resource,
        record=record,
        title=names[resource.name, record["id"]],
        label_mark=reader.mark(values.pointer_of(shown.label_member(resource))),
        map=map_of(resource, [record], names, root(), query.fields),
        facts=facts.facts(resource, record, reader, query.fields),
        known=facts.known(record, citations),
        sources={id: json.loads(source) for id, source in sources.items()},
        more_citations=about.citations.total if about.citations and about.citations.page.cursor else 0,
        lists=[_related(row, records, record["id"], names) for row, records in related if row not in told],
        as_of=query.as_of,
        version=version,
        **(edition(session, record, planner) if has_ranking else {"rankings": [], "priorities": []}),
    )


def _named(related: Sequence[tuple[RelatedList, Any]], citations: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Yield the records that the lists and the citations of a record name."""
    for row, records in related:
        for record in records:
            yield row.resource.name, record["id"]
            yield from shown.references(row.resource, record)
    for citation in citations:
        yield from shown.references(BY_NAME[CITATIONS], citation)


def _related(row: RelatedList, records: Sequence[Any], id: str, names: Names) -> Mapping[str, Any]:
    """Return a related list: its first rows, their number, and the address of the whole list."""
    # A column that all records share is left out.
    shared = {other.name for other in row.resource.relations if other.prefix == row.filter and not is_many(other)}
    columns = [name for name in shown.columns_of(row.resource) if name not in shared]
    return {
        "title": texts.title(row.name),
        "noun": row.resource.name,
        "description": row.description,
        "total": row.result.total,
        "at_least": row.result.relation == "gte",
        "columns": shown.columns(row.resource, columns),
        "rows": [*shown.rows(row.resource, columns, records, Reader(names, root()))],
        "address": str(Address(f"{root()}/{row.resource.name}", [(row.filter, id)])),
        "more": bool(row.result.page.cursor),
    }
