"""Reads one page of a list: the rows behind a cursor, and the documents that are read with them."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, case, literal, literal_column, select, type_coerce

from api.db import statements
from api.db.statements import Among
from api.ledger.index.dimensions import Dimension, dimension_of
from api.ledger.index.versions import Versions
from api.ledger.models import Revision
from api.query import bitmap_sets, conditions, counts, cursors, selects
from api.query.bitmap_sets import NotIndexedError, Order
from api.query.language import BACKWARD, DEFAULT_LIMIT
from api.query.listing import Listing, from_start, once
from api.query.order import is_many
from api.query.plan import Plan, Walk, is_linked, is_walkable
from api.query.segments import Segment, begins_with_null, behind, bounds, is_bounded, nth, segments, within
from api.resources import BY_NAME
from api.schema.resource import Relation

# No record has this version.
NO_VERSION = 0


@dataclass(frozen=True)
class ListPage:
    """One page: the ids of its records, their documents as stored, and the cursors of the next page and of the one before.

    ``related`` has the documents, by id, of the relations to include that were read with the rows.
    """

    ids: Sequence[str]
    documents: Sequence[str]
    related: Mapping[Relation, Mapping[str, str]]
    cursor: str | None
    before: str | None


class PageRow(NamedTuple):
    """A row of a page: ``related`` has the id and document of the related record, both None if there is none."""

    id: str
    document: str
    related: Mapping[Relation, tuple[str | None, str | None]]
    keys: Sequence[Any]


def page(listing: Listing, number: int | None) -> ListPage:
    """Return a page of a list of this number of records, at least; None if they are not counted.

    Runs as many statements as the place of the page in the order needs. Raises a 400 for a cursor of another list.
    """
    query = listing.query
    signature, limit = cursors.signature(query), query.most
    places = cursors.decode(query.cursor, signature, cursors.keys(query)) if query.cursor else []
    if not limit:
        return _page([], None, None)
    way, rows = _way(listing, number), list[PageRow]()
    for segment in segments(listing, places):
        rows += way(listing, segment, places, limit + 1 - len(rows))
        if len(rows) > limit:
            break
    if query.backward and not rows:
        # All records before the place are gone, so the first page is before it.
        return page(from_start(listing), number)
    is_more, rows = len(rows) > limit, rows[:limit][:: -1 if query.backward else 1]
    after, before = (True, is_more) if query.backward else (is_more, bool(query.cursor))
    following = cursors.encode(signature, rows[-1].keys) if after else None
    # Behind the last record, the page before is the last one.
    return _page(rows, following, BACKWARD + cursors.encode(signature, rows[0].keys if rows else ()) if before else None)


def _page(rows: Sequence[PageRow], cursor: str | None, before: str | None) -> ListPage:
    """Return a page with these rows and cursors."""
    related: dict[Relation, dict[str, str]] = {relation: {} for relation in (rows[0].related if rows else ())}
    for row in rows:
        for relation, (id, document) in row.related.items():
            if id is not None and document is not None:
                related[relation][id] = document
    return ListPage([row.id for row in rows], [row.document for row in rows], related, cursor, before)


def _way(listing: Listing, number: int | None) -> Callable[[Listing, Segment, Sequence[Any], int], list[PageRow]]:
    """Return the function that reads the first rows of a segment."""
    query, planner = listing.query, listing.planner
    if is_walkable(query):
        number = counts.count(listing, planner.sampled) if number is None else number
        if walk := planner.walk(query, number, listing.size, listing.dialect):
            return partial(_walk, walk)
    return _find


def _walk(walk: Walk, listing: Listing, segment: Segment, places: Sequence[Any], most: int) -> list[PageRow]:
    """Return the first rows of a segment, by the bitmap index or in the order of the list.

    The latter gives up after a number of rows, so it costs little if the rows of the list come late. Rows that tie in the first
    key are few, and need no such limit.
    """
    if versions := upcoming(listing, segment, places, most):
        name = ("page of versions", segment, versions.shape)
        return _run(listing, name, partial(_select_versions, versions), segment, places, versions.values, most)
    if not is_bounded(listing, segment):
        return _run(listing, ("page", segment, Plan.ORDER), partial(_select, Plan.ORDER), segment, places, {}, most)
    if not walk.most:
        return _find(listing, segment, places, most)
    values = {name: number for name, number in walk._asdict().items() if number is not None}
    rows = _run(listing, ("bounded page", segment, *values), partial(_select_bounded, walk), segment, places, values, most)
    return rows if len(rows) == most else _find(listing, segment, places, most)


def _find(listing: Listing, segment: Segment, places: Sequence[Any], most: int) -> list[PageRow]:
    """Return the first rows of a segment, by the list's plan."""
    plan = counts.plan_of(listing)
    entries = None if segment.tier is None else selects.lookup_of(listing, segment.tier)
    name = ("page", segment, plan, entries and entries.shape)
    return _run(listing, name, partial(_select, plan), segment, places, entries.values if entries else {}, most)


