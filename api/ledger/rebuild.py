"""The indexes of words and sets, made anew from what is published."""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, exists, select, update
from sqlalchemy.orm import Session

from api.ledger.index import bitmaps, fulltext
from api.ledger.models import BATCH, CURRENT, Head, Revision
from api.ledger.publish import _lock
from api.resources import RESOURCES
from api.schema.canonical import Content
from api.schema.resource import Resource


def reindex(session: Session) -> int:
    """Make the indexes anew from what is published, within the session's transaction; returns how many full text holds."""
    _lock(session)
    fulltext.engine_of(session).clear(session)
    count = 0
    for resource in RESOURCES:
        last = ""
        while resource.search and (rows := page(session, resource, last)):
            fulltext.replace(session, resource, [], {row.version: json.loads(row.document or "") for row in rows})
            count, last = count + len(rows), rows[-1].id
            session.expunge_all()
    reindex_bitmaps(session)
    return count


def reindex_bitmaps(session: Session) -> None:
    """Make the bitmap index anew from what is published, within the session's transaction."""
    head = _lock(session).head
    for resource in RESOURCES:
        bitmaps.rebuild(session, resource, contents(session, resource))
    session.execute(update(Head).values(indexed=bitmaps.mark(head)))


def contents(session: Session, resource: Resource) -> Iterator[tuple[int, Content]]:
    """Yield the versions of what is published of a noun, by id, each with what it says."""
    versions = select(Revision.version, Revision.document).where(Revision.kind == resource.name, *CURRENT)
    for version, document in session.execute(versions.order_by(Revision.id).execution_options(yield_per=BATCH)):
        yield version, json.loads(document or "")


def is_indexed(session: Session) -> bool:
    """Tell whether the search index holds the current versions and no others, whatever it says of them."""
    version = fulltext.engine_of(session).version
    missing = select(Revision.version).where(*_searchable(), ~exists().where(version == Revision.version))
    return session.scalar(missing.limit(1)) is None and session.scalar(orphans(session).limit(1)) is None


def _searchable() -> tuple[ColumnElement[bool], ...]:
    return (Revision.kind.in_([resource.name for resource in RESOURCES if resource.search]), *CURRENT)


def orphans(session: Session) -> Select[int]:
    """Select what the search index holds besides the current versions."""
    engine = fulltext.engine_of(session)
    return engine.versions(~exists().where(Revision.version == engine.version, *_searchable()))


def page(session: Session, resource: Resource, last: str) -> Sequence[Revision]:
    """Return the next current revisions of a noun, deletions excluded, by id."""
    following = select(Revision).where(Revision.kind == resource.name, Revision.id > last, *CURRENT)
    return session.scalars(following.order_by(Revision.id).limit(BATCH)).all()
