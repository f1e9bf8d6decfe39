"""Counts facets: how many records of a list have each value of a field, by the bitmap index if it can tell, else by SQL."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.ledger.index.dimensions import Dimension, encode
from api.ledger.index.versions import Versions
from api.query import bitmap_sets, conditions, counts, selects, sets
from api.query.bitmap_sets import NotIndexedError
from api.query.labels import names_of
from api.query.language import Condition, Conditions, Filter, Group, filters
from api.query.listing import Listing, listing
from api.query.order import is_many
from api.query.refinements import chosen, without
from api.resources import BY_NAME
from api.schema.choices import label_of
from api.schema.resource import Relation, Resource

MAX_VALUES = 100


@dataclass(frozen=True)
class FacetValue:
    """A value of a facet with its label, and the number of records that have it; ``selected``: the request filters by it."""

    value: Any
    label: str | None
    count: int
    selected: bool


@dataclass(frozen=True)
class Facet:
    """The most frequent values of a facet, the most frequent first, and all selected ones; ``more``: there are others."""

    values: Sequence[FacetValue]
    more: bool


def facet(filtered: Listing, filter: Filter) -> Facet:
    """Count a list by the values of a field, without the conditions that choose values of this field."""
    query = filtered.query
    selected = dict.fromkeys(chosen(query.where, filter))
    counted = (
        filtered
        if not selected
        else listing(filtered.session, replace(query, where=without(query.where, filter)), filtered.planner)
    )
    try:
        numbers = _indexed(counted, filter)
        # Among equally frequent values, null comes last.
        rows = sorted(numbers.items(), key=lambda row: (-row[1], row[0] is None, row[0]))[: MAX_VALUES + 1]
    except NotIndexedError:
        rows = counted.rows(("facet", filter.name, counts.plan_of(counted)), partial(_facet, counted, filter))
        more = len(rows) > MAX_VALUES
        numbers = {**dict(rows), **{value: _number(counted, filter, value) for value in selected if more}}
    more, rows = len(rows) > MAX_VALUES, rows[:MAX_VALUES]
    listed = {value for value, _ in rows}
    rows += [(value, numbers.get(value, 0)) for value in selected if value not in listed]
    labels = _labels(counted.session, filter, [value for value, _ in rows if value is not None])
    return Facet([FacetValue(value, labels.get(value), number, value in selected) for value, number in rows], more)


def _number(counted: Listing, filter: Filter, value: Any) -> int:
    """Return the number of a list's records that have a value of a facet, which may not be among the most frequent ones."""
    is_null = filters(counted.query.resource).get(f"{filter.name}__isnull")
    condition = Condition(is_null, value=True) if value is None and is_null else Condition(filter, (value,))
    where = Group("and", (counted.query.where, Conditions((condition,))))
    return counts.count(listing(counted.session, replace(counted.query, where=where), counted.planner), None)


def _indexed(listing: Listing, filter: Filter) -> Mapping[Any, int]:
    """Count by the bitmap index: the number of records for each value. Raises NotIndexedError."""
    resource, path = listing.query.resource, filter.path
    chosen = counts.versions(listing)
    if dimension := bitmap_sets.dimension_at(resource, path, filter):
        return _common(listing, dimension, chosen)
    if path and (dimension := bitmap_sets.forward(resource, path[0])):
        return _forward(listing, filter, dimension, chosen)
    referring = bitmap_sets.reverse(path[0]) if path else None
    values = referring and not (filter.linked and len(path) == 1) and bitmap_sets.dimension_at(referring[0], path[1:], filter)
    if not referring or not values:
        raise NotIndexedError
    return _reverse(listing, *referring, values, chosen)


def _common(listing: Listing, dimension: Dimension, chosen: Versions | None) -> Mapping[Any, int]:
    """Return how many of a set, or of all records, have each value of a dimension."""
    session, query = listing.session, listing.query
    if chosen is None:
        return bitmap_sets.cardinalities(session, query.resource, dimension)
    values = sets.values(session, query.resource, query.where, dimension)
    few = values if values is not None and len(values) <= listing.planner.values else None
    holders = bitmap_sets.bitmaps(session, query.resource, dimension, few)
    return {json.loads(value): count for value, holding in holders.items() if (count := holding.common(chosen))}


def _forward(listing: Listing, filter: Filter, dimension: Dimension, chosen: Versions | None) -> Mapping[Any, int]:
    """Return how many of a set, or of all records, refer to a record with each value."""
    shape = ("reached", listing.query.resource.name, filter.name)
    reached = statements.rows(listing.session, shape, partial(_reached, filter), {})
    if not dimension.many:
        total, numbers = Counter[Any](), _common(listing, dimension, chosen)
        for id, value in reached:
            total[value] += numbers.get(id, 0)
        return +total
    referring, by_value = bitmap_sets.bitmaps(listing.session, listing.query.resource, dimension), defaultdict(list)
    for id, value in reached:
        if (referrers := referring.get(encode(id))) is not None:
            by_value[value].append(referrers)
    unions = {value: Versions.union(several) for value, several in by_value.items()}
    numbers = {value: len(union) if chosen is None else union.common(chosen) for value, union in unions.items()}
    return {value: number for value, number in numbers.items() if number}


