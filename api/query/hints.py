"""Hints for an empty list: the values of its filters that no record has, and those that were probably meant."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from api.errors import closest, nearest
from api.query.facets import facet
from api.query.language import Condition, Conditions, Expression, Group, facetable
from api.query.listing import Listing, listing
from api.query.plan import ALL


@dataclass(frozen=True)
class Hint:
    """A value of a filter that no record has. ``allowed`` are the values that records have, the nearest ten of them."""

    parameter: str
    detail: str
    allowed: list[Any]
    suggestion: Any


def hints(empty: Listing) -> list[Hint]:
    """Return a hint for each value that the filters of an empty list require and that no record of the noun has.

    Only fields that have a facet are looked at, and only if they have few values.
    """
    query = empty.query
    everything = listing(empty.session, replace(query, where=ALL, search=None), empty.planner)
    given: list[Hint] = []
    for condition in _required(query.where):
        counted = facet(everything, condition.filter) if condition.filter.name in facetable(query.resource) else None
        if counted is None or counted.more:
            continue
        there = {str(row.value).lower(): row.value for row in counted.values if row.value is not None}
        missing = [value for value in condition.value if str(value).lower() not in there or value not in there.values()]
        given += [_hint(condition.filter.name, query.resource.singular, value, there) for value in missing]
    return given


def _required(expression: Expression) -> Iterator[Condition]:
    """Yield the conditions that must hold, and that a record meets by having one of several values."""
    if isinstance(expression, Conditions):
        yield from (row for row in expression.all if not row.filter.operator.name and row.filter.operator.many)
    elif isinstance(expression, Group) and expression.connective == "and":
        for child in expression.children:
            yield from _required(child)


def _hint(name: str, singular: str, value: Any, there: dict[str, Any]) -> Hint:
    word = str(value).lower()
    near = word if word in there else nearest(word, there)
    meant = there.get(near or "")
    detail = f"No {singular} has `{value}` as its `{name}`{'.' if meant is None else f'; did you mean `{meant}`?'}"
    return Hint(name, detail, [there[each] for each in closest(word, there)], meant)
