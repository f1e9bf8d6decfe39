"""`/keys`: API keys, managed with a key that has the scope `admin`."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy.orm import Session

from api.errors import ProblemError, error_item
from api.schema.fields import SLUG, Pattern, instant, is_slug
from api.schema.operators import TYPES
from api.web import auth, bodies, keys
from api.web.admin import ADMIN, HEADERS, answer, check_request, empty
from api.web.blueprints import Blueprint, documents
from api.web.bodies import BODY_PROBLEMS
from api.web.keys import SCOPES, ApiKey
from api.web.responses import JSON, writable


def _time(description: str, *, allow_none: bool = True) -> fields.String:
    metadata = {"description": description, "example": "2025-01-31T12:00:00.000Z", "format": "date-time"}
    return fields.String(required=True, allow_none=allow_none, metadata=metadata)


class FutureTime(fields.String):
    """A time of RFC 3339 that is still to come; loads as a datetime in UTC."""

    default_error_messages = {"invalid": "Not a time in the future, such as `2099-01-31T12:00:00Z`."}  # noqa: RUF012 - marshmallow's interface

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            moment: dt.datetime = TYPES["instant"].read(super()._deserialize(value, attr, data, **kwargs))
        except (ValueError, OverflowError):
            raise self.make_error("invalid") from None
        if moment <= dt.datetime.now(dt.UTC):
            raise self.make_error("invalid")
        return moment


def _check_name(name: str) -> None:
    if not is_slug(name):
        raise ValidationError("Use at most 200 lower-case letters, digits and single hyphens.")


class KeySchema(Schema):
    """A key, without its secret."""

    name = fields.String(required=True, metadata={"description": "Author of the changes in the ledger.", "example": "curator"})
    scopes = fields.List(
        fields.String(validate=validate.OneOf(list(SCOPES))),
        required=True,
        metadata={"description": "What the key may do.", "example": ["write"]},
    )
    state = fields.String(
        required=True,
        validate=validate.OneOf(["active", "expired", "revoked"]),
        metadata={"description": "Only an active key works.", "example": "active"},
    )
    created_at = _time("When it was created.", allow_none=False)
    expires_at = _time("When it expires; null if it does not.")
    revoked_at = _time("When it was revoked; null if it was not.")
    last_used_at = _time("When it was last used, to the minute; null if it never was.")


class NewKeySchema(Schema):
    """A key to create."""

    name = fields.String(
        required=True,
        validate=[Pattern(SLUG), _check_name],
        metadata={"description": "A name that no other key has or had.", "example": "part-two"},
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf(list(SCOPES))),
        required=True,
        validate=validate.Length(min=1),
        metadata={"description": "What the key may do.", "example": ["write:initiatives"], "allowed": list(SCOPES)},
    )
    expires_at = FutureTime(
        allow_none=True,
        metadata={
            "description": "When it expires; null, or absent, for never.",
            "example": "2099-01-31T12:00:00Z",
            "format": "date-time",
            "allowed": {"format": "date-time"},
        },
    )


class KeyAnswerSchema(Schema):
    """A key, and its secret."""

    data = fields.Nested(KeySchema, required=True, metadata={"description": "The key."})
    secret = fields.String(
        required=True,
        metadata={
            "description": "Send it as `Authorization: Bearer SECRET`. It is not stored, so no later answer has it.",
            "example": "dca_…",
        },
    )


class KeyListSchema(Schema):
    """All keys."""

    data = fields.List(fields.Nested(KeySchema), required=True, metadata={"description": "The keys, by name."})


blueprint = Blueprint("keys", __name__, description="Keys: who may write. They need a key with the scope `admin`.")
NAME = {
    "name": "name",
    "in": "path",
    "description": "Name of the key.",
    "schema": {"type": "string", "pattern": SLUG},
    "example": "part-two",
}
EXAMPLE = {"name": "part-two", "scopes": ["write:initiatives"], "expires_at": "2099-01-31T12:00:00Z"}
NEW = {"required": True, "content": {JSON: {"schema": NewKeySchema, "example": EXAMPLE}}}


@blueprint.route("/keys")
class Keys(MethodView):
    """All keys."""

    @blueprint.response(200, KeyListSchema, description="The keys.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="list_keys", summary="List the keys")
    def get(self) -> Response:
        """List all keys, expired and revoked ones too."""
        check_request()
        with writable().reading() as session:
            return answer({"data": [shown(key) for key in keys.every(session)]})

    @blueprint.response(201, KeyAnswerSchema, description="The key.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "unavailable", "conflict", *BODY_PROBLEMS)
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="create_key", summary="Make a key", requestBody=NEW)
    def post(self) -> Response:
        """Create a key. Only this answer has its secret."""
        check_request()
        values = bodies.read(NewKeySchema())
        with changing(values["name"]) as session:
            secret = keys.issue(session, **values)
            return answer({"data": shown(keys.get(session, values["name"])), "secret": secret}, 201)


@blueprint.route("/keys/<string:name>", parameters=[NAME])
class OneKey(MethodView):
    """One key."""

    @blueprint.response(204, description="The key is revoked.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "record-not-found", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="revoke_key", summary="Revoke a key")
    def delete(self, name: str) -> Response:
        """End a key for ever. No later key can take its name."""
        check_request()
        with changing(name) as session:
            keys.revoke(session, name)
        return empty()


@blueprint.route("/keys/<string:name>/rotate", parameters=[NAME])
class Rotation(MethodView):
    """A key's new secret."""

    @blueprint.response(200, KeyAnswerSchema, description="The key.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "record-not-found", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="rotate_key", summary="Give a key a new secret")
    def post(self, name: str) -> Response:
        """Replace a key's secret. The old one stops working at once."""
        check_request()
        with changing(name) as session:
            secret = keys.rotate(session, name)
            return answer({"data": shown(keys.get(session, name)), "secret": secret})


@contextmanager
def changing(name: str) -> Iterator[Session]:
    """Open a session to change a key. Raises a 404 for an unknown name, and a 409 for a new key under a taken one."""
    try:
        with writable().writing() as session:
            yield session
    except keys.NameTaken:
        detail = f"A key `{name}` exists, or existed and was revoked: rotate it, or choose another name."
        raise ProblemError("conflict", detail, error_item("", "already-exists", detail, pointer="/name")) from None
    except keys.UnknownKey:
        detail = "No key has that name; `/keys` lists all of them."
        raise ProblemError("record-not-found", detail, error_item("name", "unknown-name", detail)) from None


def shown(key: ApiKey) -> dict[str, Any]:
    """Return the members of a key that clients may see."""
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    return {
        "name": key.name,
        "scopes": list(key.scope_list),
        "state": key.state(dt.datetime.now(dt.UTC)),
        **{name: value and instant(value) for name, value in times.items()},
    }
