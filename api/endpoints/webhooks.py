"""`/webhooks`: receivers that are told of changes, managed with a key that has the scope `admin`."""

from typing import Any

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validate

from api.errors import ProblemError, error_item
from api.schema.fields import SLUG, instant
from api.web import auth, bodies
from api.web.admin import ADMIN, BODY_PROBLEMS, HEADERS, answer, check_request, empty
from api.web.blueprints import Blueprint, documents
from api.web.responses import JSON, database
from api.webhooks import outbound, subscriptions
from api.webhooks.subscriptions import Webhook, WebhookState

EXAMPLE = "https://example.org/hooks/digital-cities"


def _time(description: str) -> fields.String:
    metadata = {"description": description, "example": "2025-01-31T12:00:00.000Z", "format": "date-time"}
    return fields.String(required=True, allow_none=True, metadata=metadata)


class ReceiverUrl(fields.String):
    """The address of a receiver: a text whose form, and whose host if it is an IP address, messages may be sent to."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        url = super()._deserialize(value, attr, data, **kwargs)
        try:
            outbound.check_url(url, loopback=bool(database().settings.webhooks_loopback))
        except outbound.Refused as error:
            raise ValidationError(str(error)) from None
        return url


class WebhookSchema(Schema):
    """A webhook, without its secret."""

    id = fields.String(required=True, metadata={"description": "Its id.", "example": "wh-6f1ed002ab559585"})
    url = fields.String(required=True, metadata={"description": "Where messages go.", "example": EXAMPLE, "format": "uri"})
    state = fields.String(
        required=True,
        validate=validate.OneOf([state.value for state in WebhookState]),
        metadata={"description": "`paused` after it answered 410, or failed for three days.", "example": "active"},
    )
    told = fields.Integer(
        required=True, metadata={"description": "The last version that it received a message about.", "example": 603}
    )
    created_at = _time("When it was added.")
    attempts = fields.Integer(
        required=True, metadata={"description": "Number of failed attempts to send the current message.", "example": 0}
    )
    next_attempt_at = _time("When the next attempt is due; null if no message is waiting.")
    last_attempt_at = _time("When the last attempt was made; null if none was.")
    last_outcome = fields.String(
        required=True, allow_none=True, metadata={"description": "Outcome of the last attempt.", "example": "status 204"}
    )


class NewWebhookSchema(Schema):
    """A webhook to add."""

    url = ReceiverUrl(
        required=True,
        validate=validate.Length(max=outbound.MAX_LENGTH),
        metadata={
            "description": "An `https` address on the public internet.",
            "example": EXAMPLE,
            "format": "uri",
            "allowed": {"format": "uri", "pattern": "^https://"},
        },
    )


class WebhookAnswerSchema(Schema):
    """An answer with one webhook."""

    data = fields.Nested(WebhookSchema, required=True, metadata={"description": "The webhook."})


class NewWebhookAnswerSchema(WebhookAnswerSchema):
    """A webhook, and its secret."""

    secret = fields.String(
        required=True,
        metadata={"description": "The key that messages are signed with. No later answer has it.", "example": "whsec_…"},
    )


class WebhookListSchema(Schema):
    """All webhooks."""

    data = fields.List(fields.Nested(WebhookSchema), required=True, metadata={"description": "The webhooks, oldest first."})


blueprint = Blueprint(
    "webhooks", __name__, description="Webhooks: who is told of changes. They need a key with the scope `admin`."
)
ID = {
    "name": "id",
    "in": "path",
    "description": "Id of the webhook.",
    "schema": {"type": "string", "pattern": SLUG},
    "example": "wh-6f1ed002ab559585",
}
NEW = {"required": True, "content": {JSON: {"schema": NewWebhookSchema, "example": {"url": EXAMPLE}}}}


@blueprint.route("/webhooks")
class Webhooks(MethodView):
    """All webhooks."""

    @blueprint.response(200, WebhookListSchema, description="The webhooks.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="list_webhooks", summary="List the webhooks")
    def get(self) -> Response:
        """List the webhooks, with the outcome of the last attempt of each."""
        check_request()
        with database().reading() as session:
            return answer({"data": [shown(webhook) for webhook in subscriptions.every(session)]})

    @blueprint.response(201, NewWebhookAnswerSchema, description="The webhook.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "unavailable", *BODY_PROBLEMS)
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="create_webhook", summary="Add a webhook", requestBody=NEW)
    def post(self) -> Response:
        """Add a webhook that is told of every change from now on. Only this answer has its secret.

        Messages are `{"type": "dataset.changed", "timestamp", "data": {"version", "kinds"}}`, signed by the Standard Webhooks
        specification. A message is a hint to read `/changes`.
        """
        check_request()
        values = bodies.read(NewWebhookSchema())
        with database().writing() as session:
            webhook = subscriptions.subscribe(session, values["url"])
            return answer({"data": shown(webhook), "secret": webhook.secret}, 201)


@blueprint.route("/webhooks/<string:id>", parameters=[ID])
class OneWebhook(MethodView):
    """One webhook."""

    @blueprint.response(204, description="The webhook is removed.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "record-not-found", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="delete_webhook", summary="Remove a webhook")
    def delete(self, id: str) -> Response:
        """Remove a webhook. A message that is on its way may still arrive."""
        check_request()
        with database().writing() as session:
            session.delete(existing(session.get(Webhook, id, with_for_update=True)))
        return empty()


@blueprint.route("/webhooks/<string:id>/resume", parameters=[ID])
class Resumption(MethodView):
    """A paused webhook."""

    @blueprint.response(200, WebhookAnswerSchema, description="The webhook.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "record-not-found", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="resume_webhook", summary="Tell a webhook again")
    def post(self, id: str) -> Response:
        """Make a paused webhook active again. Its next message covers all changes made meanwhile."""
        check_request()
        with database().writing() as session:
            return answer({"data": shown(existing(subscriptions.resume(session, id)))})


def existing(webhook: Webhook | None) -> Webhook:
    """Return a webhook that exists. Raises a 404."""
    if webhook is None:
        detail = "No webhook has that id; `/webhooks` lists all of them."
        raise ProblemError("record-not-found", detail, error_item("id", "unknown-id", detail))
    return webhook


def shown(webhook: Webhook) -> dict[str, Any]:
    """Return the members of a webhook that clients may see."""
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
