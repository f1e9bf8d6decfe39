"""A strict reader of JSON: no doubled names, no NaN, no numbers that we cannot keep."""

import json
from decimal import Decimal
from typing import Any, NoReturn

MAX_DIGITS = 400


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _never(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


# Reads JSON strictly, with decimals as they are written.
DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_never, parse_int=_whole, parse_float=Decimal)
FLOATS = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_never, parse_int=_whole)


def load(text: str | bytes, *, exact: bool = False) -> Any:
    """Read JSON strictly, with decimals as they are written if ``exact``, else as floats.

    Raises a ValueError for what is none, for a doubled key, NaN and what is nested without end.
    """
    try:
        return (DECODER if exact else FLOATS).decode(text.decode() if isinstance(text, bytes) else text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise ValueError("it is not in UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def escaped(name: str) -> str:
    """Return a member's name as a step of a JSON Pointer (RFC 6901)."""
    return printable(name).replace("~", "~0").replace("/", "~1")


def printable(text: str) -> str:
    """Return a text with `?` for each half of a surrogate pair, which JSON allows and UTF-8 does not."""
    return text.encode(errors="replace").decode()
