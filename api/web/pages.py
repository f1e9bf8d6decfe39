"""Answers with pages for people: what each shows comes from the same query and the same documents as the JSON."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from api.html import figures as figure_texts
from api.html import lists as list_pages
from api.html import records as record_pages
from api.html import templates, texts, values
from api.html.addresses import Address
from api.html.values import Names, Reader
from api.ledger.feed import NewChange
from api.ledger.history import differences
from api.ledger.models import Revision
from api.query import labels
from api.query.facets import Facet
from api.query.language import Query
from api.query.lists import Result
from api.query.order import is_many
from api.query.overview import Figure, Ranking
from api.query.profile import Profile
from api.resources import BY_NAME
from api.schema.choices import label_of
from api.schema.fields import instant
from api.schema.resource import Resource
from api.web.frames import here, page, quoted
from api.web.negotiation import ATOM
from api.web.openapi import SUMMARY, TITLE
from api.web.urls import base_url, root

# Characters that no XML 1.0 may have, and a reason may.
NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# Pieces of highlighted text that a hit shows, and members whose changes are no news to a reader.
MOST_PIECES, LEFT_OUT = 12, {"/basis", "/attributions"}


def names(session: Session, resource: Resource, documents: Sequence[str], *others: tuple[str, str]) -> Names:
    """Return the names of records and of all that they refer to."""
    records = [json.loads(document) for document in documents]
    asked = {*others, *((resource.name, record["id"]) for record in records if "id" in record)}
    for record in records:
        asked |= {*values.references(resource.published, record)}
    return labels.named(session, sorted(asked))


def listing(query: Query, result: Result, facets: Mapping[str, Any], names: Names, version: int) -> Response:
    """Return the page of a list."""
    resource, address, reader = query.resource, here(), Reader(names, root())
    records = [json.loads(document) for document in result.page.documents]
    chosen = list_pages.form(resource, address, facets)
    more = list_pages.more(resource, address, [row.name for row in chosen])
    cursor, before = result.page.cursor, result.page.before
    fields = {"q", "sort", *(row.name for row in (*chosen, *more))}
    return page(
        "list.html",
        described=(f"Digital Cities: {resource.name}", f"{resource.description} {resource.details}".strip()),
        alternates=("json", "csv", "ndjson", *(f"{name}.csv" for name in resource.tables)),
        resource=resource,
        title=label_of(resource.name),
        total=result.total,
        at_least=result.relation == "gte",
        chips=[*list_pages.chips(resource, address, names)],
        address=address,
        q=dict(address.arguments).get("q", ""),
        form=chosen,
        more=more,
        has_more=any(row.value for row in more),
        hidden=address.hidden(fields),
        sort=dict(address.arguments).get("sort", ""),
        columns=list_pages.columns(resource, address),
        rows=[*list_pages.rows(resource, records, reader)],
        bars=[*list_pages.bars(resource, facets)],
        hints=result.hints,
        first=str(address.without("cursor")) if query.cursor else "",
        next=str(address.having("cursor", cursor)) if cursor else "",
        prev=str(address.having("cursor", before)) if before else "",
        version=version,
    )


def record(query: Query, document: str, profile: Profile | None, names: Names, version: int, **more: Any) -> Response:
    """Return the page of a record; ``more`` is what only the page of its noun shows."""
    resource, content = query.resource, json.loads(document)
    citations = [json.loads(row) for row in profile.citations.page.documents] if profile and profile.citations else []
    reader = Reader(names, root(), record_pages.marker(content, citations))
    sources = {} if not profile or not profile.citations else profile.citations.included.get("sources", {})
    return page(
        "record.html",
        alternates=("json",),
        resource=resource,
        record=content,
        title=names.get((resource.name, content["id"]), content["id"]),
        label_mark=reader.mark(values.pointer_of(list_pages.label_member(resource))),
        facts=record_pages.facts(resource, content, reader),
        known=record_pages.known(content, citations),
        sources={id: json.loads(source) for id, source in sources.items()},
        more_citations=profile.citations.total if profile and profile.citations and profile.citations.page.cursor else 0,
        lists=[*_related(profile, names)] if profile else [],
        as_of=query.as_of,
        version=version,
        **{"rankings": [], "priorities": []} | more,
    )


def _related(profile: Profile, names: Names) -> Iterator[Mapping[str, Any]]:
    """Yield the related lists of a record: their first rows, their number, and the address of the whole list."""
    for row in profile.lists:
        records = [json.loads(document) for document in row.result.page.documents]
        id = request.view_args["id"] if request.view_args else ""
        shared = next((other.name for other in row.resource.relations if other.prefix == row.filter and not is_many(other)), "")
        yield {
            "title": texts.title(row.name),
            "noun": row.resource.name,
            "description": row.description,
            "total": row.result.total,
            "at_least": row.result.relation == "gte",
            "columns": list_pages.columns(row.resource, without=shared),
            "rows": [*list_pages.rows(row.resource, records, Reader(names, root()), shared)],
            "address": str(Address(f"{root()}/{row.resource.name}", [(row.filter, id)])),
            "more": bool(row.result.page.cursor),
        }


def referred(profile: Profile | None) -> Iterator[tuple[str, str]]:
    """Yield the records whose names the page of a record shows, besides those of the record itself."""
    for row in profile.lists if profile else ():
        for text in row.result.page.documents:
            content = json.loads(text)
            yield row.resource.name, content["id"]
            yield from values.references(row.resource.published, content)
    if profile and profile.citations:
        for text in profile.citations.page.documents:
            yield from values.references(BY_NAME["citations"].published, json.loads(text))


def search(body: Mapping[str, Any], text: str) -> Response:
    """Return the page of a search: the records by noun, with the words that match marked."""
    by_noun: dict[str, list[Any]] = {}
    for hit in body["data"]:
        label = list_pages.label_member(BY_NAME[hit["kind"]])
        texts_of = [pieces[:MOST_PIECES] for name, pieces in hit["highlights"].items() if name != label]
        by_noun.setdefault(hit["kind"], []).append({**hit, "texts": texts_of, "address": f"{root()}/{hit['kind']}/{hit['id']}"})
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


def names_in(session: Session, resource: Resource, revisions: Sequence[Revision]) -> Names:
    """Return the names of a record and of all that its revisions refer to."""
    return names(session, resource, [row.document for row in revisions if row.document])


def history(resource: Resource, id: str, rows: Sequence[Mapping[str, Any]], names: Names, following: str | None) -> Response:
    """Return the page of a record's history: who changed which members, when and why."""
    reader, schema = Reader(names, root()), resource.published
    said = [
        {
            **row,
            "day": row["changed_at"][:10],
            "said": _said(row),
            "differences": [
                {
                    "label": texts.title(change["pointer"].strip("/")),
                    "before": record_pages.value(reader, schema, change["pointer"], change["before"], row["document"] or {}),
                    "after": record_pages.value(reader, schema, change["pointer"], change["after"], row["document"] or {}),
                }
                for change in row["changes"] or ()
                if change["pointer"] not in LEFT_OUT
            ],
        }
        for row in rows
    ]
    return page(
        "history.html",
        alternates=("json",),
        resource=resource,
        title=f"History of {names.get((resource.name, id), id)}",
        name=names.get((resource.name, id), id),
        address=f"{root()}/{resource.name}/{id}",
        rows=said,
        next=following or "",
    )


