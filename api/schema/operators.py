"""The tables of the query language: the types of fields, and the operators that each type takes."""

import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from marshmallow import fields, validate
from sqlalchemy import BigInteger, ColumnElement, and_, func, not_, or_, type_coerce

from api.schema import dates
from api.schema.fields import MAX_INTEGER, SLUG, Date, Number, Pattern, Prose

MAX_VALUES = 500
MAX_TEXT = 1000
LAST_CHARACTER = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)


def _text(text: str) -> str:
    if len(text) > MAX_TEXT or "\0" in text:
        raise ValueError
    # A lone surrogate is valid in JSON, but no database can store it.
    text.encode()
    return text


def _whole(text: str) -> int:
    # `int` alone would also accept `1_0`, ` 5` and `٣`.
    if not re.fullmatch(r"-?[0-9]{1,16}", text, re.ASCII) or abs(int(text)) > MAX_INTEGER:
        raise ValueError
    return int(text)


def _number(text: str) -> Decimal:
    # The shortest decimal of the nearest float, so that both databases compare the same number; as a Decimal, because
    # PostgreSQL would compare a float as one, and use no index.
    if (
        not re.fullmatch(r"-?[0-9]{1,16}(\.[0-9]{1,400})?([Ee][+-]?[0-9]{1,3})?", text, re.ASCII)
        or abs(float(text)) > MAX_INTEGER
    ):
        raise ValueError
    return Decimal(repr(float(text)))


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _instant(text: str) -> dt.datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII):
        raise ValueError
    return dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).upper()).astimezone(dt.UTC)


def _date(text: str) -> str:
    dates.known_period(text)
    return text


def _beginning(text: str) -> str:
    dates.beginning(text)
    return text


@dataclass(frozen=True)
class Type:
    """A row of the table of types: a description and the JSON Schema of a value, and the operators that take it.

    ``read`` returns the value of its text in a query; it raises ValueError, KeyError or OverflowError for a malformed one.
    """

    name: str
    description: str
    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    operators: Sequence[str]


EQUAL, ORDERED = ("", "not"), ("gt", "gte", "lt", "lte")
WHOLE_SCHEMA = {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER}
TEXT_SCHEMA = {"type": "string", "maxLength": MAX_TEXT, "pattern": r"^[^\x00]*$"}
BEGINNINGS = ("202", "2024", "2024-0")
KNOWN = [date for date in dates.EXAMPLES if dates.UNKNOWN not in date]
DATE_SCHEMA = {
    "type": "string",
    "maxLength": dates.LONGEST,
    "pattern": dates.PERIOD,
    "examples": KNOWN,
}
BEGINNING_SCHEMA = {
    "type": "string",
    "maxLength": len("2024-07-31"),
    "pattern": dates.BEGINNING,
    "examples": [*BEGINNINGS],
}
TYPES = {
    row.name: row
    for row in (
        Type("reference", "an id", _text, {"type": "string", "pattern": SLUG, "maxLength": 200}, EQUAL),
        Type("choice", "one of the listed values", _text, {"type": "string"}, EQUAL),
        Type("code", "a text of a fixed form", _text, {"type": "string"}, (*EQUAL, "startswith")),
        Type("text", f"a text of at most {MAX_TEXT} characters", _text, TEXT_SCHEMA, (*EQUAL, "contains", "startswith")),
        Type("prose", f"a text of at most {MAX_TEXT} characters", _text, TEXT_SCHEMA, ("contains",)),
        Type("flag", "`true` or `false`", _flag, {"type": "boolean"}, ("",)),
        Type("whole", "a whole number", _whole, WHOLE_SCHEMA, (*EQUAL, *ORDERED)),
        Type("number", "a number", _number, {**WHOLE_SCHEMA, "type": "number"}, (*EQUAL, *ORDERED)),
        Type(
            "date",
            f"a date of a known year as {dates.listed(KNOWN)} (a month of any year: `__month`)",
            _date,
            DATE_SCHEMA,
            (*EQUAL, *ORDERED, "startswith", "month"),
        ),
        Type("beginning", f"the first characters of a day, as {dates.listed(BEGINNINGS)}", _beginning, BEGINNING_SCHEMA, ()),
        Type("month", "the number of a month", _whole, {"type": "integer", "minimum": 1, "maximum": 12}, ()),
        Type("version", "a version of the dataset", _whole, {**WHOLE_SCHEMA, "minimum": 0}, ORDERED),
        Type("instant", "a time as `2025-01-31T12:00:00Z`", _instant, {"type": "string", "format": "date-time"}, ORDERED),
    )
}


