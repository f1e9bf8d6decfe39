"""Reads reconciliation queries: JSON in a parameter or in a form."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from flask import request
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from api.endpoints.reconcile.schemas import QUERIES_EXAMPLE
from api.errors import ErrorList, ProblemError, ProblemName, error_item, nearest
from api.query.directories import NAMED
from api.query.parameters import Parameter
from api.query.reconciliation import DEFAULT_CANDIDATES, Lookup, properties
from api.query.values import only_value
from api.resources import BY_NAME
from api.schema.fields import MAX_INTEGER
from api.schema.operators import MAX_TEXT
from api.schema.pointers import token_of
from api.schema.resource import Resource
from api.schema.strict_json import load as load_json
from api.schema.validation import load
from api.web.responses import JSON

FORM = "application/x-www-form-urlencoded"
# OpenRefine sends ten queries at once.
MAX_QUERIES, MAX_CANDIDATES, MAX_VALUES = 20, 100, 10
TYPES = [noun.name for noun in NAMED]


class OneOrMore(fields.Field[Any]):
    """A value or a list of values, as a list of texts; a value that is a record is its id."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[str]:
        values = value if isinstance(value, list) else [value]
        if len(values) > MAX_VALUES:
            raise ValidationError(f"At most {MAX_VALUES} values are taken.")
        texts = [_told(one) for one in values]
        if not all(isinstance(text, str | int | float) and len(str(text)) <= MAX_TEXT for text in texts):
            raise ValidationError(f"A value is a text of at most {MAX_TEXT} characters, a number, or a record with its `id`.")
        # A cell of a spreadsheet can have 2024 as 2024.0.
        numbers = [int(text) if isinstance(text, float) and text.is_integer() else text for text in texts]
        return list(map(str, numbers))


def _told(value: Any) -> Any:
    """Return a value, or the id of a record; None if it has none."""
    if not isinstance(value, dict):
        return value
    return value["id"] if isinstance(value.get("id"), str) else None


class WholeNumber(fields.Integer):
    """An integer; 5.0 is one, as in JSON Schema."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        return super()._deserialize(whole, attr, data, **kwargs)


class PropertySchema(Schema):
    """A value that tells records of one name apart."""

    class Meta:
        """The protocol closes queries, but not the objects in them: a client may repeat the property's name."""

        unknown = EXCLUDE

    pid = fields.String(required=True, validate=validate.OneOf(list(properties())))
    v = OneOrMore(required=True)


class QuerySchema(Schema):
    """A query; each record has one type, so `type_strict` makes no difference."""

    query = fields.String(validate=validate.Length(min=1, max=MAX_TEXT))
    type = OneOrMore()
    limit = WholeNumber(strict=True, validate=validate.Range(min=1, max=MAX_INTEGER))
    properties = fields.List(fields.Nested(PropertySchema), validate=validate.Length(max=MAX_VALUES))
    type_strict = fields.String(validate=validate.OneOf(["any", "should", "all"]))


def _text(row: Parameter, _: Resource, values: Sequence[str], errors: ErrorList) -> str | None:
    return only_value(row.name, values, errors)


PARAMETERS = {
    "queries": Parameter(
        "queries",
        f"A JSON object of at most {MAX_QUERIES} queries, as `POST /reconcile` takes them.",
        {"type": "string", "contentMediaType": JSON},
        read=_text,
        example=lambda _: QUERIES_EXAMPLE,
    )
}


def read_form() -> str:
    """Return the queries in the request's form. Raises 400, 413, 415 and 422."""
    if request.mimetype != FORM or request.content_encoding:
        detail = f"The body must be `{FORM}`, not compressed."
        item = error_item("Content-Type", "unsupported-media-type", detail, allowed=[FORM])
        raise ProblemError("unsupported-media-type", detail, item)
    errors = ErrorList()
    form = parse_qs(request.get_data().decode(errors="replace"), keep_blank_values=True)
    for name in form.keys() - {"queries"}:
        errors.unknown(name, ["queries"], "member", parameter="")
    if "queries" not in form:
        errors.add("queries", "missing-parameter", "`queries` is needed: a JSON object of queries.")
    text = only_value("queries", form.get("queries", [""]), errors)
    errors.raise_any("invalid-body")
    return text or ""


def read_queries(text: str, problem: ProblemName = "invalid-query") -> Mapping[str, Lookup]:
    """Return the queries of a batch by their names. Raises a 400 or a 422 with every error, and a 413 for too many queries."""
    errors = ErrorList()
    try:
        batch = load_json(text)
    except ValueError as error:
        errors.add("queries", "invalid-json", f"`queries` is JSON: {error}.", allowed={"example": QUERIES_EXAMPLE})
        errors.raise_any(problem)
        raise
    if not isinstance(batch, dict):
        errors.add("queries", "invalid-value", "`queries` is an object.", allowed={"example": QUERIES_EXAMPLE})
        errors.raise_any(problem)
    if len(batch) > MAX_QUERIES:
        detail = f"`queries` has {len(batch)} queries; at most {MAX_QUERIES} are allowed."
        raise ProblemError(
            "content-too-large", detail, error_item("queries", "too-many-values", detail, allowed={"maximum": MAX_QUERIES})
        )
    lookups = {name: _lookup(query, f"/{token_of(name)}", errors) for name, query in batch.items()}
    errors.raise_any(problem)
    return lookups


def _lookup(query: Any, pointer: str, errors: ErrorList) -> Lookup:
    values = load(fields.Nested(QuerySchema), query, errors, name=pointer[1:], pointer=pointer) or {}
    nouns = _nouns(values.get("type") or TYPES, pointer, errors)
    given: dict[str, list[str]] = {}
    for index, row in enumerate(values.get("properties", ())):
        if row["pid"] not in (allowed := properties(nouns)):
            detail = f"`{row['pid']}` is no property of these types."
            errors.add("", "unknown-name", detail, pointer=f"{pointer}/properties/{index}/pid", allowed=list(allowed))
        if told := [text for text in row["v"] if text.strip()]:
            given.setdefault(row["pid"], []).extend(told)
    if not errors and not given and "query" not in values:
        errors.add("", "missing", "A query has `query`, `properties` or both.", pointer=pointer)
    return Lookup(values.get("query"), nouns, given, min(values.get("limit", DEFAULT_CANDIDATES), MAX_CANDIDATES))


def _nouns(names: Sequence[str], pointer: str, errors: ErrorList) -> Sequence[Resource]:
    for name in [name for name in names if name not in TYPES]:
        errors.add(
            "",
            "unknown-name",
            "`type` is a type of this service.",
            pointer=f"{pointer}/type",
            allowed=TYPES,
            suggestion=nearest(name, TYPES),
        )
    return [BY_NAME[name] for name in dict.fromkeys(names) if name in TYPES]
