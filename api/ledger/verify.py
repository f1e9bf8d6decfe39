"""Verifies everything that is stored: the ledger against the tables, its history and chain, the indexes and the digest."""

import json
from collections.abc import Iterator

from sqlalchemy import exists, func, select, text
from sqlalchemy.orm import Session

from api.ledger import bases, digest, merkle, scopes, tree_check
from api.ledger.commits import linked
from api.ledger.index import bitmaps, fulltext
from api.ledger.models import BATCH, CURRENT, EPOCH, Dirty, Head, Revision
from api.ledger.rebuild import batches, contents, orphans
from api.ledger.rendering import document_of, rendered
from api.resources import RESOURCES
from api.schema.canonical import Content, canonical, sha256
from api.schema.resource import Resource

REINDEX = "run `flask --app wsgi ledger reindex`"


def verify(session: Session) -> Iterator[str]:
    """Yield a line for each fault.

    Renders every document and computes every hash again, piece by piece: memory does not grow with the number of records.
    """
    unpublished = session.scalar(select(func.count()).select_from(Dirty))
    if unpublished:
        yield f"changes noted but not published: {unpublished}; run `flask --app wsgi ledger sweep`"
    yield from _verify_foreign_keys(session)
    yield from _verify_versions(session)
    yield from _verify_history(session)
    for resource in RESOURCES:
        yield from _verify_documents(session, resource)
        yield from _verify_all_published(session, resource)
    for fault in bases.faults(session):
        yield f"{fault}; {REINDEX}"
    yield from _verify_index(session)
    yield from _verify_digest(session)


def _verify_foreign_keys(session: Session) -> Iterator[str]:
    if session.connection().dialect.name == "sqlite":
        # Other programs can break references, because SQLite does not enforce foreign keys by default.
        for table, row, referred, _ in session.execute(text("pragma foreign_key_check")):
            yield f"{table}, row {row}: refers to what is not in {referred}"


def _verify_versions(session: Session) -> Iterator[str]:
    head = session.scalars(select(Head)).one()
    epoch = Revision.version // EPOCH
    spans = select(epoch, func.min(Revision.version), func.max(Revision.version), func.count()).group_by(epoch)
    for number, low, high, count in session.execute(spans.order_by(epoch)):
        if low != number * EPOCH + 1 or high - low + 1 != count:
            yield f"epoch {number}: {count} revisions between version {low} and {high}: not dense"
    last = session.scalar(select(func.max(Revision.version))) or 0
    if head.version != last:
        yield f"the head is at version {head.version}, the last revision at {last}"
    following = func.lead(Revision.version).over(partition_by=(Revision.kind, Revision.id), order_by=Revision.version)
    chain = select(Revision.version, Revision.superseded, following.label("following")).subquery()
    broken = select(chain.c.version).where(chain.c.superseded.is_distinct_from(chain.c.following))
    for version in session.scalars(broken.order_by(chain.c.version)):
        yield f"version {version}: not superseded by its record's next revision"


def _verify_history(session: Session) -> Iterator[str]:
    first, last = func.min(Revision.version), func.max(Revision.version)
    torn = select(Revision.commit_version).group_by(Revision.commit_version)
    for commit in session.scalars(torn.having((first != Revision.commit_version) | (last - first + 1 != func.count()))):
        yield f"commit {commit}: its versions do not begin with it, or are not dense"
    yield from _verify_chain(session)


