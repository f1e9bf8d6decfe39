"""The pages of a list: where one begins behind a cursor, and how its rows are found."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, and_, bindparam, literal, select, true, tuple_, type_coerce

from api.db import statements
from api.db.statements import Among
from api.ledger.index.dimensions import dimension_of
from api.ledger.models import Revision
from api.query import conditions, cursors, sets
from api.query.language import CAP, DEFAULT_LIMIT, Expression, Group, is_many
from api.query.lists import Listing, limited, published
from api.query.plan import Plan
from api.query.sets import NotIndexedError, Order
from api.resources import BY_NAME
from api.schema.resource import Relation

# So many versions are put in order at most, where the bitmap index says which they are.
ORDERED = 256


@dataclass(frozen=True)
class Page:
    """One page: the ids of its records and their documents as stored, and where the next page begins.

    ``beside`` has, of relations to include that are `_at_hand`, what they lead to: documents by id.
    """

    ids: Sequence[str]
    documents: Sequence[str]
    beside: Mapping[Relation, Mapping[str, str]]
    cursor: str | None


def page(listed: Listing, number: int | None) -> Page:
    """Return a page of a list, in as many statements as its place in the order needs. Raises a 400 for a foreign cursor.

    ``number`` is how many records there are, at least; None where they were not counted.
    """
    query = listed.query
    signature = cursors.signature(query)
    limit = query.limit or DEFAULT_LIMIT
    places = cursors.decode(query.cursor, signature, [key or int for key in listed.order]) if query.cursor else []
    plan, near = _plan(listed, limit, number), _at_hand(listed)
    rows: list[Any] = []
    for segment in _segments(listed, places):
        bounds = {f"k{n}": value for n, value in enumerate(places) if value is not None and segment.keys}
        wanted = limit + 1 - len(rows)
        lookup = None if segment.tier is None else listed.lookup(segment.tier)
        if plan.soon and (versions := upcoming(listed, segment, places, wanted)):
            shape: Hashable = ("page of these", segment, tuple(bounds), versions.shape, (*near,))
            rows += listed.rows(
                shape, partial(_page_of, listed, segment, places, versions), **bounds, **versions.values, limit=wanted
            )
        else:
            rows += listed.rows(
                ("page", segment, tuple(bounds), plan, lookup and lookup.shape, (*near,)),
                partial(_page, listed, segment, places, plan),
                **bounds,
                **(lookup.values if lookup else {}),
                limit=wanted,
            )
        if len(rows) > limit:
            break
    shown = rows[:limit]
    keys = 2 + 2 * len(near)
    beside = {
        relation: {row[n]: row[n + 1] for row in shown if row[n + 1] is not None}
        for n, relation in zip(range(2, keys, 2), near, strict=True)
    }
    cursor = cursors.encode(signature, rows[limit - 1][keys:]) if len(rows) > limit else None
    return Page([row[0] for row in shown], [row[1] for row in shown], beside, cursor)


def _at_hand(listed: Listing) -> Mapping[Relation, Any]:
    """Return the relations to include of which the noun's own table has the target, with its column: it is read with the row.

    Not of long pages, whose many records lead to few others; nor where the ledger is joined, for its part in what is found or
    in the order: that looks at more rows than are shown.
    """
    if listed.joined or (listed.query.limit or DEFAULT_LIMIT) > DEFAULT_LIMIT:
        return {}
    steps = dict.fromkeys(path[0] for path in listed.query.include)
    return {step: conditions.target_of(step) for step in steps if not is_many(step)}


def _plan(listed: Listing, limit: int, number: int | None) -> Plan:
    """Tell how the rows of a page are found."""
    if listed.query.ranked or (listed.query.search is None and not _is_linked(listed.query.where)):
        return listed.plan
    if number is None:
        number = listed.count(CAP)
    # Of many, the next in the order are soon met; of few, all are found, and then put in order.
    soon = number * number > limit * listed.size
    return Plan(probing=True, soon=True) if soon else listed.plan


def _is_linked(expression: Expression) -> bool:
    """Tell whether it asks for anything that is in another table than the noun's."""
    if isinstance(expression, Group):
        return any(map(_is_linked, expression.children))
    return any(row.filter.path and row.filter.path[0].owner.key != "id" for row in expression.all)


def upcoming(listed: Listing, segment: "Segment", places: Sequence[Any], wanted: int) -> Among | None:
    """Return the versions of a segment's next rows, and of some more; of a tie, of all of it. None where SQL is to find them.

    The bitmap index knows them where the list has no search, it has the list's filter, and the first key is a date.
    """
    key, resource = listed.order[0], listed.query.resource
    order = dimension_of(resource, key.field.column) if key and key.field.type.name == "date" else None
    place = places[0] if segment.keys else None
    if not key or not order or listed.query.search or segment.whole or segment.null or (segment.keys and place is None):
        return None
    with suppress(NotIndexedError):
        chosen = listed.filtered
        if chosen is None:
            return None
        found = (
            sets.holding(listed.session, resource, order, [place]) & chosen
            if segment.keys > 1
            else sets.first(listed.session, Order(resource, order, key.descending, place), chosen, wanted)
        )
        if found is not None and len(found) <= ORDERED:
            # No version is 0: where a tie has emptied, nothing is found.
            return statements.among(listed.session, [*found] or [0], BigInteger)
    return None