def _run(  # noqa: PLR0913, PLR0917 - a statement and its parameters
    listing: Listing,
    name: Hashable,
    build: Callable[[Listing, Segment, Sequence[Any]], Select[Any]],
    segment: Segment,
    places: Sequence[Any],
    values: Mapping[str, Any],
    most: int,
) -> list[PageRow]:
    near, parameters = _near(listing), bounds(listing, segment, places)
    shape = (name, tuple(parameters), (*near,))
    rows = listing.rows(shape, partial(build, listing, segment, places), **parameters, **values, limit=most)
    return [_row(row, near) for row in rows]


def _row(values: Iterable[Any], near: Mapping[Relation, Any]) -> PageRow:
    """Name the values of a row, in the order of `_columns`."""
    rest = iter(values)
    return PageRow(next(rest), next(rest), {relation: (next(rest), next(rest)) for relation in near}, tuple(rest))


@once
def _near(listing: Listing) -> Mapping[Relation, Any]:
    """Return the relations to include whose target is a column of the noun's own table, so the row can bring the document.

    A long page has none: its many records share few related ones, which one more statement reads once. A list that joins the
    ledger has none, because it would read the documents of rows that it does not show.
    """
    if listing.joined or listing.query.most > DEFAULT_LIMIT:
        return {}
    steps = dict.fromkeys(path[0] for path in listing.query.include)
    return {step: conditions.target_of(step) for step in steps if not is_many(step)}


def upcoming(listing: Listing, segment: Segment, places: Sequence[Any], least: int) -> Among | None:
    """Return the versions of a segment's next rows with all that tie with the last; None if SQL finds them.

    The bitmap index finds them if the list has no search, a filter that is indexed, and a date as its first key.
    """
    order = _date_of(listing)
    is_range = not segment.whole and not begins_with_null(listing, segment) and (not segment.keys or places[0] is not None)
    if order is None or not is_range:
        return None
    with suppress(NotIndexedError):
        chosen = counts.filtered(listing)
        versions = None if chosen is None else _first(listing, segment, places, order, chosen, least)
        if versions is not None and len(versions) <= listing.planner.ordered:
            return statements.among(listing.session, [*versions] or [NO_VERSION], BigInteger)
    return None


def _first(  # noqa: PLR0913, PLR0917 - a range, an order and a set
    listing: Listing, segment: Segment, places: Sequence[Any], order: Dimension, chosen: Versions, least: int
) -> Versions | None:
    """Return the members of a set that come first in a segment. Raises NotIndexedError."""
    session, query = listing.session, listing.query
    if segment.keys > 1:
        return bitmap_sets.holding(session, query.resource, order, places[:1]) & chosen
    values = Order(query.resource, order, query.order[0].descending, places[0] if segment.keys else None)
    return bitmap_sets.first(session, values, chosen, least, listing.planner.pieces)


def _date_of(listing: Listing) -> Dimension | None:
    """Return the dimension of a list's first sort key, if that is a date and the list has no search."""
    key = listing.query.order[0]
    if listing.query.search is not None or key.relation or key.field.type.name != "date":
        return None
    return dimension_of(listing.query.resource, key.field.ordered)


