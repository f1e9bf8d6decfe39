"""Suggests records, types and properties whose names begin as typed, in the protocol's form."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, current_app, request
from sqlalchemy.orm import Session

from api.endpoints.reconcile.schemas import type_of
from api.errors import ProblemError, error_item, nearest
from api.ledger import head
from api.ledger.index.matching import spelled
from api.ledger.index.words import parse
from api.query import search
from api.query.directories import NAMED
from api.query.labels import labels
from api.query.language import MAX_SUGGESTED, Find
from api.query.parameters import PARAMETERS as LISTS
from api.query.parameters import Parameter, read_search
from api.query.reconciliation import entity_id, properties
from api.resources import BY_NAME
from api.schema.choices import label_of
from api.schema.fields import MAX_INTEGER
from api.schema.operators import TYPES
from api.web import tags
from api.web.consistency import reading
from api.web.responses import conditional, json_response, tagged

# Suggestions are chosen from a few records, so that a cursor beyond them finds none.
MAX_FOUND = 100
UNUSED = "OpenRefine sends it; it makes no difference."
PARAMETERS = {
    row.name: row
    for row in (
        Parameter("prefix", "What was typed so far.", LISTS["q"].schema, read=read_search, example=lambda _: "bos"),
        Parameter(
            "type",
            "Only records or properties of this noun.",
            {"type": "string", "enum": [noun.name for noun in NAMED]},
            example=lambda _: "cities",
        ),
        Parameter(
            "cursor",
            f"How many suggestions to skip; there are at most {MAX_FOUND}.",
            {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER},
            example=lambda _: "0",
        ),
        *(
            Parameter(name, UNUSED, TYPES["text"].schema, example=lambda _: "false")
            for name in ("spell", "exact", "prefixed", "filter")
        ),
    )
}


def _entities(session: Session, values: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    kinds = tuple(noun.name for noun in _nouns(values))
    query = Find(text=_typed(), search=values.get("prefix", parse("")), kinds=kinds, limit=most)
    hits = search.suggest(session, query, current_app.extensions["planner"], current_app.extensions["directories"])
    return [
        {"id": entity_id(BY_NAME[hit.kind], hit.id), "name": label, "notable": [hit.kind]}
        for hit, label in zip(hits, labels(session, hits), strict=True)
    ]


def _types(_: Session, __: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    rows = [{**type_of(noun), "description": noun.description} for noun in NAMED]
    return _beginning(rows)[:most]


def _properties(_: Session, values: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    rows = [
        {"id": name, "name": label_of(name), "description": field.description}
        for name, field in properties(_nouns(values)).items()
    ]
    return _beginning(rows)[:most]


def _nouns(values: Mapping[str, Any]) -> list[Any]:
    return [noun for noun in NAMED if values.get("type") in {None, noun.name}]


def _typed() -> str:
    return request.args.get("prefix", "")


def _beginning(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if spelled(row["name"]).startswith(spelled(_typed()))]


SUGGESTED: Mapping[str, Callable[[Session, Mapping[str, Any], int], list[dict[str, Any]]]] = {
    "entity": _entities,
    "type": _types,
    "property": _properties,
}
OF = {
    "name": "of",
    "in": "path",
    "description": "What to suggest: records, nouns, or the members that tell records of one name apart.",
    "schema": {"type": "string", "enum": [*SUGGESTED]},
    "example": "entity",
}


def read(of: str, values: Mapping[str, Any]) -> Response:
    """Answer with ten suggestions behind a cursor. Raises a 404."""
    if of not in SUGGESTED:
        detail = "There are no such suggestions."
        item = error_item("of", "unknown-name", detail, allowed=[*SUGGESTED], suggestion=nearest(of, SUGGESTED))
        raise ProblemError("not-found", detail, item)
    skipped = values.get("cursor", 0)
    with reading() as session:
        etag = tags.of_dataset(head.state(session))
        if unchanged := conditional(etag):
            return unchanged
        rows = SUGGESTED[of](session, values, min(skipped + MAX_SUGGESTED, MAX_FOUND))[skipped:]
    return tagged(json_response({"result": rows}), etag)