def _said(row: Mapping[str, Any]) -> str:
    """Return what a revision did to its record, in words."""
    is_first = row["changes"] is not None and any(change["pointer"] == "/id" for change in row["changes"])
    return {"upsert": "created" if is_first else "changed", "delete": "deleted", "erase": "erased"}[str(row["op"])]


def front_names(
    survey: Mapping[str, Any] | None, rankings: Sequence[Ranking], figures: Sequence[Figure]
) -> set[tuple[str, str]]:
    """Return the records that the start page names."""
    cities = {award["city"] for ranking in rankings for award in ranking.awards}
    cities |= {id for ranking in rankings for id in ranking.competing}
    asked = {("cities", id) for id in cities} | {("initiatives", initiative["id"]) for _, initiative in figures}
    return asked | ({("surveys", survey["id"])} if survey else set())


def ranked(rankings: Sequence[Ranking], names: Names) -> Iterator[Mapping[str, Any]]:
    """Yield the rankings by category, with the names of the cities."""
    reader = Reader(names, root())
    for ranking in rankings:
        yield {
            "name": ranking.name,
            "rows": [
                {
                    "place": _place(award),
                    "city": values.link(reader, "cities", award["city"]),
                    "award": f"{root()}/awards/{award['id']}",
                    "summary": award["summary"] or "",
                }
                for award in ranking.awards
            ],
            "competing": [values.link(reader, "cities", id) for id in ranking.competing],
        }