def _select_versions(versions: Among, listing: Listing, segment: Segment, places: Sequence[Any]) -> Select[Any]:
    """Select the first rows of a segment among versions for which the list's filter holds."""
    table, keys = listing.query.resource.model, selects.keys(listing, Plan.ORDER)
    statement = select(*_columns(table.id, Revision.document, _near(listing)), *_labelled(keys))
    statement = statement.join_from(Revision, table, table.id == Revision.id)
    statement = statement.where(versions.condition(Revision.version), behind(listing, segment, places, Plan.ORDER))
    return selects.ordered(listing, statement, keys).limit(selects.limited())


def _select(plan: Plan, listing: Listing, segment: Segment, places: Sequence[Any]) -> Select[Any]:
    """Select the first rows of a segment."""
    is_sorted = is_linked(listing.query.where) or any(key.relation for key in listing.query.order)
    if is_sorted and not listing.joined and not plan.probing:
        return _select_late(listing, segment, places, plan)
    keys = selects.keys(listing, plan)
    tier = [] if segment.tier is None else [type_coerce(literal(segment.tier), BigInteger()).label("tier")]
    columns = _columns(selects.id_of(listing), selects.document_of(listing), _near(listing))
    rows = _in_segment(listing, segment, places, plan, *columns, *tier, *_labelled(keys))
    return selects.ordered(listing, rows, keys).limit(selects.limited())


def _select_bounded(walk: Walk, listing: Listing, segment: Segment, places: Sequence[Any]) -> Select[Any]:
    """Select the first rows of a segment if they are among those of a walk."""
    last = nth(listing, segment, places, "most")
    if walk.tried is not None:
        first = _in_segment(listing, segment, places, Plan.ORDER, literal_column("1"))
        first = first.where(within(listing, nth(listing, segment, places, "tried")))
        # A value and not `exists`: PostgreSQL would drop the order, and SQLite would look for it after the rows.
        first = selects.ordered(listing, first, selects.keys(listing, Plan.ORDER)).limit(1).correlate(None)
        last = case((first.scalar_subquery().is_not(None), last))
    return _select(Plan.ORDER, listing, segment, places).where(within(listing, last))


def _select_late(listing: Listing, segment: Segment, places: Sequence[Any], plan: Plan) -> Select[Any]:
    """Select the first rows of a segment, and look up documents only for these: all rows are found, then sorted."""
    near, keys = _near(listing), selects.keys(listing, plan)
    targets = [target.label(f"target_{n}") for n, target in enumerate(near.values())]
    sorted_keys = _labelled(keys)
    rows = _in_segment(listing, segment, places, plan, selects.id_of(listing).label("id"), *targets, *sorted_keys)
    if listing.dialect == "postgresql":
        # An offset keeps PostgreSQL from reading an index of the order, past all rows that the filter excludes.
        every = rows.offset(0).subquery()
        rows, keys = select(*every.c), tuple([every.c[key.name] for key in sorted_keys])
    first = selects.ordered(listing, rows, keys).limit(selects.limited()).subquery()
    document = selects.current(listing.query.resource, Revision.document, first.c.id)
    targets_of = {relation: first.c[target.name] for relation, target in zip(near, targets, strict=True)}
    columns = [first.c[key.name] for key in sorted_keys]
    return selects.ordered(listing, select(*_columns(first.c.id, document, targets_of), *columns), columns)


def _in_segment(listing: Listing, segment: Segment, places: Sequence[Any], plan: Plan, *columns: Any) -> Select[Any]:
    rows = selects.select_rows(listing, *columns, plan=plan, tier=segment.tier, needs_table=not listing.query.ranked)
    return rows.where(behind(listing, segment, places, plan))


def _labelled(keys: Sequence[Any]) -> list[Any]:
    return [key.label(f"key_{n}") for n, key in enumerate(keys)]


def _columns(id: Any, document: Any, near: Mapping[Relation, Any]) -> list[Any]:
    """Return the columns of a row: its id and document, and those of each related record that is read with it."""
    columns = [id, document]
    for relation, target in near.items():
        columns += [target, selects.current(BY_NAME[relation.to or ""], Revision.document, target)]
    return [column.label(f"column_{n}") for n, column in enumerate(columns)]
