"""Hints: the values of a list's filters that no record has, and those that were probably meant."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sqlalchemy import select

from api.db.statements import Among, of_ids
from api.errors import closest, nearest
from api.ledger import head, history, redirects
from api.query import bitmap_sets
from api.query.facets import facet, key_of, refers_to
from api.query.language import Filter, facetable, filters
from api.query.listing import Listing, listing
from api.query.plan import ALL
from api.query.refinements import required
from api.query.values import null_filter
from api.resources import BY_NAME
from api.schema.resource import Resource

MAX_HINTS = 10


@dataclass(frozen=True)
class Hint:
    """A value of a filter that no record has. ``allowed`` are the values that records have, the nearest ten of them."""

    parameter: str
    detail: str
    allowed: Sequence[Any]
    suggestion: Any


def hints(list_: Listing, *, is_empty: bool) -> list[Hint]:
    """Return a hint for each value, and `MAX_HINTS` at most, that a list requires and that no record of the noun has.

    An empty list has hints for all its conditions, another one only for slugs and choices with several values.
    """
    values = defaultdict[str, dict[Any, None]](dict)
    for row in required(list_.query.where):
        if row.filter.operator.many and not row.filter.operator.name and (is_empty or len(row.value) > 1):
            values[row.filter.name] |= dict.fromkeys(row.value)
    every = (hint for name, asked in values.items() for hint in _hints(list_, name, [*asked], is_empty=is_empty))
    return [*islice(every, MAX_HINTS)]


def _few(list_: Listing, filter: Filter) -> Sequence[Any] | None:
    """Return the values of a facet that records have; None if there are many."""
    everything = listing(list_.session, replace(list_.query, where=ALL, search=None), list_.planner)
    counted = facet(everything, filter)
    return None if counted.more else [row.value for row in counted.values if row.value is not None]


def _hints(list_: Listing, name: str, values: Sequence[Any], *, is_empty: bool) -> Iterator[Hint]:
    """Yield a hint for each value of a filter that is not among the few ones that records have, or that is unknown."""
    resource = list_.query.resource
    filter = filters(resource)[name]
    noun, few = refers_to(filter), _few(list_, filter) if is_empty and name in facetable(resource) else None
    if few is not None:
        for value in [value for value in values if value not in few]:
            yield _moved(list_, filter, noun, value) or _hint(resource, filter, value, few)
    elif filter.type.name in {"reference", "choice"}:
        known = _known(list_, filter, values)
        for value in [value for value in values if value not in known]:
            near = history.near_id(list_.session, noun, value) if noun else None
            others = [near] if near not in {None, value} else []
            yield _moved(list_, filter, noun, value) or _hint(resource, filter, value, others)
    elif is_empty and f"{name}__contains" in filters(resource):
        there = _holding(list_, filter, values)
        yield from (_hint(resource, filter, value, []) for value in values if value not in there)


def _moved(list_: Listing, filter: Filter, noun: str | None, id: str) -> Hint | None:
    """Return a hint that names the record into which another one was merged; None if an id is not that of such a record."""
    end = redirects.ends_at(list_.session, noun, id) if noun else None
    if end is None:
        return None
    detail = f"The {BY_NAME[str(noun)].singular} `{id}` was merged into `{end}`, or renamed: filter by that one."
    return Hint(filter.name, detail, [end], end)


def _known(list_: Listing, filter: Filter, values: Sequence[str]) -> Collection[str]:
    """Return those of some values that records have or that are keys of what a filter refers to; all if only a scan tells."""
    session, resource, path = list_.session, list_.query.resource, filter.path
    dimension = bitmap_sets.dimension_at(resource, path, filter)
    if dimension is None and path and path[-1].to and not filter.linked:
        resource = BY_NAME[path[-1].to]
        dimension = bitmap_sets.dimension_at(resource, (), filter)
    if dimension and list_.planner.bitmaps and head.state(session).indexed:
        return bitmap_sets.cardinalities(session, resource, dimension, values)
    key = key_of(filter)
    if key is None:
        return values
    rows = of_ids(session, ("keys", str(key)), values, lambda among: select(key).where(among.condition(key)))
    return {row[0] for row in rows}


def _holding(list_: Listing, filter: Filter, values: Sequence[str]) -> Collection[str]:
    """Return those of some texts that a record of the filter's noun or part has."""
    column = filter.field.column

    def build(among: Among) -> Any:
        return select(column).where(among.condition(column)).distinct()

    return {row[0] for row in of_ids(list_.session, ("texts", str(column)), values, build)}


def _hint(resource: Resource, filter: Filter, value: Any, there: Sequence[Any]) -> Hint:
    by_word, word = {str(each).lower(): each for each in there}, str(value).lower()
    near: str | None
    if isinstance(value, bool):
        # The other value is the opposite, which nobody meant.
        near = None
    elif isinstance(value, int) and there:
        near = min(by_word, key=lambda other: abs(by_word[other] - value))
    else:
        near = word if word in by_word else nearest(word, by_word)
    meant = by_word.get(near or "")
    shown = word if isinstance(value, bool) else value
    detail = (
        f"No {resource.singular} has `{shown}` as its `{filter.name}`{'.' if meant is None else f'; did you mean `{meant}`?'}"
    )
    other = null_filter(filter.name, word, filters(resource)) or ("" if meant else _part_filter(resource, filter))
    return Hint(filter.name, f"{detail} {other}".strip(), [by_word[each] for each in closest(word, by_word)], meant)


def _part_filter(resource: Resource, filter: Filter) -> str:
    """Return in words which filter finds parts of texts; "" for a field of other values."""
    other = f"{filter.name}__contains"
    return f"It is compared as a whole; `{other}` finds parts in any case." if other in filters(resource) else ""
