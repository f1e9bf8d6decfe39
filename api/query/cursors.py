"""Cursors: the place where a page ended, as an opaque text that is valid for one list."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from api.errors import ProblemError, error_item
from api.query.language import (
    BACKWARD,
    Expression,
    Group,
    Query,
)
from api.query.order import SortKey
from api.schema import dates
from api.schema.fields import MAX_INTEGER

# The JSON types of sort keys that are not text.
KINDS: Mapping[str, Sequence[type]] = {
    "whole": [int],
    "version": [int],
    "instant": [int],
    "number": [int, float],
    "flag": [bool],
}


def signature(query: Query) -> str:
    """Return a short name of a list, from its noun, filters, search and order."""
    identity = [
        query.resource.name,
        _canonical(query.where),
        [[key.name, key.descending != key.backward] for key in query.order],
    ]
    if query.search is not None:
        identity += [repr(query.search), query.sort is None]
    return digest(identity)


def digest(identity: Any) -> str:
    """Return a short name of a JSON value."""
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def _canonical(expression: Expression) -> Any:
    if isinstance(expression, Group):
        return [expression.connective, *map(_canonical, expression.children)]
    return [[row.filter.name, str(row.value)] for row in expression.all]


def encode(signature: str, values: Sequence[Any]) -> str:
    """Return the cursor for the values of the last row's keys."""
    # SQLite returns a whole number as an integer, PostgreSQL as a float.
    plain = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    text = json.dumps([signature, *plain], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def keys(query: Query) -> list[SortKey | type]:
    """Return the sort keys of a list, or the types of its other keys; a ranked list has its tier first."""
    return [int, *query.order] if query.ranked else [*query.order]


def decode(cursor: str, signature: str, keys: Sequence[SortKey | type]) -> list[Any]:
    """Return the values in a cursor; none for the end of the list, which only a cursor of the page before can mean.

    Anyone can write a cursor, so its values are checked like other input. Raises a 400.
    """
    text = cursor.removeprefix(BACKWARD)
    try:
        content = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        values: list[Any] = content[1:]
        if content[0] == signature and (len(values) == len(keys) or (text != cursor and not values)):
            pairs = [*zip(values, keys, strict=False)]
            for value, key in pairs:
                _check(value, key)
            return [_place(value, key) for value, key in pairs]
    except (ValueError, KeyError, TypeError, RecursionError, IndexError, binascii.Error):
        pass
    item = error_item("cursor", "invalid-cursor", "Take it from `links.next` or `page.cursor` of this list.")
    raise ProblemError("invalid-cursor", "The cursor was not made by this list.", item)


def _place(value: Any, key: SortKey | type) -> Any:
    """Return the value that orders the list; cursors of former releases have a date as its record has it."""
    is_date = isinstance(key, SortKey) and key.field.type.name == "date" and value is not None
    return dates.known_period(value) if is_date else value


def _check(value: Any, key: SortKey | type) -> None:
    """Raise a TypeError or ValueError unless a key can have this value."""
    if isinstance(key, SortKey):
        if value is None and key.optional:
            return
        if value not in key.field.schema.get("enum", [value]):
            raise ValueError
    kinds = KINDS.get(key.field.type.name, [str]) if isinstance(key, SortKey) else [key]
    # Nothing is greater than NaN, nor less.
    if type(value) not in kinds or (isinstance(value, int | float) and not abs(value) <= MAX_INTEGER):
        raise TypeError
    # JSON allows a lone surrogate, which no database does, and a null character, which PostgreSQL does not.
    if b"\0" in str(value).encode():
        raise ValueError
