"""Operations as clients send them: the schemas of a changeset, and how its body is read."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flask import request
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.editing.inputs import MESSAGE_CHECKS
from api.editing.operations import ANY, JOIN, RENAME, Expected, Operation
from api.errors import MAX_REFUSALS, ErrorList, ProblemError, error_item
from api.resources import BY_NAME
from api.schema.fields import MAX_INTEGER, SLUG
from api.schema.validation import load
from api.web import tags
from api.web.responses import JSON, NDJSON, read_body

MAX_OPERATIONS = 1_000
QUOTED = re.compile(r'^(?:W/)?"([^"]+)"$')
# The operations, and the verbs that carry them out.
VERBS = {**{name: name for name in ("create", "put", "patch", "delete")}, "merge": JOIN, "rename": RENAME}
# The member that an operation needs besides the record's id.
NEEDS = {"merge": "into", "rename": "to"}


def _expected(value: Any) -> Expected:
    """Return what `if_match` names. Raises ValidationError."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_INTEGER:
        return Expected(frozenset([(value, "")]))
    if value == "*":
        return ANY
    if isinstance(value, str) and (match := QUOTED.fullmatch(value)):
        version = tags.record_version(match[1])
        return Expected(frozenset([version] if version else []))
    raise ValidationError("Send the `version` or the `ETag` of the record, or `*`.")


class OperationSchema(Schema):
    """One operation of a changeset."""

    op = fields.String(
        required=True,
        validate=validate.OneOf([*VERBS]),
        metadata={
            "description": "`create`; `put`: create or replace; `patch`: change some members; `delete`; `merge`, `rename`: "
            "give all references to the record `into` or to the new id `to`, and let the old id lead there.",
            "example": "patch",
        },
    )
    kind = fields.String(
        required=True,
        validate=validate.OneOf(list(BY_NAME)),
        metadata={"description": "The record's noun.", "example": "cities"},
    )
    id = fields.String(
        metadata={"description": "The record's id. If absent, `document` must have it.", "example": "san-diego-ca"}
    )
    if_match = fields.Raw(
        validate=_expected,
        metadata={
            "description": "The record's `version` or `ETag` as you know it, or `*`; required to change a record that exists. "
            "Only an `ETag` tells a version from one of the same number that was lost in a restore.",
            "example": 3,
            "anyOf": [{"type": "integer", "minimum": 1}, {"const": "*"}, {"type": "string", "pattern": QUOTED.pattern}],
        },
    )
    document = fields.Dict(
        metadata={
            "description": "The record, or the patch; only of `create`, `put` and `patch`.",
            "example": {"summary": "By the sea."},
        }
    )

    into = fields.String(
        validate=validate.Regexp(SLUG),
        metadata={"description": "Of `merge`: the id of the record that stays.", "example": "san-jose-ca"},
    )
    to = fields.String(
        validate=validate.Regexp(SLUG), metadata={"description": "Of `rename`: the new id.", "example": "san-jose-ca"}
    )

    @validates_schema
    def check_members(self, data: dict[str, Any], **_: Any) -> None:
        """Require a document of the operations that write one, and the other id of those that move a record."""
        op = data["op"]
        has_none = op == "delete" or op in NEEDS
        needed = {"id", NEEDS[op]} if op in NEEDS else set() if has_none else {"document"}
        missing = self.fields["document"].error_messages["required"]
        faults = {name: [missing] for name in needed - data.keys()}
        others = {*NEEDS.values(), *(["document"] if has_none else [])} - needed
        faults |= {name: [f"`{op}` takes no `{name}`."] for name in others & data.keys()}
        if op in NEEDS and data.get(NEEDS[op]) == data.get("id"):
            faults |= {NEEDS[op]: [f"`{NEEDS[op]}` is another id than that of the record."]}
        if faults:
            raise ValidationError(faults)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Operation:
        """Return the operation; its place in the body is not known here."""
        version = data.get("if_match")
        return Operation(
            verb=VERBS[data["op"]],
            resource=BY_NAME[data["kind"]],
            id=data.get("id"),
            body=data.get("document"),
            expected=None if version is None else _expected(version),
            into=data.get("into", data.get("to")),
        )


class ChangesetSchema(Schema):
    """Operations that are carried out together."""

    message = fields.String(
        validate=MESSAGE_CHECKS,
        metadata={"description": "Why the changes are made.", "example": "Part two of the series."},
    )
    operations = fields.List(
        fields.Nested(OperationSchema),
        required=True,
        validate=validate.Length(min=1, max=MAX_OPERATIONS),
        metadata={"description": "At most 1,000, each on another record. They may refer to records that later ones create."},
    )


CHANGESET = fields.Nested(ChangesetSchema)
OPERATIONS = fields.List(fields.Nested(OperationSchema))
OPERATION = {"op": "patch", "kind": "cities", "id": "san-diego-ca", "if_match": "*", "document": {"summary": "By the sea."}}
# The body, as the OpenAPI document describes it.
BODIES = {
    "required": True,
    "content": {
        JSON: {"schema": ChangesetSchema, "example": {"message": "Describes a city.", "operations": [OPERATION]}},
        NDJSON: {"schema": {"type": "string"}, "example": json.dumps(OPERATION) + "\n"},
    },
}


class Changeset(NamedTuple):
    """A changeset: why it is made, its operations, and these as they were sent."""

    message: str | None
    operations: Sequence[Operation]
    rows: Sequence[Mapping[str, Any]]


def read_changeset() -> Changeset:
    """Return the changeset in the body. Raises 400, 413, 415, and a 422 that names everything that is wrong."""
    is_lines = request.mimetype == NDJSON
    body = {"operations": read_body(NDJSON, exact=True)} if is_lines else read_body(JSON, NDJSON, exact=True)
    # The pointer to a line of NDJSON begins with its number.
    pointer = "" if is_lines else "/operations"
    _check_number(body, pointer)
    if is_lines:
        return Changeset(None, operations_of(body["operations"], pointer), body["operations"])
    errors = ErrorList(MAX_REFUSALS)
    changeset = load(CHANGESET, body, errors)
    errors.raise_any("invalid-body")
    return Changeset(changeset.get("message"), _placed(changeset["operations"], pointer), body["operations"])


def operations_of(rows: Sequence[Any], pointer: str = "/operations") -> Sequence[Operation]:
    """Return the operations of a list at this pointer of the body. Raises a 422 that names everything that is wrong."""
    errors = ErrorList(MAX_REFUSALS)
    operations = load(OPERATIONS, rows, errors, pointer=pointer)
    errors.raise_any("invalid-body")
    return _placed(operations, pointer)


def _placed(operations: Sequence[Operation], pointer: str) -> Sequence[Operation]:
    return [
        replace(operation, place=f"{pointer}/{number}", pointer=f"{pointer}/{number}/document")
        for number, operation in enumerate(operations)
    ]


def _check_number(body: Any, pointer: str) -> None:
    """Raise a 422 for a list of operations that is empty or too long, before each of them is checked."""
    rows = body.get("operations") if isinstance(body, dict) else None
    if isinstance(rows, list) and not 1 <= len(rows) <= MAX_OPERATIONS:
        detail, limits = f"A changeset has 1 to {MAX_OPERATIONS} operations.", {"minimum": 1, "maximum": MAX_OPERATIONS}
        raise ProblemError("invalid-body", detail, error_item("", "wrong-number", detail, pointer=pointer, allowed=limits))
