"""Hints for an empty list: the values of its filters that no record has, and those that were probably meant."""

from dataclasses import dataclass, replace
from typing import Any

from api.errors import closest, nearest
from api.query.facets import Facet, facet
from api.query.language import facetable
from api.query.listing import Listing, listing
from api.query.plan import ALL
from api.query.refinements import required

MAX_HINTS = 10


@dataclass(frozen=True)
class Hint:
    """A value of a filter that no record has. ``allowed`` are the values that records have, the nearest ten of them."""

    parameter: str
    detail: str
    allowed: list[Any]
    suggestion: Any


def hints(empty: Listing) -> list[Hint]:
    """Return a hint for each value, and `MAX_HINTS` at most, that an empty list requires and that no record of the noun has.

    Only fields that have a facet are looked at, and only if they have few values.
    """
    query = empty.query
    everything = listing(empty.session, replace(query, where=ALL, search=None), empty.planner)
    by_value: dict[tuple[str, Any], Hint] = {}
    facets: dict[str, Facet] = {}
    for condition in required(query.where):
        name = condition.filter.name
        if name not in facetable(query.resource):
            continue
        counted = facets[name] = facets.get(name) or facet(everything, condition.filter)
        there = {str(row.value).lower(): row.value for row in counted.values if row.value is not None}
        missing = [value for value in condition.value if str(value).lower() not in there or value not in there.values()]
        for value in missing if not counted.more else ():
            by_value[name, value] = _hint(name, query.resource.singular, value, there)
            if len(by_value) == MAX_HINTS:
                return [*by_value.values()]
    return [*by_value.values()]


def _hint(name: str, singular: str, value: Any, there: dict[str, Any]) -> Hint:
    word = str(value).lower()
    near: str | None
    if isinstance(value, bool):
        # The other value is the opposite, which nobody meant.
        near = None
    elif isinstance(value, int) and there:
        near = min(there, key=lambda other: abs(there[other] - value))
    else:
        near = word if word in there else nearest(word, there)
    meant = there.get(near or "")
    shown = word if isinstance(value, bool) else value
    detail = f"No {singular} has `{shown}` as its `{name}`{'.' if meant is None else f'; did you mean `{meant}`?'}"
    return Hint(name, detail, [there[each] for each in closest(word, there)], meant)
