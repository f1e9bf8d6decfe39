"""Keys over HTTP, for whoever has one with the scope `admin`."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields, validate

from api.errors import ErrorList, ProblemError, error_item, nearest
from api.schema.fields import SLUG, instant, is_slug
from api.schema.operators import TYPES
from api.schema.strict_json import escaped
from api.web import auth, keys
from api.web.admin import ADMIN, HEADERS, NOT_JSON, answer, asked
from api.web.keys import SCOPES, Key
from api.web.responses import JSON, Blueprint, documents, read_body

MEMBERS = ("name", "scopes", "expires_at")


def _time(description: str, *, allow_none: bool = True) -> fields.String:
    metadata = {"description": description, "example": "2025-01-31T12:00:00.000Z", "format": "date-time"}
    return fields.String(required=True, allow_none=allow_none, metadata=metadata)


class KeySchema(Schema):
    """A key, without its secret."""

    name = fields.String(required=True, metadata={"description": "What it is called in the ledger.", "example": "curator"})
    scopes = fields.List(
        fields.String(validate=validate.OneOf(list(SCOPES))),
        required=True,
        metadata={"description": "What it may do.", "example": ["write"]},
    )
    state = fields.String(
        required=True,
        validate=validate.OneOf(["active", "expired", "revoked"]),
        metadata={"description": "Whether it is of use.", "example": "active"},
    )
    created_at = _time("When it was made.", allow_none=False)
    expires_at = _time("When it ends by itself; null for never.")
    revoked_at = _time("When it was ended; null where it was not.")
    last_used_at = _time("When it was used, to the minute; null for never.")


class NewKeySchema(Schema):
    """A key to make."""

    name = fields.String(
        required=True, validate=validate.Regexp(SLUG), metadata={"description": "A name of its own.", "example": "part-two"}
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf(list(SCOPES))),
        required=True,
        validate=validate.Length(min=1),
        metadata={"description": "What it may do.", "example": ["write:initiatives"]},
    )
    expires_at = fields.String(
        allow_none=True,
        metadata={"description": "When it ends.", "example": "2099-01-31T12:00:00Z", "format": "date-time"},
    )


class KeyAnswerSchema(Schema):
    """A key, and its secret."""

    data = fields.Nested(KeySchema, required=True, metadata={"description": "The key."})
    secret = fields.String(
        required=True,
        metadata={
            "description": "What is sent as `Authorization: Bearer SECRET`; nobody can read it again.",
            "example": "dca_…",
        },
    )


class KeyListSchema(Schema):
    """All keys."""

    data = fields.List(fields.Nested(KeySchema), required=True, metadata={"description": "The keys, by name."})


key_routes = Blueprint("keys", __name__, description="Keys: who may write. Only for keys with the scope `admin`.")
NAME = {
    "name": "name",
    "in": "path",
    "description": "Name of the key.",
    "schema": {"type": "string", "pattern": SLUG},
    "example": "part-two",
}
EXAMPLE = {"name": "part-two", "scopes": ["write:initiatives"], "expires_at": "2099-01-31T12:00:00Z"}
NEW = {"required": True, "content": {JSON: {"schema": NewKeySchema, "example": EXAMPLE}}}


@key_routes.route("/keys")
class Keys(MethodView):
    """All keys."""

    @key_routes.response(200, KeyListSchema, description="The keys.", headers=HEADERS)
    @documents(key_routes, "invalid-query", "not-acceptable", "unavailable")
    @auth.documented(key_routes, ADMIN)
    @key_routes.doc(operationId="list_keys", summary="List the keys")
    def get(self) -> Response:
        """List the keys, ended ones too."""
        with asked() as session:
            return answer({"data": [shown(key) for key in keys.every(session)]})

    @key_routes.response(201, KeyAnswerSchema, description="The key.", headers=HEADERS)
    @documents(key_routes, "invalid-query", "not-acceptable", "unavailable", "conflict", *NOT_JSON)
    @auth.documented(key_routes, ADMIN)
    @key_routes.doc(operationId="create_key", summary="Make a key", requestBody=NEW)
    def post(self) -> Response:
        """Make a key; its secret is in this answer only."""
        with asked() as session:
            wanted = read_key(read_body(JSON))
            secret = made(lambda: keys.issue(session, **wanted), wanted["name"])
            return answer({"data": shown(session.get_one(Key, wanted["name"])), "secret": secret}, 201)


@key_routes.route("/keys/<string:name>", parameters=[NAME])
class OneKey(MethodView):
    """One key."""

    @key_routes.response(204, description="It is of no use any more.", headers=HEADERS)
    @documents(key_routes, "invalid-query", "record-not-found", "unavailable")
    @auth.documented(key_routes, ADMIN)
    @key_routes.doc(operationId="revoke_key", summary="Revoke a key")
    def delete(self, name: str) -> Response:
        """End a key for ever; its name stays."""
        with asked() as session:
            made(lambda: keys.revoke(session, name), name)
            response = Response(status=204, headers={"Cache-Control": "no-store"})
            response.headers.pop("Content-Type")
            return response


@key_routes.route("/keys/<string:name>/rotate", parameters=[NAME])
class Rotation(MethodView):
    """A new secret."""

    @key_routes.response(200, KeyAnswerSchema, description="The key.", headers=HEADERS)
    @documents(key_routes, "invalid-query", "not-acceptable", "record-not-found", "unavailable")
    @auth.documented(key_routes, ADMIN)
    @key_routes.doc(operationId="rotate_key", summary="Give a key a new secret")
    def post(self, name: str) -> Response:
        """Give a key a new secret; the old one is of no use from then on."""
        with asked() as session:
            secret = made(lambda: keys.rotate(session, name), name)
            return answer({"data": shown(session.get_one(Key, name)), "secret": secret})


def made(change: Callable[[], Any], name: str) -> Any:
    """Return what a change of a key returns. Raises a 404 or 409 where it can't be made."""
    try:
        return change()
    except keys.NameTaken:
        detail = f"There is, or was, a key `{name}`: rotate it, or take another name."
        raise ProblemError("conflict", detail, error_item("", "already-exists", detail, pointer="/name")) from None
    except LookupError:
        detail = "There is no key of that name; `/keys` lists those that there are."
        raise ProblemError("record-not-found", detail, error_item("name", "unknown-name", detail)) from None


