"""Documents as JSON: the base schemas, and the field types that nouns share."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate

from api.schema import dates, names
from api.schema.choices import Choice

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
SHA256 = r"^[0-9a-f]{64}$"
INSTANT = "%Y-%m-%dT%H:%M:%S"
MAX_INTEGER = 2**53 - 1
# No record has this id, because `/{noun}/search` is a path of its own.
RESERVED = "search"


class Pattern(validate.Regexp):
    """A regular expression that matches a whole text; `$` alone would also match before a final line feed."""

    def __call__(self, value: Any) -> Any:
        """Return the value. Raises ValidationError if the whole of it does not match."""
        if not self.regex.fullmatch(value):
            raise ValidationError(self._format_error(value))
        return value


# The revisions of a commit have one time.
@lru_cache(maxsize=16)
def instant(moment: dt.datetime) -> str:
    """Write a moment as RFC 3339 in UTC with milliseconds and ``Z``."""
    return moment.astimezone(dt.UTC).strftime(INSTANT) + f".{moment.microsecond // 1000:03d}Z"


def identifier(example: str) -> fields.String:
    """Return the field of a record's own id; ``example`` is the id of a published record."""
    return fields.String(
        required=True,
        validate=[Pattern(SLUG), validate.Length(max=200)],
        metadata={"description": "Stable, human-readable identifier, unique within its noun.", "example": example},
    )


@dataclass(frozen=True)
class Rule:
    """A rule about several members of a record.

    ``holds`` tells whether the values of the columns meet it; if not, ``member`` is named as wrong.
    """

    member: str
    description: str
    holds: Callable[[Mapping[str, Any]], bool]


class Document(Schema):
    """A record as it is published; the ledger adds `version` and `updated_at`.

    ``rules`` check records that are sent; the tables have constraints of their own.
    """

    rules: ClassVar[Sequence[Rule]] = ()

    class Meta:
        """Unknown members are refused, and the OpenAPI document says that there are no others."""

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
    """A part of a record, without an id of its own."""

    rules: ClassVar[Sequence[Rule]] = ()

    class Meta:
        """Unknown members are refused, as in `Document`."""

        unknown = RAISE


class Whole(fields.Integer):
    """A whole number of JSON; texts and booleans are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not _is_whole(value):
            raise self.make_error("invalid")
        return super()._deserialize(int(value), attr, data, **kwargs)


def _is_whole(value: float | Decimal) -> bool:
    """Tell whether a number has no fraction, without a division, which raises for a Decimal of many digits."""
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) or value.is_integer()


class Flag(fields.Boolean):
    """True or false as JSON has them; texts and numbers are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Number(fields.Float):
    """A JSON number; whole values are written as integers, so that every language hashes the same bytes."""

    default_error_messages = {"invalid": "Not a number that is exact with at most 6 decimals and 15 digits."}  # noqa: RUF012 - marshmallow's interface

    def _serialize(self, value: float | None, attr: str | None, obj: object, **kwargs: Any) -> float | None:
        number = super()._serialize(value, attr, obj, **kwargs)
        assert number is None or isinstance(number, float)
        if number is None:
            return None
        return int(number) if number.is_integer() else round(number, 6)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - marshmallow's interface
        """Return a Decimal, because PostgreSQL stores all its digits; numbers that a float cannot hold are refused."""
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


class Name(fields.String):
    """A name, a title or a unit. One that is sent (``is_sent``) is brought to its canonical form, or refused."""

    is_sent = False

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not self.is_sent:
            return text
        try:
            return names.canonical(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Title(Name):
    """A title in our own words, unlike a name, which the world gives."""


class Date(fields.String):
    """A date in EDTF."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            dates.parse(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        return text


class Object(fields.Nested):
    """An object of single values, which the columns `<member>_<name>` of the record's table hold; null if all of them are."""

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = missing) -> Any:
        """Return the object of a row, or the member of a mapping."""
        if isinstance(obj, Mapping):
            return super().get_value(obj, attr, accessor, default)
        values = {name: getattr(obj, column) for name, column in self.columns(attr).items()}
        return None if set(values.values()) == {None} else values

    def columns(self, member: str) -> Mapping[str, str]:
        """Return the columns of the values by their names."""
        return {name: f"{member}_{name}" for name in self.schema.fields}


class Prose(fields.String):
    """A text of sentences: it can be searched for words, but not compared as a whole."""


def prose(description: str, example: str, **kwargs: Any) -> Prose:
    """Return the field of a text of sentences."""
    return Prose(required=True, metadata={"description": description, "example": example}, **kwargs)


def text(description: str, example: str, **kwargs: Any) -> fields.String:
    """Return the field of a code."""
    return fields.String(required=True, metadata={"description": description, "example": example}, **kwargs)


def one_of(values: type[Choice], description: str, example: str, **kwargs: Any) -> "fields.Enum[Any]":
    """Return the field of one of these values."""
    metadata = {"description": description, "example": example}
    return fields.Enum(values, by_value=fields.String, required=True, metadata=metadata, **kwargs)


def named(description: str, example: str, **kwargs: Any) -> Name:
    """Return the field of a name: NFC, trimmed, with single spaces and without invisible characters."""
    return Name(required=True, metadata={"description": description, "example": example, "pattern": names.PATTERN}, **kwargs)


def titled(description: str, example: str) -> Title:
    """Return the field of a title in our own words, in the form of a name."""
    return Title(required=True, metadata={"description": description, "example": example, "pattern": names.PATTERN})


def slug(description: str, example: str, **kwargs: Any) -> fields.String:
    """Return a field that holds an id."""
    return text(description, example, validate=Pattern(SLUG), **kwargs)


class Reference(fields.String):
    """The id of a record of a ``noun``; if that is None, the member ``kind`` names the noun."""

    def __init__(self, noun: str | None = None, kind: str = "", **kwargs: Any) -> None:
        """Add what it refers to."""
        super().__init__(**kwargs)
        self.noun, self.kind = noun, kind


def reference(noun: str | None, description: str, example: str, **kwargs: Any) -> Reference:
    """Return a field that holds the id of another record."""
    metadata = {"description": description, "example": example}
    return Reference(noun, required=True, validate=Pattern(SLUG), metadata=metadata, **kwargs)


def object_of(schema: type["Part"], description: str, example: Mapping[str, Any]) -> Object:
    """Return the field of an object of single values, which can be null."""
    return Object(schema, required=True, allow_none=True, metadata={"description": description, "example": example})


def edtf(description: str, example: str) -> "Date":
    """Return the field of a date that is as precise, and as certain, as its source."""
    examples = {"maxLength": dates.LONGEST, "examples": [*dates.EXAMPLES]}
    metadata = {"description": description, "example": example, "pattern": dates.EDTF, **examples, "allowed": examples}
    return Date(required=True, allow_none=True, metadata=metadata)


def whole(description: str, example: int, *, low: int = 0, high: int = MAX_INTEGER, **kwargs: Any) -> Whole:
    """Return the field of a whole number from ``low`` to ``high``."""
    return Whole(
        required=True,
        validate=validate.Range(min=low, max=high),
        metadata={"description": description, "example": example},
        **kwargs,
    )


def flag(description: str, *, example: bool, **kwargs: Any) -> Flag:
    """Return the field of true or false."""
    return Flag(required=True, metadata={"description": description, "example": example}, **kwargs)


def is_slug(value: str) -> bool:
    """Tell whether a string can be a record's id."""
    return len(value) <= 200 and re.fullmatch(SLUG, value) is not None  # noqa: PLR2004 - the documented limit
