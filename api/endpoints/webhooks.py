"""Webhooks over HTTP, for whoever has a key with the scope `admin`."""

from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, fields, validate

from api.errors import ErrorList, ProblemError, error_item
from api.schema.fields import SLUG, instant
from api.schema.strict_json import escaped
from api.web import auth
from api.web.admin import ADMIN, HEADERS, NOT_JSON, answer, asked
from api.web.responses import JSON, Blueprint, database, documents, read_body
from api.webhooks import delivery, outbound
from api.webhooks.delivery import State, Webhook

hook_routes = Blueprint("webhooks", __name__, description="Webhooks: who is told of changes. Only for keys with `admin`.")
EXAMPLE = "https://example.org/hooks/digital-cities"


def _time(description: str) -> fields.String:
    metadata = {"description": description, "example": "2025-01-31T12:00:00.000Z", "format": "date-time"}
    return fields.String(required=True, allow_none=True, metadata=metadata)


class WebhookSchema(Schema):
    """A receiver of messages, without its secret."""

    id = fields.String(required=True, metadata={"description": "Its id.", "example": "wh-6f1ed002ab559585"})
    url = fields.String(required=True, metadata={"description": "Where messages go.", "example": EXAMPLE, "format": "uri"})
    state = fields.String(
        required=True,
        validate=validate.OneOf([state.value for state in State]),
        metadata={"description": "`paused` when it could not be reached for days, or answered 410.", "example": "active"},
    )
    told = fields.Integer(required=True, metadata={"description": "The version that it was told of last.", "example": 603})
    created_at = _time("When it was made.")
    attempts = fields.Integer(required=True, metadata={"description": "How often the message at hand failed.", "example": 0})
    next_attempt_at = _time("When it is sent again; null where none is waiting.")
    last_attempt_at = _time("When one was sent last; null for never.")
    last_outcome = fields.String(
        required=True, allow_none=True, metadata={"description": "What became of that.", "example": "status 204"}
    )


class NewWebhookSchema(Schema):
    """A receiver to add."""

    url = fields.String(
        required=True,
        validate=validate.Length(max=2000),
        metadata={"description": "An address of `https` that the whole world can reach.", "example": EXAMPLE, "format": "uri"},
    )


class WebhookAnswerSchema(Schema):
    """A receiver."""

    data = fields.Nested(WebhookSchema, required=True, metadata={"description": "The receiver."})


class NewWebhookAnswerSchema(WebhookAnswerSchema):
    """A receiver, and its secret."""

    secret = fields.String(
        required=True,
        metadata={"description": "What messages are signed with; nobody can read it again.", "example": "whsec_…"},
    )


class WebhookListSchema(Schema):
    """All receivers."""

    data = fields.List(fields.Nested(WebhookSchema), required=True, metadata={"description": "The oldest first."})


ID = {
    "name": "id",
    "in": "path",
    "description": "Id of the webhook.",
    "schema": {"type": "string", "pattern": SLUG},
    "example": "wh-6f1ed002ab559585",
}
NEW = {"required": True, "content": {JSON: {"schema": NewWebhookSchema, "example": {"url": EXAMPLE}}}}


@hook_routes.route("/webhooks")
class Webhooks(MethodView):
    """All receivers."""

    @hook_routes.response(200, WebhookListSchema, description="The receivers.", headers=HEADERS)
    @documents(hook_routes, "invalid-query", "not-acceptable", "unavailable")
    @auth.documented(hook_routes, ADMIN)
    @hook_routes.doc(operationId="list_webhooks", summary="List the webhooks")
    def get(self) -> Response:
        """List who is told of changes, and how that goes."""
        with asked() as session:
            return answer({"data": [shown(webhook) for webhook in delivery.every(session)]})

    @hook_routes.response(201, NewWebhookAnswerSchema, description="The receiver.", headers=HEADERS)
    @documents(hook_routes, "invalid-query", "not-acceptable", "unavailable", *NOT_JSON)
    @auth.documented(hook_routes, ADMIN)
    @hook_routes.doc(operationId="create_webhook", summary="Add a webhook", requestBody=NEW)
    def post(self) -> Response:
        """Add a receiver that is told of every change from now on; its secret is in this answer only.

        Messages are `{"type": "dataset.changed", "timestamp", "data": {"version", "kinds"}}`, signed as Standard Webhooks has
        it: a hint to ask `/changes`.
        """
        with asked() as session:
            webhook = delivery.subscribe(session, read_url(read_body(JSON)))
            return answer({"data": shown(webhook), "secret": webhook.secret}, 201)


@hook_routes.route("/webhooks/<string:id>", parameters=[ID])
class OneWebhook(MethodView):
    """One receiver."""

    @hook_routes.response(204, description="It is told of nothing any more.", headers=HEADERS)
    @documents(hook_routes, "invalid-query", "record-not-found", "unavailable")
    @auth.documented(hook_routes, ADMIN)
    @hook_routes.doc(operationId="delete_webhook", summary="Remove a webhook")
    def delete(self, id: str) -> Response:
        """Remove a receiver; a message that is on its way may still arrive."""
        with asked() as session:
            session.delete(there(session.get(Webhook, id, with_for_update=True)))
            response = Response(status=204, headers={"Cache-Control": "no-store"})
            response.headers.pop("Content-Type")
            return response


@hook_routes.route("/webhooks/<string:id>/resume", parameters=[ID])
class Resumption(MethodView):
    """A receiver that was given up."""

    @hook_routes.response(200, WebhookAnswerSchema, description="The receiver.", headers=HEADERS)
    @documents(hook_routes, "invalid-query", "not-acceptable", "record-not-found", "unavailable")
    @auth.documented(hook_routes, ADMIN)
    @hook_routes.doc(operationId="resume_webhook", summary="Tell a webhook again")
    def post(self, id: str) -> Response:
        """Tell a receiver again that is paused, of all that has changed meanwhile."""
        with asked() as session:
            return answer({"data": shown(there(delivery.resume(session, id)))})


def there(webhook: Webhook | None) -> Webhook:
    """Return a receiver that is there. Raises a 404."""
    if webhook is None:
        detail = "There is no webhook of that id; `/webhooks` lists those that there are."
        raise ProblemError("record-not-found", detail, error_item("id", "unknown-id", detail))
    return webhook


def shown(webhook: Webhook) -> dict[str, Any]:
    """Return what is shown of a receiver."""
    times = {"next_attempt_at": webhook.due_at, "last_attempt_at": webhook.last_attempt_at}
    return {
        "id": webhook.id,
        "url": webhook.url,
        "state": webhook.state.value,
        "told": webhook.told,
        "created_at": instant(webhook.created_at),
        "attempts": webhook.attempts,
        **{name: value and instant(value) for name, value in times.items()},
        "last_outcome": webhook.last_outcome,
    }


def read_url(body: Any) -> str:
    """Read a receiver to add. Raises a 422 that names everything that is wrong."""
    wrong = ErrorList()
    given = body if isinstance(body, dict) else {}
    if given is not body:
        wrong.add("", "invalid-value", "A webhook is an object.", pointer="")
    for name in [name for name in given if name != "url"]:
        wrong.unknown(name, ["url"], "member", parameter="", pointer=f"/{escaped(name)}")
    url = given["url"] if isinstance(given.get("url"), str) else ""
    try:
        outbound.check_url(url, loopback=bool(database().settings.webhooks_loopback))
    except outbound.Refused as error:
        wrong.add("", "invalid-value", f"{error}", pointer="/url", allowed={"format": "uri", "pattern": "^https://"})
    wrong.raise_any("invalid-body")
    return url