def _page_of(listed: Listing, segment: "Segment", places: Sequence[Any], versions: Among) -> Select[Any]:
    """Select the first of a segment's rows among some versions, of all of which the list's filter holds."""
    keys = [column.label(f"key_{n}") for n, column in enumerate(listed.keys)]
    table = listed.query.resource.model
    found = select(*_shown(table.id, Revision.document, _at_hand(listed)), *keys)
    found = found.join_from(Revision, table, table.id == Revision.id)
    found = found.where(versions.condition(Revision.version), _behind(listed, segment, places))
    return listed.ordered(found).limit(limited())


def _page(listed: Listing, segment: "Segment", places: Sequence[Any], plan: Plan) -> Select[Any]:
    keys = [column.label(f"key_{n}") for n, column in enumerate(listed.keys)]
    if segment.tier is not None:
        keys.insert(0, type_coerce(literal(segment.tier), BigInteger()).label("tier"))
    near = _at_hand(listed)
    # Where all rows are found and put in order, the documents are those of the few that are left.
    late = not listed.joined and not plan.probing and _is_linked(listed.query.where)
    columns = [listed.id, *near.values()] if late else _shown(listed.id, listed.document, near)
    found = listed.select(*columns, *keys, plan=plan, tier=segment.tier, model=not listed.query.ranked)
    found = found.where(_behind(listed, segment, places))
    if late and listed.dialect == "postgresql":
        # Behind an offset, the order gives nobody the idea to walk through an index of it, past all that is not wanted.
        found = select(*found.offset(0).subquery().c)
        found = listed.ordered(found, [*found.selected_columns][len(columns) :])
    else:
        found = listed.ordered(found)
    found = found.limit(limited())
    if not late:
        return found
    id, *rest = found.subquery().c
    document, order = published(listed.query.resource, Revision.document, id), rest[len(near) :]
    return listed.ordered(select(*_shown(id, document, dict(zip(near, rest, strict=False))), *order), order)


def _shown(id: Any, document: Any, near: Mapping[Relation, Any]) -> list[Any]:
    """Return the columns of a row that is shown: its id and document, and those of each record that is `_at_hand`."""
    found = [id, document]
    for relation, target in near.items():
        found += [target, published(BY_NAME[relation.to or ""], Revision.document, target)]
    return [column.label(f"shown_{n}") for n, column in enumerate(found)]


@dataclass(frozen=True)
class Segment:
    """A range of an index behind a cursor: the rows that are equal to it in all but the last of so many keys.

    In that key they have a greater value, or null. All of ``keys`` at once where one comparison of rows says the same.
    Of a list that is ranked, those of a ``tier``.
    """

    keys: int = 0
    whole: bool = False
    null: bool = False
    tier: int | None = None


def _segments(listed: Listing, places: Sequence[Any]) -> Iterator[Segment]:
    """Yield the segments of a list, or those behind a cursor, in its order.

    Behind a row are first those that are equal to it in all keys but the last, then those in all but the
    last two, and so on; of these, first those with a greater value and then those with null.
    """
    if listed.query.ranked:
        for tier in listed.tiers:
            if not places or tier == places[0]:
                yield Segment(1 if places else 0, tier=tier)
            elif tier is not None and tier > places[0]:
                yield Segment(tier=tier)
        return
    order = [key for key in listed.order if key]
    nullable = [key.field.nullable for key in order]
    if not places:
        yield Segment()
    elif len({key.descending for key in order}) == 1 and not any(nullable):
        yield Segment(len(order), whole=True)
    else:
        for length in range(len(order), 0, -1):
            if places[length - 1] is not None:
                yield Segment(length)
                if nullable[length - 1]:
                    yield Segment(length, null=True)


def _behind(listed: Listing, segment: Segment, places: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of a segment's rows."""
    keys = listed.keys[: segment.keys]
    if not keys:
        return true()
    # The first place of a list that is ranked is the tier.
    first = int(listed.query.ranked)
    bounds = [bindparam(f"k{n}", type_=column.type) for n, column in enumerate(keys, first)]
    descending = [key.descending for key in listed.order if key]
    if segment.whole:
        row, bound = tuple_(*keys), tuple_(*bounds)
        return row < bound if descending[0] else row > bound
    equal = [
        column == bound if value is not None else column.is_(None)
        for column, bound, value in zip(keys[:-1], bounds[:-1], places, strict=False)
    ]
    if segment.null:
        return and_(*equal, keys[-1].is_(None))
    return and_(*equal, keys[-1] < bounds[-1] if descending[len(keys) - 1] else keys[-1] > bounds[-1])
