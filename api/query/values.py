"""Reads the values of filters and parameters from text, and says what would have been valid."""

import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from api.errors import SIGNS, ErrorList, nearest, shorten
from api.query.language import Filter
from api.resources import RESOURCES
from api.schema.fields import SLUG
from api.schema.operators import MAX_TEXT, TYPES
from api.schema.strict_json import printable

# How an object in place of a value is called; other APIs have operators in it.
OBJECT = "an object"
# What other APIs write for null.
NULLS = {"", "null", "none", "nil", "undefined"}
# The members that records are called by.
LABELS = dict.fromkeys(resource.label.key for resource in RESOURCES if resource.label.key != "id")


def only_value(name: str, values: Sequence[str], errors: ErrorList) -> str | None:
    """Return the only value of a parameter; None, with an error added, if the request has several."""
    if len(values) == 1:
        return values[0]
    errors.add(name, "invalid-value", f"`{name}` takes one value, but the request has {len(values)}.")
    return None


def filter_value(  # noqa: PLR0913 - a value, and the place of its error
    filter: Filter, known: Collection[str], text: str, errors: ErrorList, *, parameter: str, pointer: str | None = None
) -> Any:
    """Return one value of a filter; None, with an error added at the given place, if it is not valid.

    ``known`` are the names of the noun's filters.
    """
    schema = filter.schema
    value = _read(filter, text)
    if value is not None or errors.full:
        return value
    # `expressions` marks a JSON value of the wrong type by a null character.
    rejected = shorten(printable(text.removeprefix("\0")))
    detail = f"`{filter.name}` is {filter.type.description}{bounds(schema)}; `{rejected}` is not."
    allowed = schema.get("enum") or (["true", "false"] if filter.type.name == "flag" else None) or limits(schema)
    if other := _other_filter(filter.name, rejected, known):
        errors.add(parameter, "invalid-value", f"{detail} {other}", allowed=allowed, pointer=pointer)
        return None
    respelled = () if text.startswith("\0") else (text.upper(), "-".join(re.findall(r"[a-z0-9]+", text.lower())))
    suggestion = (
        nearest(text, [str(value) for value in allowed])
        if isinstance(allowed, list)
        else next((word for word in respelled if _read(filter, word) == word), None)
    )
    errors.add(parameter, "invalid-value", detail, allowed=allowed, suggestion=suggestion, pointer=pointer)
    return None


def _read(filter: Filter, text: str) -> Any:
    """Return the value of a text; None if it is not valid."""
    try:
        value = filter.type.read(text)
    except (ValueError, KeyError, OverflowError):
        return None
    return value if valid(value, filter.schema) else None


def _other_filter(name: str, text: str, known: Collection[str]) -> str | None:
    """Return in words which filter takes a value that other APIs write as this one's: with a sign, a null, a name for an id."""
    if text == OBJECT and (other := f"{name}__not") in known:
        return f"An operator is part of a name, as in `{other}`."
    sign = re.match(r"([!<>])(=?)(.+)", text)
    if sign and (other := f"{name}__{SIGNS.get((sign[1], not sign[2]), 'not')}") in known:
        return f"For this, use `{other}={sign[3]}`."
    named = next((f"{name}.{label}" for label in LABELS if f"{name}.{label}" in known), None)
    return null_filter(name, text, known) or (named and f"A name is for `{named}`.")


def null_filter(name: str, text: str, known: Collection[str]) -> str | None:
    """Return in words which filter finds null, if that is what a value means."""
    is_null = text.lower() in NULLS and f"{name}__isnull" in known
    return f"For records without one, use `{name}__isnull=true`." if is_null else None


def valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Tell whether a value is within the bounds of its JSON Schema."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return (
            len(value) <= schema.get("maxLength", MAX_TEXT)
            and re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL) is not None
        )
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def bounds(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a JSON Schema in words, to follow the description of a type."""
    if "minimum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    if "examples" in schema:
        # The description has them, and they say more than a long pattern.
        return ""
    if schema.get("pattern") not in {None, TYPES["text"].schema["pattern"], SLUG}:
        return f" that matches `{schema['pattern']}`"
    return " in lower-case letters, digits and single hyphens" if schema.get("pattern") == SLUG else ""


def limits(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the bounds of a JSON Schema as an error shows them, with examples in place of a pattern; None if it has none."""
    form = "examples" if "examples" in schema else "pattern"
    return {key: schema[key] for key in ("minimum", "maximum", "maxLength", form, "format") if key in schema} or None
