"""Fields of related records in a record's own row: those of to-one relations, and the number of related records of others."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, cast

from sqlalchemy import Select, distinct, func, select
from sqlalchemy.orm import Session, aliased

from api.db.statements import Among, of_ids
from api.ledger.models import Revision
from api.query import conditions, selects
from api.query.language import Query
from api.query.order import is_many
from api.resources import BY_NAME
from api.schema.resource import Relation, Resource

COUNT = "count"


@cache
def reachable(resource: Resource) -> Mapping[str, tuple[Relation, str]]:
    """Return the dotted names that `fields` takes, each with its relation and the member of the related record."""
    names: dict[str, tuple[Relation, str]] = {}
    for relation in (row for row in resource.relations if row.to):
        members = [COUNT] if is_many(relation) else BY_NAME[relation.to or ""].members
        names |= {f"{relation.name}.{member}": (relation, member) for member in members}
    return names


def selectable(resource: Resource) -> tuple[str, ...]:
    """Return the names that `fields` takes: the members of the document, then those of related records."""
    return (*resource.members, *reachable(resource))


def is_flat(query: Query) -> bool:
    """Tell whether a query selects a field of a related record."""
    return bool(_relations(query))


def columns(query: Query) -> list[Any]:
    """Return the columns that `joined` takes, as subqueries about a row of the noun's table."""
    return [_column(query.resource, relation) for relation in _relations(query)]


def joined(query: Query, document: str, values: Sequence[Any]) -> str:
    """Return a document with the selected fields of related records as further members, by their dotted names."""
    known = dict(zip(_relations(query), values, strict=True))
    contents = {relation: json.loads(value) for relation, value in known.items() if value and not is_many(relation)}
    added = {}
    for name in query.fields or ():
        if name in reachable(query.resource):
            relation, member = reachable(query.resource)[name]
            added[name] = known[relation] or 0 if is_many(relation) else contents.get(relation, {}).get(member)
    return f"{document[:-1]},{json.dumps(added)[1:]}"


def extended(session: Session, query: Query, ids: Sequence[str], documents: Sequence[str]) -> Sequence[str]:
    """Return the documents of these records with the selected fields of related records; runs at most one statement."""
    relations = _relations(query)
    if not relations:
        return documents
    shape = ("flat", query.resource.name, tuple([relation.name for relation in relations]))
    rows = {row[0]: row[1:] for row in of_ids(session, shape, ids, partial(_select, query))}
    # A record that raw SQL has deleted is served until that is published.
    none = [None] * len(relations)
    return [joined(query, document, rows.get(id, none)) for id, document in zip(ids, documents, strict=True)]


def _select(query: Query, ids: Among) -> Select[Any]:
    table = query.resource.model
    labelled = [column.label(f"column_{n}") for n, column in enumerate(columns(query))]
    return cast("Select[Any]", select(table.id, *labelled).where(ids.condition(table.id)))


def _relations(query: Query) -> list[Relation]:
    names = reachable(query.resource)
    return [*dict.fromkeys(names[name][0] for name in query.fields or () if name in names)]


def _column(resource: Resource, relation: Relation) -> Any:
    """Return the document of the related record, or the number of related records."""
    target = conditions.target_of(relation)
    if not is_many(relation):
        return selects.current(BY_NAME[relation.to or ""], Revision.document, target)
    link = aliased(relation.link)
    numbers = select(func.count(distinct(getattr(link, target.key)))).where(*conditions.fixed(link, relation))
    return numbers.where(getattr(link, relation.owner.key) == resource.model.id).scalar_subquery()
