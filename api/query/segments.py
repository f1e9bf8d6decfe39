"""The segments of a list behind a cursor: each is one range of an index."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select, true, tuple_

from api.query import selects
from api.query.listing import Listing, is_of_ledger
from api.query.plan import Plan


@dataclass(frozen=True)
class Segment:
    """A range of an index behind a cursor: the rows that equal the cursor in all but the last of the first ``keys`` keys.

    In that last key they have a later value, or null if ``null``. If ``whole``, one comparison of all keys says the same. The
    segments of a ranked list belong to a ``tier`` each.
    """

    keys: int = 0
    whole: bool = False
    null: bool = False
    tier: int | None = None


def segments(listing: Listing, places: Sequence[Any]) -> Iterator[Segment]:
    """Yield the segments of a list behind a place, or of the whole list, in its order."""
    return _of_tiers(listing, places) if listing.query.ranked else _of_keys(listing, places)


def _of_tiers(listing: Listing, places: Sequence[Any]) -> Iterator[Segment]:
    for tier in selects.tiers(listing):
        if not places or tier == places[0]:
            yield Segment(1 if places else 0, tier=tier)
        elif tier is not None and (tier < places[0] if listing.query.backward else tier > places[0]):
            yield Segment(tier=tier)


def _of_keys(listing: Listing, places: Sequence[Any]) -> Iterator[Segment]:
    """Yield first the rows that equal the place in all keys but the last, then in all but the last two, and so on.

    In each of these, later values come before null, unless a value stands for null, or the list is read backward.
    """
    order = listing.query.order
    if not places:
        yield Segment()
    elif len({key.descending for key in order}) == 1 and not any(key.nullable for key in order):
        yield Segment(len(order), whole=True)
    else:
        for length in range(len(order), 0, -1):
            if places[length - 1] is not None or listing.query.backward:
                yield Segment(length)
                if order[length - 1].nullable and not listing.query.backward:
                    yield Segment(length, null=True)


def bounds(listing: Listing, segment: Segment, places: Sequence[Any]) -> Mapping[str, Any]:
    """Return the parameters of `behind` by name."""
    filled = _filled(listing, places) if segment.keys else []
    return {f"k{n}": place for n, place in enumerate(filled) if place is not None}


def _filled(listing: Listing, places: Sequence[Any]) -> Sequence[Any]:
    """Return the places as the order compares them."""
    if listing.query.ranked:
        return places
    return [key.filling if place is None else place for place, key in zip(places, listing.query.order, strict=True)]


def behind(listing: Listing, segment: Segment, places: Sequence[Any], plan: Plan) -> ColumnElement[bool]:
    """Return the condition for the rows of a segment."""
    if not segment.keys:
        return true()
    keys = selects.compared(listing, selects.keys(listing, plan))[: segment.keys]
    # The first place in a ranked list is the tier.
    bounds = [bindparam(f"k{n}", type_=column.type) for n, column in enumerate(keys, int(listing.query.ranked))]
    order = listing.query.order
    if segment.whole:
        row, bound = tuple_(*keys), tuple_(*bounds)
        return row < bound if order[0].descending else row > bound
    filled = _filled(listing, places)
    equal = [
        column == bound if place is not None else column.is_(None)
        for column, bound, place in zip(keys[:-1], bounds[:-1], filled, strict=False)
    ]
    if segment.null:
        return and_(*equal, keys[-1].is_(None))
    if filled[segment.keys - 1 + int(listing.query.ranked)] is None:
        # Backward, every value comes after null.
        return and_(*equal, keys[-1].is_not(None))
    return and_(*equal, keys[-1] < bounds[-1] if order[len(keys) - 1].descending else keys[-1] > bounds[-1])


def begins_with_null(listing: Listing, segment: Segment) -> bool:
    """Tell whether the first rows of a segment can be without a value of the last of its keys."""
    return segment.null or (not segment.keys and listing.query.backward and listing.query.order[0].nullable)


def is_bounded(listing: Listing, segment: Segment) -> bool:
    """Tell whether `within` applies: to a range in the first key, where no key is of the ledger, which `nth` does not read."""
    is_range = segment.whole or (segment.keys <= 1 and not begins_with_null(listing, segment))
    return is_range and not any(is_of_ledger(key) for key in listing.query.order)


def within(listing: Listing, last: Any) -> ColumnElement[bool]:
    """Return the condition for the rows up to a value of the first key, and those that tie with it; for none if it is null."""
    key, is_descending = selects.keys(listing, Plan.ORDER)[0], listing.query.order[0].descending
    condition: ColumnElement[bool] = key >= last if is_descending else key <= last
    return condition


def nth(listing: Listing, segment: Segment, places: Sequence[Any], name: str) -> ColumnElement[Any]:
    """Return the first key of the row behind a number of rows of a segment's range; ``name`` is the parameter with the number.

    It is null if the range has fewer rows than that, or nulls among them.
    """
    table, keys = listing.query.resource.model, selects.keys(listing, Plan.ORDER)
    range = select(keys[0]).select_from(table).where(behind(listing, segment, places, Plan.ORDER))
    return selects.ordered(listing, range, keys).offset(selects.limited(name)).limit(1).correlate(None).scalar_subquery()