def type_of(field: fields.Field[Any]) -> Type:
    """Return the type of a document's scalar field."""
    if any(isinstance(validator, validate.OneOf) for validator in field.validators):
        return TYPES["choice"]
    if isinstance(field, fields.String) and not isinstance(field, Prose | Date):
        patterns = [str(validator.regex.pattern) for validator in field.validators if isinstance(validator, Pattern)]
        return TYPES[{SLUG: "reference"}.get(patterns[0], "code") if patterns else "text"]
    by_class: Sequence[tuple[type, str]] = (
        (Prose, "prose"),
        (Date, "date"),
        (fields.Enum, "choice"),
        (fields.Boolean, "flag"),
        (fields.Integer, "whole"),
        (Number, "number"),
    )
    return TYPES[next(name for kind, name in by_class if isinstance(field, kind))]


def value_schema(field: fields.Field[Any]) -> dict[str, Any]:
    """Return the JSON Schema of one value of a document's scalar field, with the limits of its validators."""
    schema = dict(type_of(field).schema)
    if isinstance(field, fields.Enum):
        schema["enum"] = [member.value for member in field.enum]
    for validator in field.validators:
        if isinstance(validator, Pattern):
            schema |= {"pattern": validator.regex.pattern, "maxLength": 200}
        elif isinstance(validator, validate.Range):
            schema |= {"minimum": validator.min, "maximum": validator.max}
        elif isinstance(validator, validate.OneOf):
            schema["enum"] = list(validator.choices)
    return schema


