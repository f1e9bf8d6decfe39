"""What a record looks like as JSON: the base schema, the field types that nouns share, canonical bytes."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, validate

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
EDTF = r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$"
SHA256 = r"^[0-9a-f]{64}$"
INSTANT = "%Y-%m-%dT%H:%M:%S"
MAX_INTEGER = 2**53 - 1
# A path of its own below every noun, so no record's id.
RESERVED = "search"


class Pattern(validate.Regexp):
    """A regular expression for the whole of a text: to `$` alone, a final line feed would be its end."""

    def __call__(self, value: Any) -> Any:
        """Return the value. Raises ValidationError when it does not match from end to end."""
        if not self.regex.fullmatch(value):
            raise ValidationError(self._format_error(value))
        return value


def instant(moment: dt.datetime) -> str:
    """Write a moment as RFC 3339 in UTC with milliseconds and ``Z``."""
    return moment.astimezone(dt.UTC).strftime(INSTANT) + f".{moment.microsecond // 1000:03d}Z"


def identifier(example: str) -> fields.String:
    """Return the field of a record's own id; ``example`` is one that is there."""
    return fields.String(
        required=True,
        validate=[Pattern(SLUG), validate.Length(max=200)],
        metadata={"description": "Stable, human-readable identifier, unique within its noun.", "example": example},
    )


@dataclass(frozen=True)
class Rule:
    """What members of a record have to do with each other: ``holds`` of a record's columns, else ``member`` is wrong."""

    member: str
    description: str
    holds: Callable[[Mapping[str, Any]], bool]


class Document(Schema):
    """A record as it is published; `version` and `updated_at` are added by the ledger.

    ``rules`` are for what is sent: the tables have constraints of their own.
    """

    rules: ClassVar[Sequence[Rule]] = ()

    class Meta:
        """Strict both ways: the OpenAPI document says that there are no other properties."""

        unknown = RAISE

    id = identifier("san-diego-ca")
    version = fields.Integer(
        dump_only=True,
        validate=validate.Range(min=1, max=MAX_INTEGER),
        metadata={"description": "The dataset version that last changed this record: unique and ascending.", "example": 17},
    )
    updated_at = fields.String(
        dump_only=True,
        metadata={
            "description": "When that was: RFC 3339, UTC.",
            "example": "2024-12-02T09:30:00.000Z",
            "format": "date-time",
        },
    )


class Part(Schema):
    """A piece of a record that has no id of its own."""

    rules: ClassVar[Sequence[Rule]] = ()

    class Meta:
        """Strict, as `Document` is."""

        unknown = RAISE


class Whole(fields.Integer):
    """A whole number of JSON: no text, and no true or false, is taken for one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value // 1:
            raise self.make_error("invalid")
        return super()._deserialize(int(value), attr, data, **kwargs)


class Flag(fields.Boolean):
    """True or false as JSON has them, and nothing that could stand for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Number(fields.Float):
    """A JSON number; whole values are written as integers, so every language hashes the same bytes."""

    default_error_messages = {"invalid": "Not a number that is exact with at most 6 decimals and 15 digits."}  # noqa: RUF012 - marshmallow's interface

    def _serialize(self, value: float | None, attr: str | None, obj: object, **kwargs: Any) -> float | None:
        number = super()._serialize(value, attr, obj, **kwargs)
        assert number is None or isinstance(number, float)
        if number is None:
            return None
        return int(number) if number.is_integer() else round(number, 6)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's interface
        """Return a Decimal, of which PostgreSQL keeps every digit; what a float could not hold is refused."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise self.make_error("invalid")
        exact = Decimal(repr(value) if isinstance(value, float) else value)
        if (
            not exact.is_finite()
            or abs(exact) > MAX_INTEGER
            or exact != round(exact, 6)
            or Decimal(repr(float(exact))) != exact
        ):
            raise self.make_error("invalid")
        return exact


class Prose(fields.String):
    """A text of sentences: searched for words, not compared as a whole."""


def prose(description: str, example: str, **kwargs: Any) -> Prose:
    """Return a field of sentences of ours."""
    return Prose(required=True, metadata={"description": description, "example": example}, **kwargs)


def text(description: str, example: str, **kwargs: Any) -> fields.String:
    """Return the field of a name or a code."""
    return fields.String(required=True, metadata={"description": description, "example": example}, **kwargs)


def slug(description: str, example: str, **kwargs: Any) -> fields.String:
    """Return a field that holds an id."""
    return text(description, example, validate=Pattern(SLUG), **kwargs)


def edtf(description: str, example: str) -> fields.String:
    """Return a field for a date as precise as its source: year, month or day (EDTF level 0)."""
    return text(description, example, validate=[Pattern(EDTF), _is_in_calendar], allow_none=True)


def _is_in_calendar(value: str) -> None:
    """Raise a ValidationError for a day that no calendar has."""
    try:
        dt.date(*[int(part) or 1 for part in [*value.split("-"), "1", "1"][:3]])
    except ValueError:
        raise ValidationError("Not a day of the calendar.") from None


def whole(description: str, example: int, *, low: int = 0, **kwargs: Any) -> Whole:
    """Return a whole number from ``low`` to 2^53 - 1."""
    return Whole(
        required=True,
        validate=validate.Range(min=low, max=MAX_INTEGER),
        metadata={"description": description, "example": example},
        **kwargs,
    )


def flag(description: str, *, example: bool, **kwargs: Any) -> Flag:
    """Return a true-or-false field."""
    return Flag(required=True, metadata={"description": description, "example": example}, **kwargs)


def is_slug(value: str) -> bool:
    """Tell whether a string can be a record's id."""
    return len(value) <= 200 and re.fullmatch(SLUG, value) is not None  # noqa: PLR2004 - the documented limit
