"""Cursors of lists: where a page ended, as an opaque text that belongs to one list."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from api.errors import ProblemError, error_item
from api.query.language import Expression, Group, Key, Query
from api.schema.fields import MAX_INTEGER

# What JSON has for the value of a key, where it is no text.
KINDS: Mapping[str, type] = {"whole": int, "version": int, "instant": int, "flag": bool}


def signature(query: Query) -> str:
    """Name the list that a cursor belongs to: its noun, its filters and its order."""
    asked = [query.resource.name, _canonical(query.where), [[key.field.name, key.descending] for key in query.order]]
    if query.search is not None:
        asked += [repr(query.search), query.sort is None]
    return digest(asked)


def digest(asked: Any) -> str:
    """Return a short name of what a list was asked for."""
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _canonical(expression: Expression) -> Any:
    if isinstance(expression, Group):
        return [expression.connective, *map(_canonical, expression.children)]
    return [[row.filter.name, str(row.value)] for row in expression.all]


def encode(signature: str, values: Sequence[Any]) -> str:
    """Return the cursor of a place in the list of this name."""
    text = json.dumps([signature, *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, signature: str, keys: Sequence[Key | type]) -> list[Any]:
    """Read a cursor; what it holds is checked like any other input, since anyone can write one."""
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        values: list[Any] = found[1:]
        if found[0] == signature and len(values) == len(keys):
            for value, key in zip(values, keys, strict=True):
                _check(value, key)
            return values
    except (ValueError, KeyError, TypeError, RecursionError, IndexError, binascii.Error):
        pass
    item = error_item("cursor", "invalid-cursor", "Take it from `links.next` or `page.cursor` of this list.")
    raise ProblemError("invalid-cursor", "The cursor was not made by this list.", item)


def _check(value: Any, key: Key | type) -> None:
    """Raise a TypeError or ValueError unless a key could have this value."""
    if isinstance(key, Key):
        if value is None and key.field.nullable:
            return
        if value not in key.field.schema.get("enum", [value]):
            raise ValueError
    kind = KINDS.get(key.field.type.name, str) if isinstance(key, Key) else key
    if type(value) is not kind or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        raise TypeError
    # A lone surrogate is a string to JSON, but to no database; nor is a null character to PostgreSQL.
    if b"\0" in str(value).encode():
        raise ValueError
