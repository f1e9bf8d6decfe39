"""The ledger: every published state of every record, in commit order.

The nouns' tables are the truth; triggers on them note which records changed (`Dirty`), by whatever
route. `publish` renders those records and appends what differs as revisions. One row, `Head`, is updated
by every publication as its last lock and held to commit: so versions are dense and appear in commit
order, and whoever sees version *v* sees every version below it.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Index,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column, selectinload

from api import search
from api.db import Base, Database, Version, choice
from api.documents import PUBLICATION, Content, canonical, canonical_members, content_sha256, instant, joined, sha256
from api.resource import Resource
from api.resources import RESOURCES

EPOCH = 10**12
BATCH = 500
REINDEX = "run `flask --app wsgi ledger reindex`"
# What reading a row can raise when its columns hold what their types do not: SQLite lets raw SQL do that.
UNREADABLE = (ValueError, TypeError, LookupError, OperationalError)


Progress = Callable[[int], None]


class Op(StrEnum):
    """What a revision did to its record."""

    UPSERT = "upsert"
    DELETE = "delete"


class Revision(Base):
    """One published state of one record; the current one is not superseded."""

    __tablename__ = "revision"
    version: Mapped[int] = mapped_column(Version, primary_key=True, autoincrement=False)
    commit_version: Mapped[int] = mapped_column(Version)
    kind: Mapped[str]
    id: Mapped[str]
    op: Mapped[Op] = mapped_column(choice(Op, "op"))
    reason: Mapped[str | None]
    author: Mapped[str | None]
    changed_at: Mapped[dt.datetime]
    document: Mapped[str | None]
    hash: Mapped[str | None]
    superseded: Mapped[int | None] = mapped_column(Version)
    __table_args__ = (
        CheckConstraint("(op = 'delete') = (document is null) and (document is null) = (hash is null)", name="document"),
        CheckConstraint("superseded > version", name="superseded"),
        Index(None, "kind", "id", "version"),
        Index(None, "changed_at", "version"),
        Index(None, "commit_version"),
    )


# What readers see: the last revision of each record that is not deleted.
CURRENT = (Revision.superseded.is_(None), Revision.op == Op.UPSERT)

Index(
    "ix_revision_current",
    Revision.kind,
    Revision.id,
    unique=True,
    sqlite_where=CURRENT[0],
    postgresql_where=CURRENT[0],
)
Index(
    "ix_revision_current_version",
    Revision.kind,
    Revision.version,
    sqlite_where=CURRENT[0],
    postgresql_where=CURRENT[0],
)


class Head(Base):
    """The one row that says how far the ledger is."""

    __tablename__ = "ledger_head"
    one: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    version: Mapped[int] = mapped_column(Version)
    changed_at: Mapped[dt.datetime]
    __table_args__ = (CheckConstraint("one = 1", name="one"),)


class Dirty(Base):
    """A record that changed since it was last published; written by triggers only."""

    __tablename__ = "ledger_dirty"
    seq: Mapped[int] = mapped_column(Version, primary_key=True)
    kind: Mapped[str]
    id: Mapped[str]


@dataclass(frozen=True)
class Publication:
    """What one commit published: the versions after ``before`` up to ``version``, and what it could not."""

    before: int
    version: int
    refused: Sequence[str] = ()

    @property
    def revisions(self) -> int:
        """How many revisions it added."""
        return self.version - self.before


@contextmanager
def writing(database: Database, *, reason: str | None = None) -> Iterator[Session]:
    """Open a session whose changes are published and committed, together, at the end of the block."""
    with database.writing() as session:
        yield session
        publish(session, reason=reason)


def settle(session: Session) -> Publication:
    """Take the head, so that nobody else publishes before this transaction's end, and publish what raw SQL has changed.

    From then on the current revisions are what the tables say.
    """
    return publish(session, reason="sweep")


def publish(
    session: Session,
    *,
    reason: str | None = None,
    author: str | None = None,
    progress: Progress | None = None,
    checked: AbstractSet[bytes] = frozenset(),
) -> Publication:
    """Append what changed to the ledger, within the session's transaction; ``author`` is the name of a key.

    ``progress`` is told of every so many records; ``checked`` are the marks of contents that their schema is known to allow.

    The transaction must be READ COMMITTED, and the caller commits at once: everyone else who publishes
    waits for it. Records whose document says the same as before are left alone. One that raw SQL made
    into what its schema forbids stays noted, and stays as it was published: it must not stop everyone else.
    """
    session.flush()
    commit = _lock(session, reason, author, checked)
    version = commit.before
    for resource, ids in _dirty(session):
        version = _append(session, resource, ids, commit, version)
        if progress:
            progress(len(ids))
    if version > commit.before:
        session.execute(update(Head).values(version=version, changed_at=commit.changed_at))
    return Publication(commit.before, version, commit.refused)


def sweep(database: Database, *, reason: str | None = "sweep") -> Publication:
    """Publish what was written past the application, as by raw SQL; returns what that was."""
    with database.writing() as session:
        return publish(session, reason=reason)


def render(session: Session, resource: Resource, ids: Sequence[str]) -> dict[str, Content]:
    """Render records as the database now holds them: id to content, without the publication's fields."""
    parts = [_eagerly(path) for path in resource.parts]
    statement = select(resource.model).where(resource.model.id.in_(ids)).options(*parts)
    # What this session remembers may be older than what another transaction has committed since.
    rows = session.scalars(statement.execution_options(populate_existing=True))
    schema = resource.schema(exclude=PUBLICATION)
    return {row.id: schema.dump(row) for row in rows}


