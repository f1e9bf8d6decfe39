"""A strict JSON reader: it refuses duplicate names, NaN, and numbers and nesting that we cannot store."""

import json
import math
from decimal import Decimal
from typing import Any, NoReturn

MAX_DIGITS, MAX_EXPONENT_DIGITS = 400, 3


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key occurs twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


def _decimal(text: str) -> Decimal:
    # Decimal fails for an exponent of many digits, and is slow with one of a few.
    if len(text) > MAX_DIGITS or len(text.lower().partition("e")[2].lstrip("+-0")) > MAX_EXPONENT_DIGITS:
        raise ValueError("a number has too many digits")
    return Decimal(text)


def _float(text: str) -> float:
    exact = _decimal(text)
    number = float(exact)
    if math.isinf(number) or bool(number) != bool(exact):
        raise ValueError("a number is too great or too small")
    return number


# `DECODER` reads decimals as Decimal, with every digit.
DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole, parse_float=_decimal)
FLOATS = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole, parse_float=_float)


def load(text: str | bytes, *, exact: bool = False) -> Any:
    """Return the value of a JSON text, with decimals as Decimal if ``exact``, else as float.

    Raises ValueError for malformed JSON, a duplicate key, NaN or infinity, and for nesting that is too deep.
    """
    try:
        return (DECODER if exact else FLOATS).decode(text.decode() if isinstance(text, bytes) else text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise ValueError("it is not in UTF-8") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def printable(text: str) -> str:
    """Return a text with `?` for each half of a surrogate pair, which JSON allows and UTF-8 does not."""
    return text.encode(errors="replace").decode()