def folded(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a text with ASCII letters in lower case: the same on both databases, and no index depends on a locale."""
    return func.lower(column)


def fold(text: str) -> str:
    """Return a value as `folded` returns a column."""
    return re.sub(r"[A-Z]+", lambda match: match[0].lower(), text)


def following(prefix: str) -> str | None:
    """Return the least text, by code point, above every text that begins with ``prefix``; None if there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < LAST_CHARACTER:
            after = last + 1
            return prefix[:-1] + chr(SURROGATES.stop if after in SURROGATES else after)
        prefix = prefix[:-1]
    return None


def _is_any(column: ColumnElement[Any], *values: Any) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


def _range(prefix: str) -> tuple[str, ...]:
    """Return the bounds of the texts that begin with a prefix: a range scan, in which no character is a wildcard."""
    end = following(prefix)
    return (prefix, end) if end else (prefix,)


def _starts(column: ColumnElement[Any], begin: Any, end: Any = None) -> ColumnElement[bool]:
    return column >= begin if end is None else and_(column >= begin, column < end)


def _pattern(text: str) -> tuple[str]:
    return ("%" + re.sub(r"([%_/])", r"/\1", text) + "%",)


def _unless_null(holds: Callable[..., bool]) -> Callable[..., bool]:
    """Return a test that is false for null, as a comparison is in SQL."""
    return lambda value, *values: value is not None and holds(value, *values)


@dataclass(frozen=True)
class Operator:
    """A row of the table of operators.

    ``build`` returns the condition of a column, given the parameters that ``bind`` returns for a value. ``many``: the value is
    a list, and any of its items may match. ``folds``: case is ignored, so both get folded texts. ``holds`` tests a value of the
    bitmap index, which can be None, against the same parameters; without it, the index is not used. ``takes`` is the type of
    the value, if it is not that of the field, with an ``example``. ``suffix``: it compares the column whose name ends with it.
    """

    name: str
    description: str
    build: Callable[..., ColumnElement[bool]]
    bind: Callable[[Any], tuple[Any, ...]] = lambda value: (value,)
    holds: Callable[..., bool] | None = None
    many: bool = False
    folds: bool = False
    # Only fields that can be null take it.
    of_null: bool = False
    takes: str | None = None
    example: Any = None
    suffix: str = ""


OPERATORS = {
    row.name: row
    for row in (
        Operator("", "is any of these", _is_any, tuple, many=True),
        Operator(
            "not",
            "is none of these; null is none of them",
            lambda column, *values: or_(not_(_is_any(column, *values)), column.is_(None)),
            tuple,
            lambda value, *values: value not in values,
            many=True,
        ),
        Operator("gt", "is greater, or later", operator.gt, holds=_unless_null(operator.gt)),
        Operator("gte", "is greater or equal, or not earlier", operator.ge, holds=_unless_null(operator.ge)),
        Operator("lt", "is less, or earlier", operator.lt, holds=_unless_null(operator.lt)),
        Operator("lte", "is less or equal, or not later", operator.le, holds=_unless_null(operator.le)),
        Operator(
            "contains",
            "contains this text; the case of ASCII letters does not matter",
            lambda column, pattern: column.like(pattern, escape="/"),
            _pattern,
            folds=True,
            takes="text",
        ),
        Operator(
            "startswith",
            "begins with this text; in a name, the case of ASCII letters does not matter",
            _starts,
            _range,
            _unless_null(lambda value, begin, end=None: value >= begin and (end is None or value < end)),
            folds=True,
            takes="text",
        ),
        Operator("month", "is in one of these months, of any year", _is_any, tuple, many=True, takes="month", example=12),
        Operator(
            "isnull",
            "is null (`true`) or is not (`false`)",
            lambda column, value: column.is_(None) if value else column.is_not(None),
            holds=lambda value, is_null: (value is None) is is_null,
            of_null=True,
            takes="flag",
            example=False,
        ),
    )
}


def _within(column: ColumnElement[Any], first: Any, end: Any, last: Any) -> ColumnElement[bool]:
    return and_(column >= first, column < end, func.substr(column, LAST_DAY) <= last)


def _bounds(text: str) -> tuple[str, str, str]:
    first, last = dates.beginning(text)
    return first, last + BEHIND, last


def _of_period(name: str, bind: Callable[[Any], tuple[Any, ...]]) -> Operator:
    """Return an operator for a column of periods, which are texts as `2024-07-01/2024-07-31`."""
    return replace(OPERATORS[name], bind=bind, suffix="_period")


# Sorts behind every character of a period: behind a day, it sorts behind all periods that begin on this day.
BEHIND = "~"
# The place of the last day in a period.
LAST_DAY = len("2024-07-01/") + 1
# The operators of dates compare the period of the field with that of the value.
OF_DATES = {
    row.name: row
    for row in (
        *(_of_period(name, lambda values: tuple(map(dates.known_period, values))) for name in EQUAL),
        *(_of_period(name, lambda value: (dates.known_period(value)[: LAST_DAY - 2],)) for name in ("gte", "lt")),
        *(_of_period(name, lambda value: (dates.known_period(value)[LAST_DAY - 1 :] + BEHIND,)) for name in ("gt", "lte")),
        Operator(
            "startswith",
            OPERATORS["startswith"].description,
            _within,
            _bounds,
            _unless_null(lambda value, first, end, last: first <= value < end and value[LAST_DAY - 1 :] <= last),
            takes="beginning",
            example="2024",
            suffix="_period",
        ),
        replace(OPERATORS["month"], suffix="_month"),
    )
}


def operator_of(type: Type, name: str) -> Operator:
    """Return the operator of a name for fields of a type."""
    return OF_DATES.get(name, OPERATORS[name]) if type.name == "date" else OPERATORS[name]


FOLDED = ("text", "prose")
WIDE: Mapping[str, Any] = {"whole": BigInteger(), "version": BigInteger()}


def bound(type: Type, operator: Operator, value: Any) -> tuple[Any, ...]:
    """Return the parameters of a filter's condition."""
    if operator.of_null:
        return ()
    if operator.folds and type.name in FOLDED:
        value = fold(value)
    return operator.bind(value)


def condition(type: Type, operator: Operator, column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return a filter's condition, given what `bound` returned, or bind parameters in place of it."""
    if operator.folds and type.name in FOLDED:
        column = folded(column)
    elif type.name in WIDE:
        # A value may be wider than the column.
        column = type_coerce(column, WIDE[type.name])
    return operator.build(column, *values)


def split(text: str) -> list[str]:
    r"""Split a list of values at its commas; ``\,`` is a comma within a value, ``\\`` a backslash.

    Any other backslash stands for itself, so no text is malformed.
    """
    pieces = re.findall(r"\\[,\\]|,|[^,\\]+|\\", text)
    values = [""]
    for piece in pieces:
        if piece == ",":
            values.append("")
        else:
            values[-1] += piece[1:] if piece in {"\\,", "\\\\"} else piece
    return values


def escape(value: str) -> str:
    """Return a value in the form that `split` turns back into the same value."""
    return re.sub(r"([,\\])", r"\\\1", value)
