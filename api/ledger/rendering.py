"""Documents as they are published: read from the tables, rendered, and checked against their schema."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any

from marshmallow import Schema
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapper, Session, class_mapper

from api.ledger import periods, records
from api.schema.canonical import PUBLICATION, Content, canonical_members, joined
from api.schema.fields import instant
from api.schema.resource import Resource

# What SQLAlchemy raises for a value that its column's type does not allow: SQLite lets raw SQL store such values.
UNREADABLE = (LookupError, TypeError, ValueError, OperationalError)


@dataclass(frozen=True)
class Rendering:
    """Records as the tables have them.

    ``contents`` lack the members that the ledger adds, by id; ``refused`` has a line for each record that cannot be published.
    ``stale`` are records with dates that the columns of their periods do not stand for.
    """

    contents: Mapping[str, Content]
    refused: Mapping[str, str]
    stale: Sequence[str]


def rendered(session: Session, resource: Resource, ids: Sequence[str], checked: AbstractSet[bytes] = frozenset()) -> Rendering:
    """Render records as the tables have them.

    A record cannot be published if a column has a value of a wrong type, or if its content breaks its schema; contents whose
    `quick_hash` is in ``checked`` were validated before. Any other exception is a bug in rendering, and is raised.
    """
    rows, refused = _read(session, resource, ids)
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
        if (not checked or quick_hash(content) not in checked) and (messages := schema.validate(content)):
            refused[id] = _refusal(resource, id, json.dumps(messages))
        else:
            contents[id] = content
    return Rendering(contents, refused, [id for id in contents if periods.is_stale(resource, rows[id])])


@cache
def _schema(resource: Resource) -> Schema:
    return resource.schema(exclude=PUBLICATION)


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


def quick_hash(content: Content) -> bytes:
    """Return a cheap fingerprint of a document (SHA-256 of its repr): its canonical form would cost more."""
    return hashlib.sha256(repr(content).encode(errors="surrogatepass")).digest()


def document_of(members: Mapping[str, bytes], version: int, changed_at: dt.datetime) -> bytes:
    """Return the canonical document of a content's canonical members, with the two that the ledger adds."""
    return joined({**members, **canonical_members({"version": version, "updated_at": instant(changed_at)})})
