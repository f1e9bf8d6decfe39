"""Facets: how many records of a list have each value of a field; by the bitmap index where that can tell, else by SQL."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.db.statements import of_ids
from api.ledger.index.dimensions import Dimension, encode
from api.ledger.index.versions import Versions
from api.query import conditions, sets
from api.query.language import Filter, is_many
from api.query.lists import Listing
from api.query.sets import NotIndexedError
from api.resources import BY_NAME
from api.schema.resource import Relation

MAX_VALUES = 100
# So many pairs of sets are compared at most: that takes some tenths of a second.
PAIRS = 100_000


@dataclass(frozen=True)
class FacetValue:
    """One value of a facet: what it is called, and how many records of the list have it."""

    value: Any
    label: str | None
    count: int


def facet(listed: Listing, filter: Filter) -> tuple[list[FacetValue], bool]:
    """Count a list by the values of a field, the most frequent first; tells also whether there are more values."""
    try:
        counted = _indexed(listed, filter)
        # Nulls come last of what is equally frequent.
        rows = sorted(counted.items(), key=lambda row: (-row[1], row[0] is None, row[0]))[: MAX_VALUES + 1]
    except NotIndexedError:
        rows = listed.rows(("facet", filter.name, listed.plan), partial(_facet, listed, filter))
    labels = _labels(listed.session, filter, [found for found, _ in rows if found is not None])
    values = [FacetValue(found, labels.get(found), number) for found, number in rows[:MAX_VALUES]]
    return values, len(rows) > MAX_VALUES


def _indexed(listed: Listing, filter: Filter) -> Mapping[Any, int]:
    """Count by the bitmap index: each value that anything has. Raises NotIndexedError."""
    session, resource, path = listed.session, listed.query.resource, filter.path
    chosen = listed.versions
    if own := sets.dimension_at(resource, path, filter):
        return _among(listed, own, chosen)
    if path and (dimension := sets.forward(resource, path[0])):
        return _by_way(listed, filter, dimension, chosen)
    referring = sets.reverse(path[0]) if path else None
    counted = referring and not (filter.linked and len(path) == 1) and sets.dimension_at(referring[0], path[1:], filter)
    if not referring or not counted:
        raise NotIndexedError
    owners, holders = sets.by_owner(session, *referring), sets.bitmaps(session, referring[0], counted)
    if len(owners) * len(holders) > PAIRS:
        raise NotIndexedError
    if chosen is not None:
        ids = {id for (id,) in listed.rows(("ids", listed.plan), lambda: listed.select(listed.id, plan=listed.plan))}
        owners = {id: found for id, found in owners.items() if id in ids}
    found = {value: sum(each.meets(holding) for each in owners.values()) for value, holding in holders.items()}
    return {json.loads(value): count for value, count in found.items() if count}


def _among(listed: Listing, dimension: Dimension, chosen: Versions | None) -> Mapping[Any, int]:
    """Return how many of a set, or of all, hold each value of a dimension."""
    if chosen is None:
        return sets.cardinalities(listed.session, listed.query.resource, dimension)
    query = listed.query
    left = sets.values(listed.session, query.resource, query.where, dimension)
    found = sets.bitmaps(listed.session, query.resource, dimension, left).items()
    return {json.loads(value): count for value, holding in found if (count := holding.common(chosen))}


def _by_way(listed: Listing, filter: Filter, dimension: Dimension, chosen: Versions | None) -> Mapping[Any, int]:
    """Return how many of a set, or of all, refer to records with each value."""
    shape = ("reached", listed.query.resource.name, filter.name)
    reached = statements.rows(listed.session, shape, partial(_reached, filter), {})
    if not dimension.many:
        counted, numbers = Counter[Any](), _among(listed, dimension, chosen)
        for id, value in reached:
            counted[value] += numbers.get(id, 0)
        return +counted
    referring, reached_by = sets.bitmaps(listed.session, listed.query.resource, dimension), defaultdict(list)
    for id, value in reached:
        if (referred := referring.get(encode(id))) is not None:
            reached_by[value].append(referred)
    unions = {value: Versions.union(found) for value, found in reached_by.items()}
    return {
        value: count for value, union in unions.items() if (count := len(union) if chosen is None else union.common(chosen))
    }


def _reached(filter: Filter) -> Select[Any]:
    """Select the ids that a path's first step can lead to, with each value at its end."""
    model: Any = BY_NAME[filter.path[0].to or ""].model
    value, joins = _end(filter, model, filter.path[1:])
    statement = select(model.id, value).distinct()
    for joined, condition in joins:
        statement = statement.join(joined, condition)
    return statement


def _facet(listed: Listing, filter: Filter) -> Select[Any]:
    model: Any = listed.query.resource.model
    value, joins = _end(filter, model, filter.path)
    # A record can be reached more than once, and counts once.
    count = func.count(model.id.distinct()) if any(map(is_many, filter.path)) else func.count()
    statement = listed.select(value, count, plan=listed.plan, model=True)
    for joined, condition in joins:
        statement = statement.join(joined, condition)
    statement = statement.group_by(value).order_by(count.desc(), value.asc().nulls_last())
    return statement.limit(MAX_VALUES + 1)


def _end(filter: Filter, row: Any, path: Sequence[Relation]) -> tuple[Any, list[tuple[Any, ColumnElement[bool]]]]:
    """Return the column at the end of the rest of a filter's path, and the joins that lead there from a row."""
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
    """Return what values are called: the name of the record for an id, the words for a code."""
    noun = refers_to(filter)
    if noun:
        resource = BY_NAME[noun]
        model: Any = resource.model
        return dict(
            of_ids(
                session, ("labels", noun), values, lambda ids: select(model.id, resource.label).where(ids.condition(model.id))
            )
        )
    if filter.field.type.name == "choice":
        return {value: str(value).replace("_", " ").capitalize() for value in values}
    return {value: json.dumps(value) if isinstance(value, bool) else str(value) for value in values}


def refers_to(filter: Filter) -> str | None:
    """Return the noun whose ids a filter's values are, if they are."""
    column = filter.field.column
    for key in column.property.columns[0].foreign_keys:
        table = key.column.table.name
        if table in BY_NAME and key.column.name == "id":
            return str(table)
    return str(column.class_.__tablename__) if column.key == "id" else None
