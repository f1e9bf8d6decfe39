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
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, literal_column, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, selectinload

from api.db.database import Database
from api.ledger import merkle
from api.ledger.digest import hash_buckets
from api.ledger.index import bitmaps, fulltext
from api.ledger.models import BATCH, EPOCH, Dirty, Head, Op, Revision
from api.resources import RESOURCES
from api.schema.canonical import PUBLICATION, Content, canonical_members, joined, sha256
from api.schema.fields import instant
from api.schema.resource import Resource

# PostgreSQL's cluster, and the timeline of its log, which every promotion and recovery changes.
ORIGIN: ColumnElement[str] = literal_column(
    "(select system_identifier || '-' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) from pg_control_system())"
).label("found")
# What reading a row can raise when its columns hold what their types do not: SQLite lets raw SQL do that.
UNREADABLE = (ValueError, TypeError, LookupError, OperationalError)


Progress = Callable[[int], None]


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
    for resource, ids in _dirty(session):
        _append(session, resource, ids, commit)
        if progress:
            progress(len(ids))
    if commit.version == commit.before:
        return Publication(commit.head, commit.head, commit.refused)
    for kind, numbers in commit.buckets.items():
        hash_buckets(session, kind, numbers)
    indexed = {"indexed": bitmaps.mark(commit.version)} if commit.indexed else {}
    session.execute(update(Head).values(version=commit.version, changed_at=commit.changed_at, chain=commit.chain, **indexed))
    return Publication(commit.before, commit.version, commit.refused)


def new_epoch(session: Session) -> int:
    """Begin a new epoch, so that no version is given twice to two different futures; returns its number.

    For a database that was restored, before anything is written to it.
    """
    return session.execute(update(Head).values(epoch=Head.epoch + 1).returning(Head.epoch)).scalar_one()


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


@dataclass
class _Commit:
    """What the revisions of one publication share, and how far it is; ``head`` is the version that there was.

    ``indexed``: the bitmap index was whole then, and is so still.
    """

    head: int
    before: int
    chain: bytes
    changed_at: dt.datetime
    reason: str | None
    author: str | None
    checked: AbstractSet[bytes]
    indexed: bool
    version: int = 0
    buckets: dict[str, set[int]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def revision(self, kind: str, id: str, members: Mapping[str, bytes] | None) -> dict[str, Any]:
        """Return the next revision: of what a record now is, or of its end."""
        self.version += 1
        document = _document(members, self.version, self.changed_at) if members else None
        row: dict[str, Any] = {
            "version": self.version,
            "commit_version": self.before + 1,
            "kind": kind,
            "id": id,
            "op": Op.UPSERT if members else Op.DELETE,
            "reason": self.reason,
            "author": self.author,
            "changed_at": self.changed_at,
            "document": document and document.decode(),
            "hash": members and sha256(members),
            "bucket": (number := merkle.bucket_of(kind, id)),
            "leaf": document and merkle.leaf(kind, id, document),
        }
        self.chain = linked(self.chain, row)
        self.buckets.setdefault(kind, set()).add(number)
        return {**row, "chain": self.chain}


def linked(before: bytes, row: Mapping[str, Any]) -> bytes:
    """Return the chain's hash at a revision, from that of the one before it."""
    facts = (row["version"], row["kind"], row["id"], row["op"].value, instant(row["changed_at"]))
    return merkle.link(before, *facts, leaf=row["leaf"])


def _lock(
    session: Session, reason: str | None = None, author: str | None = None, checked: AbstractSet[bytes] = frozenset()
) -> _Commit:
    """Take the head and wait for whoever holds it; a database that has come to another future begins a new epoch."""
    asked: list[Any] = [Head.epoch, Head.version, Head.changed_at, Head.chain, Head.origin, Head.indexed]
    if session.get_bind().dialect.name == "postgresql":
        asked.append(ORIGIN)
    head = session.execute(update(Head).values(one=1).returning(*asked)).one()
    epoch, origin = head.epoch, getattr(head, "found", None)
    if origin != head.origin:
        epoch += head.origin is not None
        session.execute(update(Head).values(epoch=epoch, origin=origin))
    now = dt.datetime.now(dt.UTC)
    # One clock for all writers that never runs backwards, whatever their own clocks say.
    changed_at = max(head.changed_at, now.replace(microsecond=now.microsecond // 1000 * 1000))
    before = max(head.version, epoch * EPOCH)
    indexed = head.indexed == bitmaps.mark(head.version)
    return _Commit(head.version, before, head.chain, changed_at, reason, author, checked, indexed, version=before)


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


def _append(session: Session, resource: Resource, ids: Sequence[str], commit: _Commit) -> None:
    """Add a revision for each record whose content differs from its current one."""
    contents, wrong = publishable(session, resource, ids, commit.checked)
    olds = current(session, resource.name, ids)
    added: list[dict[str, Any]] = []
    superseded: list[dict[str, int]] = []
    replaced: dict[int, Content] = {}
    for id in (id for id in ids if id not in wrong):
        content, old = contents.get(id), olds.get(id)
        members = canonical_members(content) if content else None
        if (members and sha256(members)) == (old and old.hash):
            continue
        added.append(commit.revision(resource.name, id, members))
        if old:
            superseded.append({"old": old.version, "new": commit.version})
            replaced |= {old.version: json.loads(old.document)} if old.document else {}
    if superseded:
        supersede = update(Revision).where(Revision.version == bindparam("old")).values(superseded=bindparam("new"))
        session.connection().execute(supersede, superseded)
    if added:
        session.execute(insert(Revision), added)
    upserts = {row["version"]: contents[row["id"]] for row in added if row["op"] is Op.UPSERT}
    fulltext.replace(session, resource, [pair["old"] for pair in superseded], upserts)
    if commit.indexed:
        try:
            bitmaps.replace(session, resource, replaced, upserts)
        except bitmaps.UnreadableError:
            # Nobody shall be kept from writing by what can be made anew: it stays behind, and is not asked.
            commit.indexed = False
    if wrong:
        session.execute(insert(Dirty), [{"kind": resource.name, "id": id} for id in wrong])
        commit.refused.extend(wrong.values())


def published(content: Content, version: int, changed_at: dt.datetime) -> str:
    """Return the document of a content, as it is published in a version."""
    return _document(canonical_members(content), version, changed_at).decode()


def _document(members: Mapping[str, bytes], version: int, changed_at: dt.datetime) -> bytes:
    own = canonical_members({"version": version, "updated_at": instant(changed_at)})
    return joined({**members, **own})
