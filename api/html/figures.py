"""Figures in words: what they measure, their number with its unit, and how the source qualifies it."""

from collections.abc import Mapping
from typing import Any

from api.html.texts import date, number
from api.schema.choices import label_of

CURRENCIES = {"USD": "$", "EUR": "€", "GBP": "£"}
DIRECTIONS = {"increase": "up", "decrease": "down", "highest": "the highest", "lowest": "the lowest"}


def amount(row: Mapping[str, Any]) -> str:
    """Return the number of a figure with its unit, direction and qualifier, such as `more than 2.4 million contacts`."""
    direction = DIRECTIONS.get(row.get("direction") or "", "")
    if row.get("value") is None:
        return direction
    qualifier = label_of(row["qualifier"]).lower() if row.get("qualifier") not in {None, "exactly"} else ""
    value = number(row["value"])
    if row.get("kind") == "money":
        sign = CURRENCIES.get(row["unit"])
        minus, value = ("-", value[1:]) if value.startswith("-") else ("", value)
        said = f"{minus}{sign}{value}" if sign else f"{minus}{value} {row['unit']}"
    else:
        said = f"{value} {row['unit']}"
    return " ".join(word for word in (direction, qualifier, said) if word)


def said(row: Mapping[str, Any]) -> str:
    """Return the amount of a figure, and its time."""
    times = [("", row.get("period")), ("as of ", row.get("as_of"))]
    when = ", ".join(word + date(time) for word, time in times if time)
    return amount(row) + (f" ({when})" if when else "")


def in_words(row: Mapping[str, Any]) -> str:
    """Return a figure as a line: its name, its amount, and its time."""
    return f"{row['name']}: {said(row)}"
