"""How answers with records are written: stored documents, joined as they are, in an envelope of JSON."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from flask import Response, request
from werkzeug.datastructures import MultiDict

from api.ledger import history
from api.ledger.history import RevisionRow
from api.ledger.models import ERASE, Revision
from api.query.facets import Facet
from api.query.language import Filter, Query
from api.query.lists import Result
from api.query.order import is_many
from api.query.refinements import chooses, refined
from api.schema import strict_json
from api.schema.fields import instant
from api.schema.formats import select as select_members
from api.schema.operators import escape
from api.web.responses import JSON, address, link_header, quoted

Included = Mapping[str, Mapping[str, str]]


class ChangeRenderer(Protocol):
    """Writes a change as JSON: its revision, its cursor and more members."""

    def __call__(self, row: RevisionRow, cursor: str, **more: Any) -> str:
        """Return the text."""


def record(query: Query, document: str, included: Included, version: int) -> Response:
    """Return the answer with one record."""
    return Response(
        _envelope(_selected(document, query.fields), _trimmed(query, included), {"meta": {"version": version}}),
        content_type=JSON,
    )


def listing(query: Query, result: Result, version: int) -> Response:
    """Return the answer with a page of a list."""
    cursor, before = result.page.cursor, result.page.before
    links = {
        "self": address(request.args),
        "next": cursor and address(request.args, cursor=cursor),
        "prev": before and address(request.args, cursor=before),
    }
    members: dict[str, Any] = {
        "facets": facets(query, result),
        "page": page(query.most, cursor, result.total, result.relation),
        "links": links,
        "meta": {"version": version, **({"hints": [*map(asdict, result.hints)]} if result.hints else {})},
    }
    if query.highlights:
        members["highlights"] = result.highlights
    data = f"[{','.join(_selected(document, query.fields) for document in result.page.documents)}]"
    response = Response(_envelope(data, _trimmed(query, result.included), members), content_type=JSON)
    response.headers["Link"] = link_header(links)
    response.headers["Content-Disposition"] = f'inline; filename="{query.resource.name}.json"'
    return response


def facets(query: Query, result: Result) -> dict[str, Any]:
    """Return the facets of a list by name, each value with the addresses that add and remove it."""
    return {filter.name: _facet(filter, result.facets[filter.name]) for filter in query.facets}


def page(limit: int, cursor: str | None, total: int | None, relation: str | None) -> dict[str, Any]:
    """Return the `page` of an envelope."""
    return {"limit": limit, "cursor": cursor, "total": total, "total_relation": relation}


def leaf(revision: Revision) -> str:
    """Return a record of a bucket or of the snapshot, with its hash."""
    assert revision.leaf is not None
    facts = {"kind": revision.kind, "id": revision.id, "version": revision.version, "hash": revision.leaf.hex()}
    return around(revision.document, facts)


def around(document: str | None, facts: Mapping[str, Any]) -> str:
    """Return facts about a document, and then the document itself as `document`."""
    return f'{_compact(facts)[:-1]},"document":{document or "null"}}}'


def separated(texts: Iterable[str]) -> Iterator[str]:
    """Yield the items of a JSON list, with commas between them."""
    for number, text in enumerate(texts):
        yield f",{text}" if number else text


def change(row: RevisionRow, cursor: str, **more: Any) -> str:
    """Return a change as JSON with ``more`` members, and with the document as it is stored."""
    facts = {
        "version": row.version,
        "commit": row.commit_version,
        "kind": row.kind,
        "id": row.id,
        # The feed shows no revision that was trimmed.
        "op": ERASE if history.is_cut(row) else history.effect(row),
        "reason": row.reason,
        "changed_at": instant(row.changed_at),
        "hash": row.leaf and row.leaf.hex(),
        "cursor": cursor,
        **merged_into(row),
        **more,
    }
    return around(row.document, facts)


def merged_into(row: RevisionRow | Revision) -> dict[str, str]:
    """Return the member of a tombstone that names the record which took the place; no other change has it."""
    return {"merged_into": row.merged_into} if row.merged_into else {}


def changes(rows: Iterable[str], members: Mapping[str, Any]) -> Iterator[str]:
    """Yield the pieces of an answer with changes and other members."""
    yield '{"data":['
    yield from separated(rows)
    yield f"],{_compact(members)[1:]}"


def flat_change(row: RevisionRow, cursor: str, **more: Any) -> str:
    """Return a change as JSON: the record with three and ``more`` members; without a document, its id and version with them.

    Only an erasure has `erased`, so that tools make no column for it in vain. A member that the record has itself, such as the
    `label` of a source, is not added.
    """
    members: dict[str, Any] = {"changed_at": instant(row.changed_at), "deleted": row.document is None, "cursor": cursor, **more}
    if row.document is None:
        erased = {"erased": True} if row.erases or history.is_cut(row) else {}
        return _compact({"id": row.id, "version": row.version, **members, **erased, **merged_into(row)})
    for name in json.loads(row.document).keys() & more.keys():
        del members[name]
    return f"{row.document[:-1]},{_compact(members)[1:]}"


def _envelope(data: str, included: Included, members: Mapping[str, Any]) -> str:
    """Join stored documents with the other members of an envelope."""
    nouns = ",".join(f'"{noun}":{{{_by_id(documents)}}}' for noun, documents in included.items())
    return f'{{"data":{data},"included":{{{nouns}}},{_compact(members)[1:]}'


def _trimmed(query: Query, included: Included) -> Included:
    members = dict(query.trimmed)
    return {
        noun: {id: _selected(document, members.get(noun)) for id, document in documents.items()}
        for noun, documents in included.items()
    }


def _by_id(documents: Mapping[str, str]) -> str:
    return ",".join(f"{json.dumps(id)}:{document}" for id, document in documents.items())


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _selected(document: str, members: Sequence[str] | None) -> str:
    return document if members is None else select_members(document, members)


def _facet(filter: Filter, facet: Facet) -> dict[str, Any]:
    """Return a facet; each value has the address of this list with the value added to the selected ones, and without it."""
    link, selected = _filtered_by(filter), [row.value for row in facet.values if row.selected]
    here = address(request.args, without="cursor")
    values = [
        {
            "value": row.value,
            "label": row.label,
            "count": row.count,
            "selected": row.selected,
            # Null excludes the other values, because it is another condition.
            "add": here if row.selected else link([*(selected if None not in (row.value, *selected) else ()), row.value]),
            "remove": link([value for value in selected if value != row.value]),
        }
        for row in facet.values
    ]
    return {"values": values, "more": facet.more}


def _filtered_by(filter: Filter) -> Callable[[Sequence[Any]], str]:
    """Return a function from the selected values of a facet to the address of this list; none select all records.

    All these addresses begin alike and end with the values, so their beginning is made only once.
    """
    name, is_null = filter.name, f"{filter.name}__isnull"
    own = {key for key in (name, is_null) if any(chooses(filter, key, value != "false") for value in request.args.getlist(key))}
    kept = MultiDict((key, value) for key, value in request.args.items(multi=True) if key not in {*own, "cursor", "filter"})
    expression = strict_json.load(request.args.get("filter", "{}"))
    others = refined(expression, filter, [])
    # A second condition on a relation to many must hold for any related record, not for the one that is filtered by already:
    # so it goes into `filter`, as an `and`. A condition that is there already changes its values in its place.
    prefixes = {re.split(r"__|\.", name)[0] for name in kept}
    is_apart = bool(filter.path) and is_many(filter.path[0]) and filter.path[0].prefix in prefixes
    is_nested = not own and (is_apart or others != expression)
    start = address(kept)
    rest = address(kept, filter=json.dumps(others)) if others else start
    sign = {True: "&", False: "?"}

    def link(values: Sequence[Any]) -> str:
        if not values:
            return rest
        if is_nested:
            new: list[dict[str, Any]] = [{is_null: True} if None in values else {name: [*values]}]
            text = refined(expression, filter, new)
            text |= {"and": [*text.get("and", []), *new]} if new else {}
            return f"{start}{sign['?' in start]}filter={quoted(json.dumps(text))}"
        texts = [escape(value) if isinstance(value, str) else json.dumps(value) for value in values]
        parameter = f"{is_null}=true" if None in values else f"{name}={quoted(','.join(texts))}"
        return f"{rest}{sign['?' in rest]}{parameter}"

    return link
