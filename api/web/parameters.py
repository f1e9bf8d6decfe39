"""Parameters, as OpenAPI has them."""

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.routing import BaseConverter

from api.errors import ProblemError, error_item
from api.query import language, parser
from api.query.language import Parameter
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import RESERVED, SLUG
from api.schema.operators import MAX_VALUES
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


class RecordConverter(BaseConverter):
    """An id in a path."""

    regex = f"(?!{RESERVED}$)[^/]+"


def parameters(rows: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return parameters as OpenAPI has them."""
    return [{"name": name, "in": "query", **parameter_component(row)} for name, row in rows.items()]


def id_of(resource: Resource) -> dict[str, Any]:
    """Return the parameter of a path that holds the id of a record."""
    return {
        "name": "id",
        "in": "path",
        "description": f"Id of the {resource.singular}.",
        "schema": {"type": "string", "pattern": SLUG, "not": {"const": RESERVED}},
        "example": resource.fields["id"].example,
    }


def parameter_name(resource: Resource, name: str) -> str:
    """Return the name under which the OpenAPI document holds a parameter of a noun."""
    return f"{resource.name}.{name}"


def parameter_components(resource: Resource) -> dict[str, dict[str, Any]]:
    """Return the parameters of a noun as OpenAPI has them, by that name."""
    found = {name: parameter_component(row, resource) for name, row in language.parameters(resource).items()}
    expression = expression_of(resource)
    # A text with JSON in it, rather than a parameter with `content`: generators of clients leave that out.
    found["filter"] = {
        "description": language.PARAMETERS["filter"].description,
        "schema": {"type": "string", "contentMediaType": JSON, "contentSchema": expression["schema"]},
        "example": json.dumps(expression["example"]),
    }
    for name, filter in language.filters(resource).items():
        example = filter.example
        found[name] = {
            "description": f"{filter.description}: {filter.operator.description}.",
            **_schema(filter.schema, many=filter.operator.many, most=MAX_VALUES),
            "example": [example] if filter.operator.many else example,
        }
    return {parameter_name(resource, name): {"name": name, **row} for name, row in found.items()}


def parameter_component(row: language.Parameter, resource: Resource = RESOURCES[0]) -> dict[str, Any]:
    """Return what OpenAPI says of a parameter, but for its name."""
    one = {**row.schema, **({"enum": list(row.choices(resource))} if row.choices else {})}
    found = {"description": row.description, **_schema(one, many=row.many, most=row.most)}
    if row.example:
        text = row.example(resource)
        found["example"] = text.split(",") if row.many else text if one["type"] == "string" else json.loads(text)
    return found


def _schema(one: Mapping[str, Any], *, many: bool, most: int) -> dict[str, Any]:
    """Return what OpenAPI says of a parameter with one value, or with a list of them by comma."""
    if not many:
        return {"schema": dict(one)}
    return {"schema": {"type": "array", "items": dict(one), "minItems": 1, "maxItems": most}, "style": "form", "explode": False}


AS_OF = {"name": "as_of", "in": "query", **parameter_component(language.AS_OF)}


def expression_of(resource: Resource) -> dict[str, Any]:
    """Return the schema and an example of what `filter` takes."""
    names = [*parser.CONNECTIVES, *language.filters(resource)]
    schema = {"type": "object", "minProperties": 1, "propertyNames": {"enum": names}}
    ids = resource.fields["id"].example
    return {"schema": schema, "example": {"or": [{"id": [ids]}, {"not": {"version__gt": 0}}]}}


def known(noun: str) -> Resource:
    """Return a noun by its name. Raises a 404."""
    if noun not in BY_NAME:
        detail = "There is no such noun."
        raise ProblemError("not-found", detail, error_item("noun", "unknown-name", detail, allowed=NOUNS))
    return BY_NAME[noun]