def _verify_chain(session: Session) -> Iterator[str]:
    """Follow the chain from its beginning, and compare each stored document with its hashes."""
    columns = ("version", "kind", "id", "op", "changed_at", "document", "hash", "superseded", "bucket", "leaf", "chain")
    rows = select(*(getattr(Revision, name) for name in columns)).order_by(Revision.version)
    before = merkle.GENESIS
    for row in session.execute(rows.execution_options(yield_per=BATCH)):
        if row.document is not None and row.leaf != merkle.leaf(row.kind, row.id, row.document.encode()):
            yield f"version {row.version}: the stored document is not what was published"
        # `_verify_documents` compares the current documents with the tables.
        elif row.document is not None and row.superseded is not None:
            content = json.loads(row.document)
            if (content["version"], sha256(content), canonical(content).decode()) != (
                row.version,
                row.hash,
                row.document,
            ):
                yield f"version {row.version}: the stored document is not what its hash says"
        if row.bucket != merkle.key(row.kind, row.id)[0]:
            yield f"version {row.version}: not in the part of its record"
        if row.chain != linked(before, row._asdict()):
            yield f"version {row.version}: the chain is broken"
        before = row.chain
    if before != session.scalar(select(Head.chain)):
        yield "the head's chain is not that of the last revision"


def _verify_documents(session: Session, resource: Resource) -> Iterator[str]:
    """Compare the current documents of a noun with the tables, and their entries in the search index with them."""
    is_misplaced = False
    for revisions in batches(session, resource):
        now = rendered(session, resource, [revision.id for revision in revisions])
        yield from now.refused.values()
        agreed: dict[int, Content] = {}
        for revision in (revision for revision in revisions if revision.id not in now.refused):
            content = now.contents.get(revision.id)
            if fault := _fault(revision, content):
                yield f"{resource.name}/{revision.id}: {fault}"
            elif content is not None:
                agreed[revision.version] = content
        ids = {revision.version: revision.id for revision in revisions}
        current = {ids[version] for version in agreed}
        for id in (id for id in now.stale if id in current):
            yield f"{resource.name}/{id}: its filters and sort keys do not stand for its dates; {REINDEX}"
        is_misplaced |= bool(scopes.wrong(session, resource, [*agreed]))
        for version, fault in fulltext.faults(session, resource, agreed).items():
            yield f"{resource.name}/{ids[version]}: {fault}; {REINDEX}"
    if is_misplaced:
        yield f"{resource.name}: in feeds of other cities or surveys than the tables say; {REINDEX}"


def _fault(revision: Revision, content: Content | None) -> str | None:
    """Return how a current revision differs from the content that the tables have for its record; None if they agree."""
    if content is None:
        return "published, but not in the table"
    if revision.hash != sha256(content):
        return f"the document of version {revision.version} is not what the table says"
    document = document_of(content, revision.version, revision.changed_at)
    if revision.document != document.decode():
        return f"the stored bytes of version {revision.version} are not its document's"
    return None


def _verify_all_published(session: Session, resource: Resource) -> Iterator[str]:
    is_published = exists().where(Revision.kind == resource.name, Revision.id == resource.model.id, *CURRENT)
    missing = select(resource.model.id).where(~is_published).order_by(resource.model.id)
    for id in session.scalars(missing.execution_options(yield_per=BATCH)):
        yield f"{resource.name}/{id}: in the table, but not published"


def _verify_index(session: Session) -> Iterator[str]:
    for version in session.scalars(orphans(session).execution_options(yield_per=BATCH)):
        yield f"version {version}: in the search index, but not current; {REINDEX}"
    if fulltext.engine_of(session).torn(session):
        yield f"the search index does not hold the words of its entries; {REINDEX}"
    head = session.scalars(select(Head)).one()
    if head.indexed != bitmaps.stamp(head.version):
        yield f"the bitmap index is behind, and not used; {REINDEX}"
    for resource in RESOURCES:
        for dimension, value in bitmaps.faults(session, resource, contents(session, resource)):
            yield f"{resource.name}, {dimension} {value}: its set in the bitmap index differs from its records; {REINDEX}"


def _verify_digest(session: Session) -> Iterator[str]:
    version, stored = session.scalars(select(Head.version)).one(), digest.load(session, ()).version
    if stored != version:
        yield f"the digest is at version {stored}; the next write stores what an older release has published since"
        return
    for path in tree_check.faults(session):
        yield f"digest, node {path}: it is not that of its records; {REINDEX}"
