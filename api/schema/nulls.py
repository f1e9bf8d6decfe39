"""The values that stand for null in an order, so that one range of an index has rows with and without a value."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column

from api.schema.fields import MAX_INTEGER
from api.schema.operators import BEHIND

# By type of field, a value before all others and one behind them. Texts have no last value, and flags have only two values.
ENDS: Mapping[str, tuple[Any, Any]] = {
    "whole": (-MAX_INTEGER - 1, MAX_INTEGER + 1),
    "number": (-MAX_INTEGER - 1, MAX_INTEGER + 1),
    "date": ("", BEHIND),
}


def last(type: str, *, descending: bool) -> Any:
    """Return the value that comes last in an order by a field of this type; None if the type has none."""
    first, end = ENDS.get(type, (None, None))
    return first if descending else end


def filled(column: Any, value: Any) -> ColumnElement[Any]:
    """Return a column with a value in place of null.

    The value is a literal, because a database uses an index of an expression only for a query with the same expression.
    """
    literal = f"'{value}'" if isinstance(value, str) else str(value)
    return func.coalesce(column, literal_column(literal, column.type))
