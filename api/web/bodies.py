"""Read a request's JSON body through the schema that documents it."""

from typing import Any

from marshmallow import Schema, fields

from api.errors import ErrorList
from api.schema.validation import load
from api.web.responses import JSON, read_body

# The problems that a JSON body can have.
BODY_PROBLEMS = ("invalid-json", "invalid-body", "content-too-large", "unsupported-media-type")


def read(schema: Schema) -> dict[str, Any]:
    """Return the body as the schema loads it. Raises 400, 413, 415, and a 422 that names everything that is wrong."""
    errors = ErrorList()
    values: dict[str, Any] = load(fields.Nested(schema), read_body(JSON), errors)
    errors.raise_any("invalid-body")
    return values
