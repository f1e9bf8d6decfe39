"""Rebuilds the digest and the indexes of words and sets from the revisions, and compares the search index with them."""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Select, exists, select, update
from sqlalchemy.orm import Session

from api.ledger import bases, digest, head, periods, scopes
from api.ledger.epochs import lock_head
from api.ledger.index import bitmaps, fulltext
from api.ledger.models import BATCH, CURRENT, Dirty, Head, Revision
from api.ledger.publish import publish, publish_again
from api.resources import RESOURCES
from api.schema.canonical import Content
from api.schema.resource import Resource


def reindex(session: Session) -> int:
    """Rebuild all indexes within the session's transaction; returns the number of records that full text holds."""
    lock_head(session)
    if bases.fill(session) + sum(_refill(session, resource) for resource in RESOURCES):
        publish(session, reason="sweep")
    for resource in scopes.SCOPED:
        _rescope(session, resource)
    digest.rebuild(session)
    fulltext.engine_of(session).clear(session)
    count = 0
    for resource in (resource for resource in RESOURCES if resource.search):
        for revisions in batches(session, resource):
            documents = {revision.version: json.loads(revision.document or "") for revision in revisions}
            fulltext.replace(session, resource, [], documents)
            count += len(revisions)
    reindex_bitmaps(session)
    return count


def _rescope(session: Session, resource: Resource) -> None:
    """Publish the records of a noun again whose stored cities and surveys are not what the tables say."""
    for revisions in batches(session, resource):
        versions = scopes.wrong(session, resource, [revision.version for revision in revisions])
        if wrong := [revision for revision in revisions if revision.version in versions]:
            publish_again(session, resource, wrong, reason="reindex")


def _refill(session: Session, resource: Resource) -> int:
    """Fill the columns of dates of the records that are published as they are; returns the number of rows that change."""
    noted = set(session.scalars(select(Dirty.id).where(Dirty.kind == resource.name)))
    return sum(
        periods.fill(session, resource, [revision.id for revision in revisions if revision.id not in noted])
        for revisions in batches(session, resource)
    )


def reindex_bitmaps(session: Session) -> None:
    """Rebuild the bitmap index within the session's transaction."""
    version = lock_head(session).version
    for resource in RESOURCES:
        bitmaps.rebuild(session, resource, contents(session, resource))
    session.execute(update(Head).values(indexed=bitmaps.stamp(version)))
    head.forget(session)


def batches(session: Session, resource: Resource) -> Iterator[Sequence[Revision]]:
    """Yield the current revisions of a noun by id, `BATCH` at a time; each batch leaves the session when the next is read."""
    last = ""
    while True:
        following = select(Revision).where(Revision.kind == resource.name, Revision.id > last, *CURRENT)
        revisions = session.scalars(following.order_by(Revision.id).limit(BATCH)).all()
        if not revisions:
            return
        last = revisions[-1].id
        yield revisions
        session.expunge_all()


def contents(session: Session, resource: Resource) -> Iterator[tuple[int, Content]]:
    """Yield the version and the document of each current revision of a noun, by version."""
    versions = select(Revision.version, Revision.document).where(Revision.kind == resource.name, *CURRENT)
    for version, document in session.execute(versions.order_by(Revision.version).execution_options(yield_per=BATCH)):
        yield version, json.loads(document or "")


def has_words(session: Session) -> bool:
    """Tell whether the indexes have the words of this release; one that is older than the stamp does not write it."""
    indexed, version = session.execute(select(Head.indexed, Head.version)).one()
    # A stamp begins with the dimensions.
    return (indexed or "").split()[1:] == bitmaps.stamp(version).split()[1:]


def is_indexed(session: Session) -> bool:
    """Tell whether the search index holds the current versions and no others; their words are not compared."""
    version = fulltext.engine_of(session).version
    missing = select(Revision.version).where(*_searchable(), ~exists().where(version == Revision.version))
    return session.scalar(missing.limit(1)) is None and session.scalar(orphans(session).limit(1)) is None


def orphans(session: Session) -> Select[int]:
    """Return a SELECT of the versions in the search index that are not current."""
    engine = fulltext.engine_of(session)
    return engine.versions(~exists().where(Revision.version == engine.version, *_searchable()))


def _searchable() -> tuple[ColumnElement[bool], ...]:
    return (Revision.kind.in_([resource.name for resource in RESOURCES if resource.search]), *CURRENT)
