"""The schemas of reconciliation. The protocol names their members."""

from typing import Any

from api.schema.choices import label_of
from api.schema.resource import Resource


def type_of(noun: Resource) -> dict[str, str]:
    """Return a noun as the protocol's type."""
    return {"id": noun.name, "name": label_of(noun.name)}


def _text(description: str, example: str) -> dict[str, Any]:
    return {"type": "string", "description": description, "example": example}


def _object(description: str, required: str = "", /, **members: dict[str, Any]) -> dict[str, Any]:
    names = {"required": required.split()} if required else {}
    return {"type": "object", "description": description, "properties": members, **names}


ID = _text("Noun and id of the record: its address below that of the server.", "cities/boston-ma")
NAME = _text("Name for people.", "Boston")
DETAILS = _text("What tells it apart from others of the name.", "MA, US")
TYPE = _object("A noun.", "id name", id=_text("The noun.", "cities"), name=_text("Name for people.", "Cities"))
CANDIDATE = _object(
    "A record that may be meant.",
    "id name type score match",
    id=ID,
    name=NAME,
    description=DETAILS,
    type={"type": "array", "items": TYPE, "description": "The record's noun."},
    score={"type": "number", "description": "How alike the names are, from 0 to 100.", "example": 100},
    match={"type": "boolean", "description": "Whether it is the only record with the name.", "example": True},
)
RESULT = _object(
    "The candidates of a query.",
    "result",
    result={"type": "array", "items": CANDIDATE, "description": "The best first."},
)
RESULTS = {"type": "object", "additionalProperties": RESULT, "example": {"q0": {"result": []}}}
# The protocol has a schema of the manifest.
MANIFEST_OR_RESULTS = {"type": "object", "example": {"q0": {"result": []}}}
SUGGESTION = _object(
    "A suggestion.",
    "id name",
    id=_text("Id of the record, the noun or the property.", "cities/boston-ma"),
    name=NAME,
    description=_text("What it is.", "Name of the state."),
    notable={"type": "array", "items": {"type": "string"}, "description": "The record's noun.", "example": ["cities"]},
)
SUGGESTIONS = _object(
    "Suggestions.", "result", result={"type": "array", "items": SUGGESTION, "description": "At most ten, the best first."}
)
QUERIES_EXAMPLE = '{"q0":{"query":"Bostn","type":"cities","properties":[{"pid":"state","v":"Mass."}]}}'
FORM = _object(
    "The form.",
    "queries",
    queries=_text("A JSON object: queries by names that you choose, each with `query`, `properties` or both.", QUERIES_EXAMPLE),
) | {"additionalProperties": False}
