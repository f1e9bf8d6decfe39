"""The query language: what a list may be asked, and the statement that answers it."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate
from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, false, func, or_, select
from sqlalchemy.orm import Session

from api.ledger import CURRENT, Head, Revision
from api.problems import ProblemError, mistake, nearest, shorten
from api.resource import Resource, Sort

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
CAP = 10_000
LIMIT_ERROR = f"`limit` is a whole number from 1 to {MAX_LIMIT}."


class QueryInteger(fields.Integer):
    """A whole number in plain decimal digits: what `int` takes besides (`1_0`, ` 5`, `٣`) is refused."""

    def _deserialize(self, value: object, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(value), re.ASCII):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class NoArguments(Schema):
    """The parameters of a path that has none."""

    class Meta:
        """An unknown parameter is an error, never ignored."""

        unknown = RAISE


class ListArguments(NoArguments):
    """The parameters that every list has."""

    limit = QueryInteger(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(min=1, max=MAX_LIMIT, error=LIMIT_ERROR),
        error_messages={"invalid": LIMIT_ERROR},
        metadata={"description": "How many records a page has at most.", "example": 20},
    )
    cursor = fields.String(
        validate=validate.Regexp(r"^[A-Za-z0-9_-]+$", error="`cursor` is taken from `page.cursor` or `links.next`."),
        metadata={
            "description": (
                "Continue a list: `page.cursor` of the page before, with the same parameters otherwise (`limit` may change). "
                "`links.next` has it filled in. It never expires."
            ),
        },
    )


@dataclass(frozen=True)
class Page:
    """One page: its documents as stored, how many records the whole list has, and where the next page begins."""

    documents: Sequence[str]
    total: int
    total_is_exact: bool
    cursor: str | None


def dataset_version(session: Session) -> int:
    """Return the version that the whole dataset is at."""
    return session.execute(select(Head.version)).scalar_one()


def page(session: Session, resource: Resource, arguments: Mapping[str, Any]) -> Page:
    """Answer a list with two statements, however many records it shows. Raises a 400 for a foreign cursor."""
    limit: int = arguments["limit"]
    document = published(resource, Revision.document)
    keys = [sort.column.label(f"key_{n}") for n, sort in enumerate(resource.order)]
    listed = select(document.label("document"), *keys).where(document.is_not(None))
    rows = session.execute(_after(listed, resource, arguments).limit(limit + 1)).all()
    counted = select(resource.model.id).where(published(resource, Revision.version).is_not(None)).limit(CAP + 1)
    total = session.execute(select(func.count()).select_from(counted.subquery()))
    count = total.scalar_one()
    more = len(rows) > limit
    return Page(
        documents=[row[0] for row in rows[:limit]],
        total=min(count, CAP),
        total_is_exact=count <= CAP,
        cursor=_encode(resource, rows[limit - 1][1:]) if more else None,
    )


def published(resource: Resource, column: Any) -> ScalarSelect[Any]:
    """Return a column of a row's current revision, null when it is not published.

    A subquery and not a join, so that no planner begins with the ledger: the noun's own index gives the
    order, and a page costs as many look-ups as it has rows.
    """
    one = (Revision.kind == resource.name, Revision.id == resource.model.id, *CURRENT)
    return select(column).where(*one).correlate(resource.model).scalar_subquery()


def _after(statement: Select[Any], resource: Resource, arguments: Mapping[str, Any]) -> Select[Any]:
    """Order a statement and, with a cursor, start it behind the record that the cursor names."""
    order = resource.order
    statement = statement.order_by(*(sort.column.desc() if sort.descending else sort.column.asc() for sort in order))
    if "cursor" in arguments:
        statement = statement.where(_behind(order, _decode(resource, arguments["cursor"])))
    return statement


def _behind(order: Sequence[Sort], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of the rows behind ``values``: the first key that differs decides."""
    condition: ColumnElement[bool] = false()
    for sort, value in reversed(list(zip(order, values, strict=True))):
        beyond = sort.column < value if sort.descending else sort.column > value
        condition = or_(beyond, and_(sort.column == value, condition))
    # Implied by the rest, but in a form that an index can start from.
    first = order[0]
    return and_(first.column <= values[0] if first.descending else first.column >= values[0], condition)


def _signature(resource: Resource) -> str:
    """Name the list that a cursor belongs to: its noun and its order."""
    asked = [resource.name, [[sort.column.key, sort.descending] for sort in resource.order]]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _encode(resource: Resource, values: Sequence[Any]) -> str:
    text = json.dumps([_signature(resource), *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(resource: Resource, cursor: str) -> list[Any]:
    detail = "The cursor was not made by this list."
    item = mistake("cursor", "invalid-cursor", "Take it from `links.next` or `page.cursor` of this list.")
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        values: list[Any] = found[1:]
        if found[0] != _signature(resource) or len(values) != len(resource.order):
            raise ProblemError("invalid-cursor", detail, item)
        for sort, value in zip(resource.order, values, strict=True):
            VALID[sort.column.type.python_type](value)
    except (ValueError, KeyError, TypeError, RecursionError, IndexError, binascii.Error):
        raise ProblemError("invalid-cursor", detail, item) from None
    return values


def _valid_text(value: object) -> None:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    # A lone surrogate is a string to JSON, but to no database.
    value.encode()


def _valid_integer(value: object) -> None:
    if type(value) is not int or abs(value) >= 2**63:
        raise TypeError


VALID: Mapping[type, Callable[[object], None]] = {str: _valid_text, int: _valid_integer}


def refusals(error: ValidationError, schema: Schema) -> list[dict[str, Any]]:
    """Say of each parameter that marshmallow refused what is wrong with it and what would have worked."""
    known = sorted(schema.load_fields)
    found = []
    wrong: dict[str, dict[str, list[str]]] = error.normalized_messages()  # type: ignore[no-untyped-call]
    for name, messages in wrong.get("query", {}).items():
        if name in schema.load_fields:
            found.append(
                mistake(name, "invalid-value", " ".join(map(str, messages)), allowed=_allowed(schema.load_fields[name]))
            )
        else:
            detail = f"`{shorten(name)}` is not a parameter here."
            found.append(mistake(name, "unknown-parameter", detail, allowed=known, suggestion=nearest(name, known)))
    return found


def _allowed(field: fields.Field[Any]) -> Mapping[str, Any] | None:
    for validator in field.validators:
        if isinstance(validator, validate.Range):
            return {"minimum": validator.min, "maximum": validator.max}
    return None
