"""The page of a list, and of a search."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from api.html import lists as shown
from api.html.maps import map_of
from api.html.values import Names, Reader
from api.query import labels
from api.query.language import Query, filters
from api.query.lists import Result
from api.resources import BY_NAME
from api.schema.choices import label_of
from api.schema.resource import Resource
from api.web.frames import here, page
from api.web.urls import root

# Pieces of a text that a hit shows.
MOST_PIECES = 12


def names_of(
    session: Session,
    resource: Resource,
    records: Iterable[Mapping[str, Any]],
    *others: tuple[str, str],
    chosen: Sequence[str] | None = None,
) -> Names:
    """Return the names of records, of all that they and their chosen fields refer to, and of others."""
    wanted = {*others}
    for record in records:
        wanted |= {(resource.name, record["id"]), *shown.references(resource, record, chosen)}
    return labels.named(session, sorted(wanted))


def list_page(session: Session, query: Query, result: Result, facets: Mapping[str, Any], version: int) -> Response:
    """Return the page of a list."""
    resource, columns = query.resource, shown.columns_of(query.resource, query.fields)
    address = here().joined({name for name, filter in filters(resource).items() if filter.operator.many})
    records = [json.loads(document) for document in result.page.documents]
    names = names_of(session, resource, records, *shown.wanted(resource, address.arguments), chosen=query.fields)
    form = shown.form(resource, address, facets, names)
    more = shown.more(resource, address, [row.name for row in form])
    cursor, before, given = result.page.cursor, result.page.before, dict(address.arguments)
    return page(
        "list.html",
        described=(f"Digital Cities: {resource.name}", f"{resource.description} {resource.details}".strip()),
        alternates=("json", "csv", "ndjson", *(f"{name}.csv" for name in resource.tables)),
        resource=resource,
        title=label_of(resource.name),
        total=result.total,
        at_least=result.relation == "gte",
        chips=[*shown.chips(resource, address, names)],
        address=address,
        q=given.get("q", ""),
        form=form,
        more=more,
        has_more=any(row.value for row in more),
        hidden=address.hidden({"q", "sort", *(row.name for row in (*form, *more))}),
        sort=given.get("sort", ""),
        columns=shown.columns(resource, columns, address),
        rows=[*shown.rows(resource, columns, records, Reader(names, root()))],
        map=map_of(resource, records, names, root(), query.fields),
        bars=[*shown.bars(resource, facets)],
        hints=result.hints,
        first=str(address.without("cursor")) if query.cursor else "",
        next=str(address.having("cursor", cursor)) if cursor else "",
        prev=str(address.having("cursor", before)) if before else "",
        version=version,
    )


def search_page(body: Mapping[str, Any], text: str) -> Response:
    """Return the page of a search from its answer: the records by noun, with the words that match marked."""
    by_noun: dict[str, list[Any]] = {}
    for hit in body["data"]:
        label = shown.label_member(BY_NAME[hit["kind"]])
        marked = [pieces[:MOST_PIECES] for name, pieces in hit["highlights"].items() if name != label]
        by_noun.setdefault(hit["kind"], []).append({**hit, "texts": marked, "address": f"{root()}/{hit['kind']}/{hit['id']}"})
    following = body["page"]["cursor"]
    return page(
        "search.html",
        alternates=("json",),
        title=f"Search for “{text}”",
        q=text,
        groups=by_noun,
        kinds=body["facets"].get("kinds", {"values": []})["values"],
        total=body["page"]["total"],
        at_least=body["page"]["total_relation"] == "gte",
        first=str(here().without("cursor")) if "cursor" in request.args else "",
        next=str(here().having("cursor", following)) if following else "",
        version=body["meta"]["version"],
    )
