"""JSON Schemas of what a reconciliation service sends and takes, by the prose and the schemas of the protocol's version 0.2.

https://reconciliation-api.github.io/specs/0.2/ has schemas of its own. These are ours. They have each of those rules, and stricter
ones where the prose has them: texts that are not empty, URIs, a positive limit. Answers have no members that the protocol does not
name, nor the parts that we do not offer: authentication and data extension.
"""

from typing import Any

import jsonschema_rs

TEXT, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "number"}
NAME = {"type": "string", "minLength": 1}
URI = {"type": "string", "format": "uri"}


def _list(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def _open(required: str, **members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": required.split()}


def _object(required: str, **members: Any) -> dict[str, Any]:
    return {**_open(required, **members), "additionalProperties": False}


def _template(mark: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^https?://.*{mark}"}


VIEW = _object("url", url=_template(r"\{\{id\}\}"))
TYPE = _object("id name", id=NAME, name=NAME, description=TEXT, broader=_list({"$ref": "#/$defs/type"}))
# A type is an object, or its id alone.
TYPE_OR_ID = {"oneOf": [NAME, _object("id", id=NAME, name=NAME)]}
SERVICE = _object(
    "service_url service_path",
    service_url=URI,
    service_path={"type": "string", "pattern": "^/"},
    flyout_service_url=URI,
    flyout_service_path={"type": "string", "pattern": r"\$\{id\}"},
)
# A query has no other members, but the objects in it may have.
VALUE = {"oneOf": [TEXT, NUMBER, FLAG, _open("id", id=NAME, name=TEXT)]}
PROPERTY = _open("pid v", pid=NAME, v={"oneOf": [VALUE, _list(VALUE)]})
QUERY = {
    **_object(
        "",
        query=NAME,
        type={"oneOf": [TEXT, _list(TEXT)]},
        limit={"type": "integer", "minimum": 1},
        properties=_list(PROPERTY),
        type_strict={"enum": ["any", "should", "all"]},
    ),
    "anyOf": [{"required": ["query"]}, {"required": ["properties"], "properties": {"properties": {"minItems": 1}}}],
}
FEATURE = _object("id value", id=NAME, value={"oneOf": [FLAG, NUMBER]})
CANDIDATE = _object(
    "id name type score match",
    id=NAME,
    name=NAME,
    description=TEXT,
    type=_list(TYPE_OR_ID),
    score=NUMBER,
    features=_list(FEATURE),
    match=FLAG,
)
SCHEMAS: dict[str, dict[str, Any]] = {
    "manifest": _object(
        "versions name identifierSpace schemaSpace",
        versions=_list(TEXT, contains={"const": "0.2"}),
        name=NAME,
        identifierSpace=URI,
        schemaSpace=URI,
        defaultTypes=_list(TYPE, uniqueItems=True),
        documentation=URI,
        logo=URI,
        serviceVersion=TEXT,
        view=VIEW,
        feature_view=VIEW,
        preview=_object(
            "url width height", url=_template(r"\{\{id\}\}"), width={"type": "integer"}, height={"type": "integer"}
        ),
        suggest=_object("", entity=SERVICE, property=SERVICE, type=SERVICE),
        batchSize={"type": "integer", "minimum": 1},
    ),
    "queries": {"type": "object", "additionalProperties": QUERY},
    "results": {"type": "object", "additionalProperties": _object("result", result=_list(CANDIDATE))},
    "entity": _object(
        "result", result=_list(_object("id name", id=NAME, name=NAME, description=TEXT, notable=_list(TYPE_OR_ID)))
    ),
    "type": _object("result", result=_list(TYPE)),
    "property": _object("result", result=_list(_object("id name", id=NAME, name=NAME, description=TEXT))),
}


def faults(name: str, value: Any) -> list[str]:
    """Return what a schema finds wrong with a value."""
    schema = {**SCHEMAS[name], "$defs": {"type": TYPE}}
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return [error.message for error in validator.iter_errors(value)]
