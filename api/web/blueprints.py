"""Blueprints with strict arguments, and the decorators that document their views."""

import inspect
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NoReturn

from flask import Request
from flask.views import MethodView
from flask_smorest import Blueprint as SmorestBlueprint
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser

from api.errors import ErrorList
from api.schema.resource import Resource
from api.web.problem_types import PROBLEMS

# Problems that every view can answer with.
ALWAYS = ("internal-error", "uri-too-long")
# Decorators of a view's method, in the order in which they are applied.
Decorators = Sequence[Callable[[Any], Any]]


class NoArguments(Schema):
    """The query parameters of a path that has none."""

    class Meta:
        """An unknown parameter is an error."""

        unknown = RAISE


class StrictParser(FlaskParser):
    """Refuses unknown query parameters, which webargs drops."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": None}  # noqa: RUF012 - webargs' interface
    DEFAULT_VALIDATION_STATUS = 400

    def handle_error(self, error: ValidationError, req: Request, schema: Schema, **_: Any) -> NoReturn:  # noqa: ARG002 - webargs' interface
        """Raise a 400 that names every error."""
        errors = ErrorList()
        messages: dict[str, dict[str, list[str]]] = error.normalized_messages()  # type: ignore[no-untyped-call]
        for name in messages["query"]:
            errors.unknown(name, schema.load_fields)
        errors.raise_any()
        raise error


class Blueprint(SmorestBlueprint):
    """A blueprint that refuses unknown query parameters."""

    ARGUMENTS_PARSER = StrictParser()


def documents(blp: Blueprint, *problems: str) -> Any:
    """Return a decorator that documents a view's problems, those of every view among them, and its description."""

    def decorate(view: Any) -> Any:
        statuses = sorted({PROBLEMS[name].status for name in (*problems, *ALWAYS)})
        # One decorator instead of one for each status: each copies what all before it documented.
        responses = {str(status): response_name(status) for status in statuses}
        # flask-smorest takes the first line of a docstring for the summary; ours are the description.
        description = inspect.getdoc(view)
        return blp.doc(responses=responses, **({"description": description} if description else {}))(view)

    return decorate


def response_name(status: int) -> str:
    """Return the name of the OpenAPI component that describes the problems of a status: short, since each operation has ten."""
    return f"Error{status}"


def noun_view(view: type[MethodView], resource: Resource, **decorators: Decorators) -> type[MethodView]:
    """Return a subclass of a view for one noun; ``decorators`` document its methods, by the name of the method.

    flask-smorest takes the documentation of an operation from its method, and each noun documents its own.
    """
    methods = {name: reduce(lambda method, row: row(method), rows, getattr(view, name)) for name, rows in decorators.items()}
    return type(f"{resource.singular.title()}{view.__name__}", (view,), {"resource": resource, **methods})