def mark(content: Content) -> bytes:
    """Return what tells a content from all others, for less than its canonical form costs."""
    return hashlib.sha256(repr(content).encode(errors="surrogatepass")).digest()


def publishable(
    session: Session, resource: Resource, ids: Sequence[str], checked: AbstractSet[bytes] = frozenset()
) -> tuple[dict[str, Content], dict[str, str]]:
    """Render records and check them against their schema: the contents, and why others can't be published, by id."""
    try:
        contents = render(session, resource, ids)
    except UNREADABLE as error:
        if len(ids) == 1:
            return {}, {ids[0]: f"{resource.name}/{ids[0]}: can't be published: {_reason(error)}"}
        each = [publishable(session, resource, [id], checked) for id in ids]
        return {k: v for found, _ in each for k, v in found.items()}, {k: v for _, wrong in each for k, v in wrong.items()}
    schema = resource.schema(exclude=PUBLICATION)
    doubtful = {id: content for id, content in contents.items() if not checked or mark(content) not in checked}
    wrong = {id: json.dumps(found) for id, content in doubtful.items() if (found := schema.validate(content))}
    good = {id: content for id, content in contents.items() if id not in wrong}
    return good, {id: f"{resource.name}/{id}: can't be published: {found}" for id, found in wrong.items()}


def _reason(error: Exception) -> str:
    """Return what an exception says; a database's own fault is raised again, since it is not the record's."""
    if isinstance(error, OperationalError) and "decode" not in str(error):
        raise error
    return str(error).splitlines()[0]


def _eagerly(path: Sequence[Any]) -> Any:
    option = selectinload(path[0].class_attribute)
    for step in path[1:]:
        option = option.selectinload(step.class_attribute)
    return option


@dataclass(frozen=True)
class _Commit:
    """What the revisions of one publication share."""

    before: int
    changed_at: dt.datetime
    reason: str | None
    author: str | None
    checked: AbstractSet[bytes]
    refused: list[str] = field(default_factory=list)


