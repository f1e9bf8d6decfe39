"""What describes the API: the index, the OpenAPI document, the interactive page and the problem pages."""

from typing import Any

from flask import Response, current_app
from marshmallow import Schema, fields

from api.errors import ProblemError
from api.resources import RESOURCES
from api.schema.choices import Choice
from api.schema.resource import choices
from api.web import frames
from api.web.blueprints import Blueprint, NoArguments, documents
from api.web.headers import CONDITIONS, HEADERS, UNCHANGED, VARY
from api.web.negotiation import HTML
from api.web.problem_types import PROBLEMS
from api.web.problems import ProblemSchema, example
from api.web.responses import JSON, json_response, negotiate
from api.web.urls import base_url


class ProblemTypeSchema(Schema):
    """A type of problem."""

    type = fields.String(
        required=True,
        metadata={
            "description": "Address of its page.",
            "example": "https://api.example.org/problems/not-found",
            "format": "uri",
        },
    )
    title = fields.String(required=True, metadata={"description": "The type in words.", "example": "There is no such path"})
    status = fields.Integer(required=True, metadata={"description": "HTTP status of an answer with it.", "example": 404})
    description = fields.String(
        required=True, metadata={"description": "What to do about it.", "example": "Nothing is at this path."}
    )
    example = fields.Nested(ProblemSchema, required=True, metadata={"description": "An example of an answer."})


class ProblemTypeListSchema(Schema):
    """Every type of problem."""

    data = fields.List(fields.Nested(ProblemTypeSchema), required=True, metadata={"description": "The types of problem."})


class ChoiceSchema(Schema):
    """A value that a member can have."""

    value = fields.String(required=True, metadata={"description": "The value, as records have it.", "example": "pilot"})
    label = fields.String(required=True, metadata={"description": "The value in words.", "example": "Pilot"})
    description = fields.String(required=True, metadata={"description": "What it means.", "example": "It is tried out."})


class ChoicesSchema(Schema):
    """A member that has one of several values."""

    noun = fields.String(required=True, metadata={"description": "The noun.", "example": "initiatives"})
    member = fields.String(
        required=True, metadata={"description": "The member; of a part, after the list that has it.", "example": "status"}
    )
    values = fields.List(fields.Nested(ChoiceSchema), required=True, metadata={"description": "The values that it can have."})


class ChoicesListSchema(Schema):
    """Every member that has one of several values."""

    data = fields.List(fields.Nested(ChoicesSchema), required=True, metadata={"description": "The members, by noun."})


meta = Blueprint("meta", __name__, description="The index, the documentation, the problem types and the health checks.")

PAGE: dict[str, Any] = {"schema": {"type": "string"}, "content_type": HTML}


@meta.route("/problems", parameters=CONDITIONS)
@meta.arguments(NoArguments, location="query")
@meta.response(200, ProblemTypeListSchema, description="Every type of problem.", headers=HEADERS | VARY)
@meta.alt_response(200, **PAGE, description="Every type of problem.", headers=HEADERS | VARY, success=True)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
@documents(meta, "invalid-query", "not-acceptable", "precondition-failed")
@meta.doc(operationId="list_problems", summary="List the types of problem")
def problem_types(_arguments: dict[str, Any]) -> Response:
    """List every `type` that an error can have, with its meaning and what to do about it."""
    return _either("problem_types.html", "Kinds of problem", {"data": [_problem_type(name) for name in PROBLEMS]})


@meta.route("/enums", parameters=CONDITIONS)
@meta.arguments(NoArguments, location="query")
@meta.response(200, ChoicesListSchema, description="The members with their values.", headers=HEADERS)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(meta, "invalid-query", "not-acceptable", "precondition-failed")
@meta.doc(operationId="list_enums", summary="List the values of members with their labels")
def enums(_arguments: dict[str, Any]) -> Response:
    """List every member that has one of several values: each value with a label and a sentence that says what it means."""
    negotiate(JSON)
    rows = [(noun.name, *row) for noun in RESOURCES for row in choices(noun.schema())]
    data = [{"noun": noun, "member": member, "values": [*map(_choice, values)]} for noun, member, values in rows]
    return frames.stable(json_response({"data": data}))


def _choice(choice: Choice) -> dict[str, str]:
    return {"value": choice.value, "label": choice.label, "description": choice.description}


NAME = {
    "name": "name",
    "in": "path",
    "description": "Last part of a problem's `type`.",
    "schema": {"type": "string", "enum": list(PROBLEMS)},
    "example": "invalid-query",
}


@meta.route("/problems/<string:name>", parameters=[NAME, *CONDITIONS])
@meta.arguments(NoArguments, location="query")
@meta.response(200, ProblemTypeSchema, description="The type of problem.", headers=HEADERS | VARY)
@meta.alt_response(200, **PAGE, description="The type of problem.", headers=HEADERS | VARY, success=True)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS | VARY, success=True)
@documents(meta, "invalid-query", "not-found", "not-acceptable", "precondition-failed")
@meta.doc(operationId="get_problem", summary="Read about one type of problem")
def problem_type(_arguments: dict[str, Any], name: str) -> Response:
    """Read the page that a problem's `type` points to."""
    if name not in PROBLEMS:
        raise ProblemError("not-found", "There is no such type of problem; `/problems` lists all of them.")
    return _either("problem_type.html", PROBLEMS[name].title, _problem_type(name))


def _problem_type(name: str) -> dict[str, Any]:
    row = PROBLEMS[name]
    body = {"type": f"{base_url()}/problems/{name}", "title": row.title, "status": row.status}
    return {**body, "description": row.description, "example": example(row)}


@meta.route("/openapi.json", parameters=CONDITIONS)
@meta.arguments(NoArguments, location="query")
@meta.response(200, {"type": "object"}, description="The document.", headers=HEADERS)
@meta.alt_response(304, description=UNCHANGED, headers=HEADERS, success=True)
@documents(meta, "invalid-query", "not-acceptable", "precondition-failed")
@meta.doc(operationId="openapi", summary="Read the OpenAPI document")
def openapi(_arguments: dict[str, Any]) -> Response:
    """Read this document."""
    negotiate(JSON)
    return frames.stable(Response(current_app.extensions["openapi"], content_type=JSON))


def _either(template: str, title: str, body: dict[str, Any]) -> Response:
    """Return JSON or a page, as `Accept` prefers. Raises a 406."""
    is_page = negotiate(JSON, HTML) == HTML
    page = frames.page(template, alternates=("json",), **body | {"title": title}) if is_page else json_response(body)
    response = frames.stable(page)
    response.headers["Vary"] = "Accept"
    return response
