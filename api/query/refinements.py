"""Refinements: the conditions of a request that choose values of a facet, and the request without them or with others."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.query.language import Condition, Conditions, Expression, Filter, Group
from api.query.plan import ALL


def required(expression: Expression, *, kept: bool = True) -> Iterator[Condition]:
    """Yield the conditions that each record must meet; those in the body of a request only if ``kept``."""
    if expression.kept and not kept:
        return
    if isinstance(expression, Conditions):
        yield from expression.all
    elif expression.connective == "and":
        for child in expression.children:
            yield from required(child, kept=kept)


def chosen(expression: Expression, facet: Filter) -> Iterator[Any]:
    """Yield the values of a facet that an expression chooses; None for null."""
    for row in required(expression, kept=False):
        if chooses(facet, row.filter.name, row.value):
            yield from [None] if row.filter.operator.of_null else row.value


def without(expression: Expression, facet: Filter) -> Expression:
    """Return an expression without the conditions that choose values of a facet."""
    if expression.kept:
        return expression
    if isinstance(expression, Conditions):
        return Conditions(tuple(row for row in expression.all if not chooses(facet, row.filter.name, row.value)))
    if expression.connective != "and":
        return expression
    children = [child for child in (without(child, facet) for child in expression.children) if child != ALL]
    return Group("and", tuple(children)) if len(children) > 1 else next(iter(children), ALL)


def refined(expression: Mapping[str, Any], facet: Filter, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an expression in JSON without the conditions that choose values of a facet.

    The first of them is replaced by a condition, if the list has one, which is then taken from the list.
    """
    rest: dict[str, Any] = {}
    for name, value in expression.items():
        if name == "and":
            below = [each for each in (refined(child, facet, conditions) for child in value) if each]
            rest |= {name: below} if below else {}
        elif chooses(facet, name, value):
            rest |= conditions.pop() if conditions else {}
        else:
            rest[name] = value
    return rest


def chooses(facet: Filter, name: str, value: Any) -> bool:
    """Tell whether a condition chooses values of a facet: null is one, but a missing related record is not."""
    return name == facet.name or (name == f"{facet.name}__isnull" and bool(value) and not facet.whole)