def _reverse(
    listing: Listing, noun: Resource, owner: Dimension, values: Dimension, chosen: Versions | None
) -> Mapping[Any, int]:
    """Return how many of a list's records are referred to by records of a noun with each value. Raises NotIndexedError."""
    owners = bitmap_sets.by_owner(listing.session, noun, owner)
    holders = bitmap_sets.bitmaps(listing.session, noun, values)
    if len(owners) * len(holders) > listing.planner.pairs:
        raise NotIndexedError
    if chosen is not None:
        plan = counts.plan_of(listing)
        build = partial(selects.select_rows, listing, selects.id_of(listing), plan=plan)
        ids = {id for (id,) in listing.rows(("ids", plan), build)}
        owners = {id: referrers for id, referrers in owners.items() if id in ids}
    numbers = {value: sum(each.meets(holding) for each in owners.values()) for value, holding in holders.items()}
    return {json.loads(value): number for value, number in numbers.items() if number}


def _reached(filter: Filter) -> Select[Any]:
    """Select the ids of the records at the first step of a path, with each value at its end."""
    model: Any = BY_NAME[filter.path[0].to or ""].model
    value, joins = _end(filter, model, filter.path[1:])
    statement = select(model.id, value).distinct()
    for joined, condition in joins:
        statement = statement.join(joined, condition)
    return statement


def _facet(listing: Listing, filter: Filter) -> Select[Any]:
    """Select the most frequent values, each with its number of records."""
    model: Any = listing.query.resource.model
    value, joins = _end(filter, model, filter.path)
    # A record that several links reach counts once.
    count = func.count(model.id.distinct()) if any(map(is_many, filter.path)) else func.count()
    statement = selects.select_rows(listing, value, count, plan=counts.plan_of(listing), needs_table=True)
    for joined, condition in joins:
        statement = statement.join(joined, condition)
    statement = statement.group_by(value).order_by(count.desc(), value.asc().nulls_last())
    return statement.limit(MAX_VALUES + 1)


def _end(filter: Filter, row: Any, path: Sequence[Relation]) -> tuple[Any, list[tuple[Any, ColumnElement[bool]]]]:
    """Return the column at the end of the rest of a filter's path, and the joins from a row to it."""
    joins: list[tuple[Any, ColumnElement[bool]]] = []
    for relation in path:
        link = row
        if relation.owner.key != "id":
            link = aliased(relation.link)
            joins.append((link, and_(getattr(link, relation.owner.key) == row.id, *conditions.fixed(link, relation))))
        if (filter.linked and relation is filter.path[-1]) or conditions.is_target(relation):
            row = link
        else:
            row = aliased(BY_NAME[relation.to or ""].model)
            joins.append((row, getattr(link, conditions.target_of(relation).key) == row.id))
    return getattr(row, filter.field.column.key), joins


def _labels(session: Session, filter: Filter, values: Sequence[Any]) -> dict[Any, str]:
    """Return the labels of values: the name of the record for an id, and words for a code."""
    noun = refers_to(filter)
    if noun:
        return names_of(session, noun, values)
    named = key_of(filter)
    if named is not None and "name" in named.table.c:
        # The key of a part that has a name, such as a category of a survey.
        names = select(named, func.max(named.table.c.name)).where(named.in_(values)).group_by(named)
        return {row[0]: row[1] for row in session.execute(names)}
    if filter.field.type.name == "choice":
        return {value: label_of(str(value)) for value in values}
    return {value: json.dumps(value) if isinstance(value, bool) else str(value) for value in values}


def refers_to(filter: Filter) -> str | None:
    """Return the noun whose ids are the values of a filter; None if they are not ids."""
    column = filter.field.column
    for referred in _referred(column.property.columns[0]):
        if referred.table.name in BY_NAME and referred.name == "id":
            return str(referred.table.name)
    return str(column.class_.__tablename__) if column.key == "id" else None


def key_of(filter: Filter) -> Column[Any] | None:
    """Return the key of the noun or the part whose keys are the values of a filter; None if they are not keys."""
    column = filter.field.column.property.columns[0]
    return next((row for row in (column, *_referred(column)) if [*row.table.primary_key] == [row]), None)


def _referred(column: Column[Any]) -> Iterator[Column[Any]]:
    """Yield the columns that a column refers to, also through others."""
    for key in column.foreign_keys:
        yield key.column
        yield from _referred(key.column)
