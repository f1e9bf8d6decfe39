"""Documents as they are published: read from the tables, rendered, and checked against their schema."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from marshmallow import Schema
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapper, Session, class_mapper

from api.ledger import periods, records
from api.ledger.models import Revision
from api.ledger.packing import Packed
from api.schema.canonical import PUBLICATION, Content, canonical
from api.schema.fields import instant
from api.schema.resource import Resource

# What SQLAlchemy raises for a value that its column's type does not allow: SQLite lets raw SQL store such values.
UNREADABLE = (LookupError, TypeError, ValueError, OperationalError)

# Records whose facts `Written` holds as values; those of further ones are packed, because a large import has many.
MOST = 1_000


@dataclass
class Written:
    """Records that a transaction has validated and written, and that nothing has changed since.

    ``facts`` are the contents of some, by noun and id, as curators send them, and ``last`` their last revisions, None if they
    have none; ``packed`` has the contents of the others, by noun. ``is_alone``: nothing else changed.
    """

    facts: dict[tuple[str, str], Content] = field(default_factory=dict)
    last: dict[tuple[str, str], Revision | None] = field(default_factory=dict)
    packed: dict[str, Packed] = field(default_factory=lambda: defaultdict(Packed))
    is_alone: bool = False

    def add(self, kind: str, id: str, facts: Content | None, last: Revision | None) -> None:
        """Add a record; without facts it was deleted."""
        self.facts.pop((kind, id), None)
        self.packed[kind].discard(id)
        if facts is None:
            return
        if len(self.facts) < MOST:
            self.facts[kind, id], self.last[kind, id] = facts, last
        else:
            self.packed[kind].add(id, facts)

    def of(self, kind: str, ids: Sequence[str]) -> dict[str, Content]:
        """Return the facts of those of a noun's records that were written, by id."""
        return {id: self.facts[kind, id] for id in ids if (kind, id) in self.facts} | self.packed[kind].of(ids)

    def alone(self) -> "Written":
        """Return the same, for a transaction that changed nothing else."""
        return replace(self, is_alone=True)

    def is_new(self, record: tuple[str, str]) -> bool:
        """Tell whether no other record can decide anything about a record: it never existed, and none changed with it."""
        return self.is_alone and self.last.get(record, self) is None


@dataclass(frozen=True)
class Rendering:
    """Records as the tables have them.

    ``contents`` lack the members that the ledger adds, by id; ``refused`` has a line for each record that cannot be published.
    ``stale`` are records with dates that the columns of their periods do not stand for.
    """

    contents: Mapping[str, Content]
    refused: Mapping[str, str]
    stale: Sequence[str]


def rendered(session: Session, resource: Resource, ids: Sequence[str], written: Written | None = None) -> Rendering:
    """Render records as the tables have them.

    A record cannot be published if a column has a value of a wrong type, or if its content breaks its schema. Any other
    exception is a bug in rendering, and is raised. Of records that were ``written`` only what other records decide is read.
    """
    known = written or Written()
    facts = known.of(resource.name, ids)
    rows, refused = _read(session, resource, [id for id in ids if id not in facts])
    schema = _schema(resource)
    contents: dict[str, Content] = {}
    for id, row in rows.items():
        try:
            content = schema.dump(row)
        except (TypeError, ValueError) as error:
            if not _is_mistyped(class_mapper(resource.model), row):
                raise
            refused[id] = _refusal(resource, id, _first_line(error))
            continue
        if messages := schema.validate(content):
            refused[id] = _refusal(resource, id, json.dumps(messages))
        else:
            contents[id] = content
    stale = [id for id in contents if periods.is_stale(resource, rows[id])]
    new = {id: records.new(resource) for id in facts if known.is_new((resource.name, id))}
    derived = {**new, **records.read(session, resource, [id for id in facts if id not in new], derived=True)}
    for id, row in derived.items():
        contents[id] = {**facts[id], **_derived_schema(resource).dump(row)}
    return Rendering(contents, refused, stale)


@cache
def _schema(resource: Resource) -> Schema:
    return resource.schema(exclude=PUBLICATION)


@cache
def _derived_schema(resource: Resource) -> Schema:
    return resource.schema(only=resource.derived)


def _read(session: Session, resource: Resource, ids: Sequence[str]) -> tuple[dict[str, records.Row], dict[str, str]]:
    """Return the rows of records with their parts, by id, and a line for each record that cannot be read."""
    try:
        return records.read(session, resource, ids), {}
    except UNREADABLE as error:
        if isinstance(error, OperationalError) and "decode" not in str(error):
            # The database failed, and not the record.
            raise
        if len(ids) == 1:
            return {}, {ids[0]: _refusal(resource, ids[0], _first_line(error))}
    rows: dict[str, records.Row] = {}
    refused: dict[str, str] = {}
    for id in ids:
        readable, unreadable = _read(session, resource, [id])
        rows |= readable
        refused |= unreadable
    return rows, refused


def _is_mistyped(mapper: Mapper[Any], row: Any) -> bool:
    """Tell whether a column of a row, or of a row of its parts, has a value of another type than the column's."""
    for attribute in mapper.column_attrs:
        value, type = getattr(row, attribute.key), attribute.columns[0].type.python_type
        # SQLite returns a whole number as an integer from a column of decimals, too.
        if value is not None and not isinstance(value, (int, float) if type is float else type):
            return True
    return any(_is_mistyped(part.mapper, below) for part in mapper.relationships for below in getattr(row, part.key))


def _refusal(resource: Resource, id: str, reason: str) -> str:
    return f"{resource.name}/{id}: can't be published: {reason}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def document_of(content: Content, version: int, changed_at: dt.datetime) -> bytes:
    """Return the canonical document of a content, with the two members that the ledger adds."""
    return canonical({**content, "version": version, "updated_at": instant(changed_at)})
