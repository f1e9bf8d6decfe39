"""The OpenAPI document."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from apispec import BasePlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from flask import Flask
from flask_smorest import Api as SmorestApi
from marshmallow import Schema, fields

from api import __version__
from api.editing.inputs import Input
from api.resources import RESOURCES
from api.schema.choices import Choice
from api.schema.fields import Document, Part
from api.web.blueprints import Blueprint, response_name
from api.web.headers import ALLOW, CHALLENGE, COUNTED, NOT_KEPT, RETRY_AFTER, WHOLE_RANGE
from api.web.parameters import VALUE_LISTS, VALUES, RecordConverter, expression_components, parameter_components
from api.web.problem_types import PROBLEMS
from api.web.problems import MEDIA_TYPE, ProblemSchema, example
from api.web.references import share

TITLE = "Digital Cities API"
SUMMARY = (
    "City-government technology awards: which cities were recognized in which survey, for which initiatives, serving which "
    "priorities, and which sentence of which source says so."
)
DESCRIPTION = """
Every noun has a list at its plural path, and its records below that path. Records refer to each other by id. Every fact has a
record in `/citations`.

Scripts of any origin can read. `HEAD` works wherever `GET` does, and `OPTIONS` everywhere. Every answer with data has an
`ETag`: send it as `If-None-Match` to get a 304 if nothing has changed. Unknown parameters are refused. Every error is
`application/problem+json` (RFC 9457) and says what would have worked. Times are RFC 3339 in UTC.
"""
BEARER = {"type": "http", "scheme": "bearer", "description": "An API key for writing; reading needs none."}
# The headers that only problems of one status have.
PROBLEM_HEADERS = {401: CHALLENGE, 403: CHALLENGE, 405: ALLOW, 416: WHOLE_RANGE, 429: RETRY_AFTER, 503: RETRY_AFTER}


class RequiredProperties(BasePlugin):
    """Makes every property of a published document required: an answer has all of them, some with null."""

    def schema_helper(self, name: str, definition: dict[str, Any], **kwargs: Any) -> dict[str, Any]:  # noqa: ARG002 - apispec's interface
        """Return the additions to the schema of a document."""
        if "schema" not in kwargs:
            return {}
        schema = resolve_schema_instance(kwargs["schema"])
        is_published = isinstance(schema, Document | Part) and not isinstance(schema, Input)
        return {"required": sorted(schema.fields)} if is_published else {}


def described(_converter: Any, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a field of choices, with a line for each of its values."""
    if not isinstance(field, fields.Enum) or not issubclass(field.enum, Choice):
        return {}
    lines = [f"- `{choice.value}`: {choice.description}" for choice in field.enum]
    return {"description": "\n".join([f"{ret['description']}\n", *lines])}


class Api(SmorestApi):
    """flask-smorest, with errors documented as problems (RFC 9457)."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """Register nothing: `problems` handles every error."""

    def _register_responses(self) -> None:
        """Document the problems of each status once, with their media type."""
        for status in sorted({row.status for row in PROBLEMS.values()}):
            rows = [row for row in PROBLEMS.values() if row.status == status]
            response = {
                "description": " Or: ".join(f"{row.title}. {row.description}" for row in rows),
                "headers": NOT_KEPT | COUNTED | PROBLEM_HEADERS.get(status, {}),
                "content": {
                    MEDIA_TYPE: {
                        "schema": ProblemSchema,
                        "examples": {row.name: {"value": example(row)} for row in rows},
                    }
                },
            }
            self.spec.components.response(response_name(status), response, lazy=True)

    def _register_pagination_header(self) -> None:
        """Register nothing: the body has the cursor of the next page."""


def document(routes: Sequence[Blueprint], webhooks: Mapping[str, Any], messages: Mapping[str, type[Schema]]) -> bytes:
    """Return the OpenAPI document as JSON."""
    app = Flask("openapi", static_folder=None)
    app.url_map.converters["record"] = RecordConverter
    app.config.update(
        API_TITLE=TITLE,
        API_VERSION=__version__,
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS={
            "info": {"description": DESCRIPTION, "summary": SUMMARY},
            "servers": [{"url": "/", "description": "This server."}],
            "components": {"securitySchemes": {"bearer": BEARER}},
            "webhooks": dict(webhooks),
        },
    )
    api = Api(app, spec_kwargs={"extra_plugins": [RequiredProperties()]})
    api.ma_plugin.converter.add_attribute_function(described)
    for resource in RESOURCES:
        for name, parameter in parameter_components(resource).items():
            api.spec.components.parameter(name, "query", parameter)
        for name, expression in expression_components(resource).items():
            api.spec.components.schema(name, expression)
    for name, schema_of_values in {**VALUES, **VALUE_LISTS}.items():
        api.spec.components.schema(name, schema_of_values)
    for name, schema in messages.items():
        api.spec.components.schema(name, schema=schema)
    for blueprint in routes:
        api.register_blueprint(blueprint)
    spec = api.spec.to_dict()
    used = {
        tag
        for path in spec["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
        for tag in operation["tags"]
    }
    spec["tags"] = [tag for tag in spec["tags"] if tag["name"] in used]
    share(spec)
    return f"{_lines(spec, 3)}\n".encode()


def _lines(content: Any, levels: int) -> str:
    """Return JSON without blanks, with a line for each operation and each component, so that diffs are short."""
    if not (levels and isinstance(content, dict)):
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return "{\n" + ",\n".join(f"{json.dumps(name)}:{_lines(row, levels - 1)}" for name, row in content.items()) + "\n}"
