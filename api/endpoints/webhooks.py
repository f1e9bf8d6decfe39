"""`/webhooks`: receivers that are told of changes, managed with a key that has the scope `admin`."""

import datetime as dt
import threading
from typing import Any, TypeVar

from flask import Response
from flask.views import MethodView
from marshmallow import Schema, ValidationError, fields, validate

from api.errors import ProblemError, error_item
from api.schema.fields import SLUG, instant
from api.web import auth, bodies
from api.web.admin import ADMIN, HEADERS, answer, check_request, empty
from api.web.blueprints import Blueprint, documents
from api.web.bodies import BODY_PROBLEMS
from api.web.parameters import NOUNS
from api.web.responses import JSON, database, writable
from api.webhooks import delivery, outbound, subscriptions
from api.webhooks.subscriptions import Webhook, WebhookState

T = TypeVar("T")
EXAMPLE = "https://example.org/hooks/digital-cities"
# A test message can occupy a thread as long as its receiver is slow, so a process sends one at a time.
TESTING = threading.Lock()


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
    kinds = fields.List(
        fields.String(validate=validate.OneOf(list(NOUNS))),
        required=True,
        allow_none=True,
        metadata={"description": "The nouns that it is told of; null for all.", "example": ["cities"]},
    )
    state = fields.String(
        required=True,
        validate=validate.OneOf([state.value for state in WebhookState]),
        metadata={"description": "`paused` after it answered 410, or failed for three days.", "example": "active"},
    )
    told = fields.Integer(
        required=True,
        metadata={"description": "The version up to which it was told of all changes to its nouns.", "example": 603},
    )
    created_at = _time("When it was added.")
    previous_secret_expires_at = _time("Until when messages are signed with the previous secret, too; null if they are not.")
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
    kinds = fields.List(
        fields.String(validate=validate.OneOf(list(NOUNS))),
        allow_none=True,
        validate=validate.Length(min=1, max=len(NOUNS)),
        metadata={
            "description": "Only changes of these nouns; null, or absent, for all. A new epoch is told in any case.",
            "example": ["cities", "awards"],
            "allowed": list(NOUNS),
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


class TestResultSchema(Schema):
    """What came of a test message."""

    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Status of the receiver's answer; null if there was none.", "example": 204},
    )
    outcome = fields.String(
        required=True, metadata={"description": "The same in words, or why there was no answer.", "example": "status 204"}
    )


class TestAnswerSchema(Schema):
    """An answer with the outcome of a test message."""

    data = fields.Nested(TestResultSchema, required=True, metadata={"description": "The outcome."})


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
        with writable().reading() as session:
            return answer({"data": [shown(webhook) for webhook in subscriptions.every(session)]})

    @blueprint.response(201, NewWebhookAnswerSchema, description="The webhook.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "unavailable", *BODY_PROBLEMS)
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="create_webhook", summary="Add a webhook", requestBody=NEW)
    def post(self) -> Response:
        """Add a webhook that is told of every change from now on. Only this answer has its secret.

        Messages are `{"type": "dataset.changed", "timestamp", "data": {"version", "kinds"}}`, signed by the Standard Webhooks
        specification. A message is a hint to read `/changes`. `data` has the `epoch`, too, if a new one has begun.
        """
        check_request()
        values = bodies.read(NewWebhookSchema())
        with writable().writing() as session:
            webhook = subscriptions.subscribe(session, **values)
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
        with writable().writing() as session:
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
        with writable().writing() as session:
            return answer({"data": shown(existing(subscriptions.resume(session, id)))})


@blueprint.route("/webhooks/<string:id>/rotate", parameters=[ID])
class Rotation(MethodView):
    """A webhook's new secret."""

    @blueprint.response(200, NewWebhookAnswerSchema, description="The webhook.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "record-not-found", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="rotate_webhook", summary="Give a webhook a new secret")
    def post(self, id: str) -> Response:
        """Replace a webhook's secret. Only this answer has the new one.

        For a day, messages are signed with both: `webhook-signature` then has several signatures, separated by spaces, and a
        receiver that follows the specification accepts a message if it knows the secret of any of them.
        """
        check_request()
        with writable().writing() as session:
            webhook = existing(subscriptions.rotate(session, id))
            return answer({"data": shown(webhook), "secret": webhook.secret})


@blueprint.route("/webhooks/<string:id>/test", parameters=[ID])
class TestMessage(MethodView):
    """A test message."""

    @blueprint.response(200, TestAnswerSchema, description="The outcome.", headers=HEADERS)
    @documents(blueprint, "invalid-query", "not-acceptable", "record-not-found", "unavailable")
    @auth.documented(blueprint, ADMIN)
    @blueprint.doc(operationId="test_webhook", summary="Send a test message")
    def post(self, id: str) -> Response:
        """Send a webhook a test message now, paused or not, and answer with what its receiver said within 15 seconds.

        The message is `{"type": "webhook.test", "timestamp", "data": {"webhook"}}`, signed like any other. It is sent once, and
        changes nothing for the messages about changes. A server process sends one at a time; others get a 503.
        """
        check_request()
        status, outcome = existing(send_test(id))
        return answer({"data": {"status": status or None, "outcome": outcome}})


def send_test(id: str) -> tuple[int, str] | None:
    """Return the status and the outcome of a test message; None for an unknown webhook. Raises a 503 during another one."""
    if not TESTING.acquire(blocking=False):
        raise ProblemError("unavailable", "Another test message is on its way.")
    try:
        return delivery.send_test(writable(), id, loopback=bool(database().settings.webhooks_loopback))
    finally:
        TESTING.release()


def existing(value: T | None) -> T:
    """Return a webhook that exists, or its result. Raises a 404."""
    if value is None:
        detail = "No webhook has that id; `/webhooks` lists all of them."
        raise ProblemError("record-not-found", detail, error_item("id", "unknown-id", detail))
    return value


def shown(webhook: Webhook) -> dict[str, Any]:
    """Return the members of a webhook that clients may see."""
    times = {"next_attempt_at": webhook.due_at, "last_attempt_at": webhook.last_attempt_at}
    return {
        "id": webhook.id,
        "url": webhook.url,
        "kinds": webhook.kinds,
        "state": webhook.state.value,
        "told": webhook.told,
        "created_at": instant(webhook.created_at),
        "previous_secret_expires_at": max(webhook.previous(dt.datetime.now(dt.UTC)).values(), default=None),
        "attempts": webhook.attempts,
        **{name: value and instant(value) for name, value in times.items()},
        "last_outcome": webhook.last_outcome,
    }