def _place(award: Mapping[str, Any]) -> str:
    """Return a placing in words; a tie is one that a source names, or that two awards share."""
    if award["rank"] is None:
        return str(award["placement"])
    return f"{award['rank']}{' (tied)' if award['tied'] else ''}"


def by_priority(facet: Facet, **more: str) -> Iterator[Mapping[str, Any]]:
    """Yield the number of initiatives of each priority with a bar, in percent of the most frequent one, and their address."""
    top = max((row.count for row in facet.values), default=0) or 1
    for row in (row for row in facet.values if row.value is not None):
        address = Address(f"{root()}/initiatives", [("priority", row.value), *more.items()])
        yield {
            "label": row.label or row.value,
            "count": row.count,
            "width": round(100 * row.count / top, 1),
            "address": str(address),
        }


def front(  # noqa: PLR0913, PLR0917 - what the page shows
    survey: Mapping[str, Any] | None,
    rankings: Sequence[Ranking],
    priorities: Facet,
    figures: Sequence[Figure],
    totals: Mapping[str, int],
    latest: Sequence[Mapping[str, Any]],
    names: Names,
    version: int,
) -> Response:
    """Return the start page."""
    return page(
        "front.html",
        alternates=("json",),
        described=(TITLE, SUMMARY),
        title="City governments, their awards, and who says so",
        survey=survey,
        survey_name=names.get(("surveys", survey["id"]), "") if survey else "",
        rankings=[*ranked(rankings, names)],
        priorities=[*by_priority(priorities)],
        figures=[
            {
                "amount": figure_texts.amount(metric),
                "name": metric["name"],
                "initiative": values.link(Reader(names, root()), "initiatives", initiative["id"]),
                "address": f"{root()}/initiatives/{initiative['id']}#{values.anchor(metric['pointer'])}",
            }
            for metric, initiative in figures
        ],
        totals=totals,
        latest=latest,
        version=version,
    )


def changes(rows: Sequence[NewChange], names: Sequence[str], following: str | None, version: int, *, is_feed: bool) -> Response:
    """Return the page of the newest changes, by day, or the Atom feed of them."""
    said = told(rows, names)
    if is_feed:
        query = str(Address("", [*request.args.items(multi=True)]))
        # A feed without entries was never updated.
        updated = said[0]["moment"] if said else "1970-01-01T00:00:00Z"
        shown = {"base": base_url(), "path": quoted(request.path), "query": query, "rows": said, "updated": updated}
        text = NOT_IN_XML.sub("", templates.render("changes.xml", **shown))
        return Response(text, content_type=f"{ATOM}; charset=utf-8")
    days = [(day, [*of_day]) for day, of_day in itertools.groupby(said, key=lambda row: row["day"])]
    return page(
        "changes.html",
        alternates=("json", "atom"),
        title="Changes",
        days=days,
        first=str(here().without("cursor")) if "cursor" in request.args else "",
        next=str(here().having("cursor", following)) if following else "",
        version=version,
    )


def told(rows: Sequence[NewChange], names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return changes in words, with the addresses of their records."""
    return [
        {
            "day": f"{row.row.changed_at:%-d %B %Y}",
            "moment": instant(row.row.changed_at),
            "noun": row.row.kind,
            "id": row.row.id,
            "version": row.row.version,
            "label": name,
            "is_gone": row.row.document is None,
            "said": _change_in_words(row),
            "author": row.author,
            "reason": row.row.reason,
            "address": f"{root()}/{row.row.kind}/{row.row.id}{'/history' if row.row.document is None else ''}",
        }
        for row, name in zip(rows, names, strict=True)
    ]


def _change_in_words(change: NewChange) -> str:
    """Return what a change did to its record: the names of the members that it changed."""
    if change.row.document is None:
        return "deleted"
    if change.before is None:
        return "added"
    rows = differences(json.loads(change.before), json.loads(change.row.document))
    members = [texts.title(row["pointer"].strip("/")) for row in rows if row["pointer"] not in LEFT_OUT]
    return f"changed: {', '.join(members).lower()}" if members else "checked again"
