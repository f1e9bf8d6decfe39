"""Parameters of paths and queries, as the OpenAPI document describes them."""

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.routing import BaseConverter

from api.errors import ProblemError, error_item, nearest
from api.query import language, parameters
from api.query.expressions import CONNECTIVES
from api.query.parameters import Parameter
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import RESERVED, SLUG
from api.schema.operators import MAX_VALUES, TYPES
from api.schema.resource import Resource
from api.web.responses import JSON

NOUNS = [resource.name for resource in RESOURCES]
NOUN = {
    "name": "noun",
    "in": "path",
    "description": "The noun.",
    "schema": {"type": "string", "enum": NOUNS},
    "example": "cities",
}
# Schemas that very many filters share, by the name of their component, and the schemas of lists of these values.
VALUES = {
    name: dict(TYPES[type].schema) for name, type in (("EdtfDate", "date"), ("RecordId", "reference"), ("FilterText", "text"))
}
VALUE_LISTS = {
    f"{name}List": {
        "type": "array",
        "items": {"$ref": f"#/components/schemas/{name}"},
        "minItems": 1,
        "maxItems": MAX_VALUES,
    }
    for name in VALUES
}


class RecordConverter(BaseConverter):
    """The id of a record in a path."""

    regex = f"(?!{RESERVED}$)[^/]+"


def noun_named(name: str) -> Resource:
    """Return the noun of a path. Raises a 404."""
    if name not in BY_NAME:
        detail = "There is no such noun."
        item = error_item("noun", "unknown-name", detail, allowed=NOUNS, suggestion=nearest(name, NOUNS))
        raise ProblemError("not-found", detail, item)
    return BY_NAME[name]


def id_parameter(resource: Resource) -> dict[str, Any]:
    """Return the path parameter that holds the id of a record."""
    return {
        "name": "id",
        "in": "path",
        "description": f"Id of the {resource.singular}.",
        "schema": {"type": "string", "pattern": SLUG},
        "example": resource.fields["id"].example,
    }


def query_parameters(rows: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return query parameters, each with its name."""
    return [{"name": name, "in": "query", **_described(row, RESOURCES[0])} for name, row in rows.items()]


def parameter_name(resource: Resource, name: str) -> str:
    """Return the name of the OpenAPI component of a noun's query parameter."""
    return f"{resource.name}.{name}"


def parameter_components(resource: Resource) -> dict[str, dict[str, Any]]:
    """Return the OpenAPI components of a noun's query parameters by name, its filters among them."""
    rows = {name: _described(row, resource) for name, row in parameters.parameters(resource).items()}
    expression = filter_body(resource)
    # A string that holds JSON: generators of clients leave out parameters with `content`.
    rows["filter"] = {
        "description": parameters.PARAMETERS["filter"].description,
        "schema": {"type": "string", "contentMediaType": JSON, "contentSchema": expression["schema"]},
        "example": json.dumps(expression["example"]),
    }
    rows |= {name: _described_filter(filter) for name, filter in language.filters(resource).items()}
    return {parameter_name(resource, name): {"name": name, **row} for name, row in rows.items()}


def filter_body(resource: Resource) -> dict[str, Any]:
    """Return the schema and an example of a filter expression."""
    id = resource.fields["id"].example
    (name,) = expression_components(resource)
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"schema": schema, "example": {"or": [{"id": [id]}, {"not": {"version__gt": 0}}]}}


def expression_components(resource: Resource) -> dict[str, dict[str, Any]]:
    """Return the schema of a noun's filter expressions, by its name."""
    names = {"enum": [*CONNECTIVES, *language.filters(resource)]}
    schema = {"type": "object", "minProperties": 1, "propertyNames": names, "additionalProperties": True}
    return {f"{resource.singular.title()}Expression": schema}


def _described(row: Parameter, resource: Resource) -> dict[str, Any]:
    """Return the description of a parameter without its name; choices and examples can depend on the noun."""
    value = {**row.schema, **({"enum": list(row.choices(resource))} if row.choices else {})}
    description = {"description": row.description, **_schema(value, many=row.many, most=row.most)}
    if row.example:
        text = row.example(resource)
        description["example"] = text.split(",") if row.many else text if value["type"] == "string" else json.loads(text)
    return description


def _described_filter(filter: language.Filter) -> dict[str, Any]:
    many = filter.operator.many
    text = filter.operator.description
    is_first = filter.operator.name in {"", filter.field.operators[0]}
    return {
        "description": f"{filter.description}: {text}." if is_first else f"{text[0].upper()}{text[1:]}.",
        **_schema(_referred(filter.schema, VALUES), many=many, most=MAX_VALUES),
        "example": [filter.example] if many else filter.example,
    }


def _referred(schema: dict[str, Any], shared: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a reference to the component with this schema, or else the schema."""
    return next(({"$ref": f"#/components/schemas/{name}"} for name, other in shared.items() if other == schema), schema)


def _schema(value: Mapping[str, Any], *, many: bool, most: int) -> dict[str, Any]:
    """Return the schema of a parameter with one value, or with a list of values that commas separate."""
    if not many:
        return {"schema": dict(value)}
    schema = {"type": "array", "items": dict(value), "minItems": 1, "maxItems": most}
    return {"schema": _referred(schema, VALUE_LISTS), "explode": False}
