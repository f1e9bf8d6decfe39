"""JSON Pointers (RFC 6901) into documents."""

import re
from typing import Any

from api.schema.strict_json import printable

INDEX = re.compile("0|[1-9][0-9]{0,8}")


def tokens(pointer: str) -> list[str]:
    """Return the names and numbers that lead to a value."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def token_of(name: str) -> str:
    """Return the token of a member's name."""
    return printable(name).replace("~", "~0").replace("/", "~1")


def step(value: Any, token: str) -> Any:
    """Return the member or item of a value. Raises LookupError if there is none."""
    if isinstance(value, dict):
        return value[token]
    if isinstance(value, list) and INDEX.fullmatch(token):
        return value[int(token)]
    raise LookupError(token)


def follow(value: Any, pointer: str) -> Any:
    """Return the part of a value that a pointer leads to. Raises LookupError if there is none."""
    for token in tokens(pointer):
        value = step(value, token)
    return value


def resolves(value: Any, pointer: str) -> bool:
    """Tell whether a pointer leads to a part of a value."""
    try:
        follow(value, pointer)
    except LookupError:
        return False
    return True


def children(value: Any) -> list[str]:
    """Return the tokens that lead on from a value."""
    if isinstance(value, dict):
        return list(value)
    return [str(index) for index in range(len(value))] if isinstance(value, list) else []