def _lock(
    session: Session, reason: str | None = None, author: str | None = None, checked: AbstractSet[bytes] = frozenset()
) -> _Commit:
    """Take the head and wait for whoever holds it."""
    head = session.execute(update(Head).values(one=1).returning(Head.version, Head.changed_at)).one()
    now = dt.datetime.now(dt.UTC)
    # One clock for all writers that never runs backwards, whatever their own clocks say.
    changed_at = max(head.changed_at, now.replace(microsecond=now.microsecond // 1000 * 1000))
    return _Commit(head.version, changed_at, reason, author, checked)


def _dirty(session: Session) -> Iterator[tuple[Resource, list[str]]]:
    """Take the noted records, in the order of publication: by noun, then by id."""
    # The notes of a noun that a newer release has brought are for that release.
    ours = Dirty.kind.in_([resource.name for resource in RESOURCES])
    noted = set(session.execute(delete(Dirty).where(ours).returning(Dirty.kind, Dirty.id)))
    for resource in RESOURCES:
        ids = sorted(id for kind, id in noted if kind == resource.name)
        for start in range(0, len(ids), BATCH):
            yield resource, ids[start : start + BATCH]


def current(session: Session, kind: str, ids: Sequence[str]) -> dict[str, Revision]:
    """Return the current revisions of some records, deletions included."""
    found = session.scalars(
        select(Revision).where(Revision.kind == kind, Revision.id.in_(ids), Revision.superseded.is_(None)),
        execution_options={"populate_existing": True},
    )
    return {revision.id: revision for revision in found}


def _append(session: Session, resource: Resource, ids: Sequence[str], commit: _Commit, version: int) -> int:
    """Add a revision for each record whose content differs from its current one; returns the last version."""
    contents, wrong = publishable(session, resource, ids, commit.checked)
    olds = current(session, resource.name, ids)
    added: list[dict[str, Any]] = []
    superseded: list[dict[str, int]] = []
    for id in (id for id in ids if id not in wrong):
        content, old = contents.get(id), olds.get(id)
        members = canonical_members(content) if content else None
        digest = sha256(members) if members else None
        if digest == (old.hash if old else None):
            continue
        version += 1
        added.append(
            {
                "version": version,
                "commit_version": commit.before + 1,
                "kind": resource.name,
                "id": id,
                "op": Op.UPSERT if content else Op.DELETE,
                "reason": commit.reason,
                "author": commit.author,
                "changed_at": commit.changed_at,
                "document": _document(members, version, commit.changed_at) if members else None,
                "hash": digest,
            }
        )
        if old:
            superseded.append({"old": old.version, "new": version})
    if superseded:
        supersede = update(Revision).where(Revision.version == bindparam("old")).values(superseded=bindparam("new"))
        session.connection().execute(supersede, superseded)
    if added:
        session.execute(insert(Revision), added)
    upserts = {row["version"]: contents[row["id"]] for row in added if row["op"] is Op.UPSERT}
    search.replace(session, resource, [pair["old"] for pair in superseded], upserts)
    if wrong:
        session.execute(insert(Dirty), [{"kind": resource.name, "id": id} for id in wrong])
        commit.refused.extend(wrong.values())
    return version


def reindex(session: Session) -> int:
    """Make the search index anew from what is published, within the session's transaction; returns how many it holds."""
    _lock(session)
    search.engine_of(session).clear(session)
    count = 0
    for resource in RESOURCES:
        last = ""
        while resource.search and (page := _page(session, resource, last)):
            search.replace(session, resource, [], {row.version: json.loads(row.document or "") for row in page})
            count, last = count + len(page), page[-1].id
            session.expunge_all()
    return count


def is_indexed(session: Session) -> bool:
    """Tell whether the search index holds the current versions and no others, whatever it says of them."""
    version = search.engine_of(session).version
    missing = select(Revision.version).where(*_searchable(), ~exists().where(version == Revision.version))
    return session.scalar(missing.limit(1)) is None and session.scalar(_orphans(session).limit(1)) is None


def _searchable() -> tuple[ColumnElement[bool], ...]:
    return (Revision.kind.in_([resource.name for resource in RESOURCES if resource.search]), *CURRENT)


def _orphans(session: Session) -> Select[int]:
    """Select what the search index holds besides the current versions."""
    engine = search.engine_of(session)
    return engine.versions(~exists().where(Revision.version == engine.version, *_searchable()))


def commit(session: Session, version: int, most: int) -> Sequence[Revision]:
    """Return the first revisions of the commit that has this version as its first; none where there is no such commit."""
    revisions = select(Revision).where(Revision.commit_version == version)
    return session.scalars(revisions.order_by(Revision.version).limit(most)).all()


def commit_of(session: Session, version: int) -> int | None:
    """Return the commit that a version is of."""
    return session.scalar(select(Revision.commit_version).where(Revision.version == version))


def last_version(session: Session, version: int) -> int | None:
    """Return the last version of a commit."""
    return session.scalar(select(func.max(Revision.version)).where(Revision.commit_version == version))


def _page(session: Session, resource: Resource, last: str) -> Sequence[Revision]:
    """Return the next current revisions of a noun, deletions excluded, by id."""
    following = select(Revision).where(Revision.kind == resource.name, Revision.id > last, *CURRENT)
    return session.scalars(following.order_by(Revision.id).limit(BATCH)).all()


def _document(members: Mapping[str, bytes], version: int, changed_at: dt.datetime) -> str:
    published = canonical_members({"version": version, "updated_at": instant(changed_at)})
    return joined({**members, **published}).decode()


def verify(session: Session) -> Iterator[str]:
    """Compare the ledger with the tables; yields a line for each thing that is not as it must be.

    Every document is rendered anew and every hash recomputed; memory stays constant.
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
        published = exists().where(Revision.kind == resource.name, Revision.id == resource.model.id, *CURRENT)
        for id in session.scalars(select(resource.model.id).where(~published).order_by(resource.model.id)):
            yield f"{resource.name}/{id}: in the table, but not published"
    yield from _verify_index(session)


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
    past = select(Revision.version, Revision.document, Revision.hash).where(
        Revision.superseded.is_not(None), Revision.op == Op.UPSERT
    )
    for version, document, digest in session.execute(past.order_by(Revision.version).execution_options(yield_per=BATCH)):
        content = json.loads(document or "null")
        if content["version"] != version or content_sha256(content) != digest or canonical(content).decode() != document:
            yield f"version {version}: the stored document is not what was published"


def _verify_documents(session: Session, resource: Resource) -> Iterator[str]:
    last = ""
    while page := _page(session, resource, last):
        contents, wrong = publishable(session, resource, [revision.id for revision in page])
        yield from wrong.values()
        agreed: dict[int, Content] = {}
        for revision in (revision for revision in page if revision.id not in wrong):
            content = contents.get(revision.id)
            if content is None:
                yield f"{resource.name}/{revision.id}: published, but not in the table"
            elif revision.hash != content_sha256(content):
                yield f"{resource.name}/{revision.id}: the document of version {revision.version} is not what the table says"
            elif revision.document != _document(canonical_members(content), revision.version, revision.changed_at):
                yield f"{resource.name}/{revision.id}: the stored bytes of version {revision.version} are not its document's"
            else:
                agreed[revision.version] = content
        ids = {revision.version: revision.id for revision in page}
        for version, fault in search.faults(session, resource, agreed).items():
            yield f"{resource.name}/{ids[version]}: {fault}; {REINDEX}"
        last = page[-1].id
        session.expunge_all()


def _verify_index(session: Session) -> Iterator[str]:
    for version in session.scalars(_orphans(session).execution_options(yield_per=BATCH)):
        yield f"version {version}: in the search index, but not current; {REINDEX}"
    if search.engine_of(session).torn(session):
        yield f"the search index does not hold the words of its entries; {REINDEX}"
