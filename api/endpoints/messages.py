"""The messages that webhooks get, as the OpenAPI document describes them."""

from typing import Any

from marshmallow import Schema, fields, validate

from api.resources import RESOURCES
from api.web.headers import header_parameter
from api.web.responses import JSON
from api.webhooks.delivery import CHANGED, TEST

NOUNS = [resource.name for resource in RESOURCES]
TIME = "2024-12-02T09:30:00.000Z"
SIGNATURE = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="


class ChangedDataSchema(Schema):
    """What changed."""

    version = fields.Integer(required=True, metadata={"description": "Version of the dataset.", "example": 618})
    kinds = fields.List(
        fields.String(validate=validate.OneOf(NOUNS)),
        required=True,
        metadata={"description": "The nouns that changed since the last message.", "example": ["cities"]},
    )
    epoch = fields.Integer(metadata={"description": "The new epoch, if one has begun since.", "example": 2})


class TestDataSchema(Schema):
    """Which webhook is tested."""

    webhook = fields.String(required=True, metadata={"description": "Id of the webhook.", "example": "wh-6f1ed002ab559585"})


def _message(type: str, data: type[Schema], name: str) -> type[Schema]:
    members: dict[str, Any] = {
        "type": fields.String(
            required=True, validate=validate.Equal(type), metadata={"description": "Type of the message.", "example": type}
        ),
        "timestamp": fields.String(
            required=True, metadata={"description": "When it was made.", "example": TIME, "format": "date-time"}
        ),
        "data": fields.Nested(data, required=True, metadata={"description": "What it tells."}),
    }
    return Schema.from_dict(members, name=name)


SCHEMAS = {
    "ChangedMessage": _message(CHANGED, ChangedDataSchema, "ChangedMessage"),
    "TestMessage": _message(TEST, TestDataSchema, "TestMessage"),
}
SIGNED = [
    header_parameter("webhook-id", "Id of the message: the same in each attempt to send it.", "msg_0b6a4ac1b2c84a0e"),
    header_parameter("webhook-timestamp", "When it was sent, in seconds since 1970.", "1733131800"),
    header_parameter("webhook-signature", "One signature for each secret that is in use, separated by spaces.", SIGNATURE),
]


def _webhook(operation: str, summary: str, description: str, schema: str) -> dict[str, Any]:
    body = {"required": True, "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
    return {
        "post": {
            "operationId": operation,
            "summary": summary,
            "description": f"{description} It is signed by the Standard Webhooks specification.",
            "tags": ["webhooks"],
            "parameters": [{**row, "required": True} for row in SIGNED],
            "requestBody": body,
            "responses": {
                "2XX": {"description": "The receiver has the message."},
                "410": {"description": "The receiver wants no more messages: the webhook is paused."},
                "default": {"description": "The message is sent again later."},
            },
        }
    }


WEBHOOKS = {
    CHANGED: _webhook("on_changed", "The dataset has changed", "A hint to read `/changes`.", "ChangedMessage"),
    TEST: _webhook("on_test", "A test", "The answer to `POST /webhooks/{id}/test` says what came of it.", "TestMessage"),
}
