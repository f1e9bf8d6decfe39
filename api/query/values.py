"""Reads the values of filters and parameters from text, and says what would have been valid."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from api.errors import ErrorList, nearest, shorten
from api.query.language import Filter
from api.schema.fields import SLUG
from api.schema.operators import MAX_TEXT, TYPES
from api.schema.strict_json import printable


def only_value(name: str, values: Sequence[str], errors: ErrorList) -> str | None:
    """Return the only value of a parameter; None, with an error added, if the request has several."""
    if len(values) == 1:
        return values[0]
    errors.add(name, "invalid-value", f"`{name}` takes one value, but the request has {len(values)}.")
    return None


def filter_value(filter: Filter, text: str, errors: ErrorList, parameter: str, pointer: str | None = None) -> Any:
    """Return one value of a filter; None, with an error added at the given place, if it is not valid."""
    type, schema = filter.type, filter.schema
    try:
        value = type.read(text)
        if valid(value, schema):
            return value
    except (ValueError, KeyError, OverflowError):
        pass
    if errors.full:
        return None
    # `expressions` marks a JSON value of the wrong type by a null character.
    rejected = shorten(printable(text.removeprefix("\0")))
    detail = f"`{filter.name}` is {type.description}{bounds(schema)}; `{rejected}` is not."
    allowed = schema.get("enum") or (["true", "false"] if type.name == "flag" else None) or limits(schema)
    suggestion = nearest(text, [str(value) for value in allowed]) if isinstance(allowed, list) else None
    errors.add(parameter, "invalid-value", detail, allowed=allowed, suggestion=suggestion, pointer=pointer)
    return None


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
