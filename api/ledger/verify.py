"""The check of everything that is kept: the ledger against the tables, the search index, the digest and the chain."""

import json
from collections.abc import Iterator

from sqlalchemy import exists, func, select, text
from sqlalchemy.orm import Session

from api.ledger import merkle
from api.ledger.digest import leaves_of
from api.ledger.index import bitmaps, fulltext
from api.ledger.models import BATCH, CURRENT, EPOCH, Bucket, Dirty, Head, Revision
from api.ledger.publish import linked, publishable, published
from api.ledger.rebuild import contents, orphans, page
from api.resources import RESOURCES
from api.schema.canonical import Content, canonical, content_sha256
from api.schema.resource import Resource

REINDEX = "run `flask --app wsgi ledger reindex`"


def verify(session: Session) -> Iterator[str]:
    """Compare the ledger with the tables; yields a line for each thing that is not as it must be.

    Every document is rendered anew and every hash recomputed; of memory, a record takes some bytes.
    """
    unpublished = session.scalar(select(func.count()).select_from(Dirty))
    if unpublished:
        yield f"changes noted but not published: {unpublished}; run `flask --app wsgi ledger sweep`"
    if session.connection().dialect.name == "sqlite":
        # Programs that leave foreign keys off, as SQLite does by itself, can break references unnoticed.
        for table, row, referred, _ in session.execute(text("pragma foreign_key_check")):
            yield f"{table}, row {row}: refers to what is not in {referred}"
    yield from _verify_versions(session)
    yield from _verify_history(session)
    for resource in RESOURCES:
        yield from _verify_documents(session, resource)
        is_published = exists().where(Revision.kind == resource.name, Revision.id == resource.model.id, *CURRENT)
        for id in session.scalars(select(resource.model.id).where(~is_published).order_by(resource.model.id)):
            yield f"{resource.name}/{id}: in the table, but not published"
    yield from _verify_index(session)
    yield from _verify_buckets(session)


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
    """Follow the chain from its beginning, and see that what is left of the past is what was published."""
    columns = ("version", "kind", "id", "op", "changed_at", "document", "hash", "superseded", "bucket", "leaf", "chain")
    rows = select(*(getattr(Revision, name) for name in columns)).order_by(Revision.version)
    before = merkle.GENESIS
    for row in session.execute(rows.execution_options(yield_per=BATCH)):
        if row.document is not None and row.leaf != merkle.leaf(row.kind, row.id, row.document.encode()):
            yield f"version {row.version}: the stored document is not what was published"
        elif row.document is not None and row.superseded is not None:
            content = json.loads(row.document)
            if (content["version"], content_sha256(content), canonical(content).decode()) != (
                row.version,
                row.hash,
                row.document,
            ):
                yield f"version {row.version}: the stored document is not what its hash says"
        if row.bucket != merkle.bucket_of(row.kind, row.id):
            yield f"version {row.version}: not in the bucket of its record"
        if row.chain != linked(before, row._asdict()):
            yield f"version {row.version}: the chain is broken"
        before = row.chain
    if before != session.scalar(select(Head.chain)):
        yield "the head's chain is not that of the last revision"


def _verify_buckets(session: Session) -> Iterator[str]:
    every = frozenset(range(merkle.BUCKETS))
    for kind in session.scalars(select(Revision.kind).union(select(Bucket.kind))).all():
        found = {
            number: (len(leaves), merkle.bucket(leaves)) for number, leaves in leaves_of(session, kind, every, *CURRENT).items()
        }
        rows = session.execute(select(Bucket.number, Bucket.records, Bucket.sha256).where(Bucket.kind == kind))
        kept = {number: (records, sha256) for number, records, sha256 in rows}
        for number in sorted(number for number in every if found.get(number) != kept.get(number)):
            yield f"{kind}, bucket {number}: its hash is not that of its records"


def _verify_documents(session: Session, resource: Resource) -> Iterator[str]:
    last = ""
    while rows := page(session, resource, last):
        rendered, wrong = publishable(session, resource, [revision.id for revision in rows])
        yield from wrong.values()
        agreed: dict[int, Content] = {}
        for revision in (revision for revision in rows if revision.id not in wrong):
            content = rendered.get(revision.id)
            if content is None:
                yield f"{resource.name}/{revision.id}: published, but not in the table"
            elif revision.hash != content_sha256(content):
                yield f"{resource.name}/{revision.id}: the document of version {revision.version} is not what the table says"
            elif revision.document != published(content, revision.version, revision.changed_at):
                yield f"{resource.name}/{revision.id}: the stored bytes of version {revision.version} are not its document's"
            else:
                agreed[revision.version] = content
        ids = {revision.version: revision.id for revision in rows}
        for version, fault in fulltext.faults(session, resource, agreed).items():
            yield f"{resource.name}/{ids[version]}: {fault}; {REINDEX}"
        last = rows[-1].id
        session.expunge_all()


def _verify_index(session: Session) -> Iterator[str]:
    for version in session.scalars(orphans(session).execution_options(yield_per=BATCH)):
        yield f"version {version}: in the search index, but not current; {REINDEX}"
    if fulltext.engine_of(session).torn(session):
        yield f"the search index does not hold the words of its entries; {REINDEX}"
    head = session.scalars(select(Head)).one()
    if head.indexed != bitmaps.mark(head.version):
        yield f"the bitmap index is behind, and not asked; {REINDEX}"
    for resource in RESOURCES:
        for dimension, value in bitmaps.faults(session, resource, contents(session, resource)):
            yield f"{resource.name}, {dimension} {value}: the bitmap index is not of the records that say so; {REINDEX}"