def shown(key: Key) -> dict[str, Any]:
    """Return what is shown of a key."""
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    state = key.state(dt.datetime.now(dt.UTC))
    return {
        "name": key.name,
        "scopes": list(key.scope_list),
        "state": state,
        **{name: value and instant(value) for name, value in times.items()},
    }


def read_key(body: Any) -> dict[str, Any]:
    """Read a key to make. Raises a 422 that names everything that is wrong."""
    wrong = ErrorList()
    given = body if isinstance(body, dict) else {}
    if given is not body:
        wrong.add("", "invalid-value", "A key is an object.", pointer="")
    for name in [name for name in given if name not in MEMBERS]:
        wrong.unknown(name, MEMBERS, "member", parameter="", pointer=f"/{escaped(name)}")
    name, scopes, expires = given.get("name"), given.get("scopes"), given.get("expires_at")
    if not (isinstance(name, str) and is_slug(name)):
        detail = "`name` is of lower-case letters, digits and single hyphens."
        wrong.add("", "invalid-value", detail, pointer="/name", allowed={"pattern": SLUG})
    if not isinstance(scopes, list) or not scopes:
        wrong.add("", "invalid-value", "`scopes` is a list, of at least one.", pointer="/scopes", allowed=list(SCOPES))
    for number, scope in enumerate(scopes if isinstance(scopes, list) else []):
        if not (isinstance(scope, str) and scope in SCOPES):
            near = nearest(scope, SCOPES) if isinstance(scope, str) else None
            detail = "There is no such scope."
            wrong.add("", "invalid-value", detail, pointer=f"/scopes/{number}", allowed=list(SCOPES), suggestion=near)
    ends = _instant(expires, wrong)
    wrong.raise_any("invalid-body")
    return {"name": name, "scopes": scopes, "expires_at": ends}


def _instant(value: Any, wrong: ErrorList) -> dt.datetime | None:
    try:
        ends: dt.datetime | None = None if value is None else TYPES["instant"].read(value)
    except (ValueError, TypeError, OverflowError):
        ends = dt.datetime.min.replace(tzinfo=dt.UTC)
    if ends and ends <= dt.datetime.now(dt.UTC):
        detail = "`expires_at` is a time to come, such as `2099-01-31T12:00:00Z`."
        wrong.add("", "invalid-value", detail, pointer="/expires_at", allowed={"format": "date-time"})
    return ends
