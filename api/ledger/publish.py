"""Publication: each changed record becomes a revision of the ledger, in commit order.

The nouns' tables are the truth. Triggers on them note which records changed (`Dirty`), so raw SQL, cascades and migrations
are covered. `publish` renders those records and appends a revision for each document that differs from the last one.

Every publication updates the one row of `Head` and keeps that lock until it commits. So versions are dense, they appear in
commit order, and a reader who sees a version sees every version below it.
"""

import datetime as dt
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import head, merkle, periods
from api.ledger.digest import hash_buckets
from api.ledger.epochs import lock_head
from api.ledger.index import bitmaps, fulltext
from api.ledger.index.versions import UnreadableError
from api.ledger.models import BATCH, Dirty, Head, Op, Revision
from api.ledger.rendering import document_of, publishable
from api.resources import BY_NAME, RESOURCES
from api.schema.canonical import Content, canonical_members, sha256
from api.schema.fields import instant
from api.schema.resource import Resource

# Notes about changed records that are read at once.
NOTES = 50_000
# Is called with the number of records of each batch.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Publication:
    """The result of one publication: it added the versions after ``before`` up to ``version``.

    ``refused`` has a line for each record that cannot be published.
    """

    before: int
    version: int
    refused: Sequence[str] = ()

    @property
    def revisions(self) -> int:
        """The number of revisions that it added."""
        return self.version - self.before


def wait(session: Session) -> None:
    """Lock the head until the transaction ends, without changing it, even if a savepoint of the transaction is rolled back.

    On SQLite, where `FOR UPDATE` means nothing, the transaction that writes has its lock already.
    """
    session.execute(select(Head.one).with_for_update())


def settle(session: Session) -> Publication:
    """Lock the head until the transaction ends, and publish what raw SQL has changed.

    From here on the current revisions say what the tables say.
    """
    return publish(session, reason="sweep")


def sweep(database: Database, *, reason: str | None = "sweep") -> Publication:
    """Publish and commit what was written without the application, such as by raw SQL."""
    with database.writing() as session:
        return publish(session, reason=reason)


def publish(
    session: Session,
    *,
    reason: str | None = None,
    author: str | None = None,
    progress: Progress | None = None,
    checked: AbstractSet[bytes] = frozenset(),
) -> Publication:
    """Append a revision for each changed record, within the session's transaction.

    ``author`` is the name of an API key, or of the person who imports files; ``checked`` has the `quick_hash` of each content
    that was validated already. The transaction must be READ COMMITTED, and the caller should commit at once, because every
    other publication waits for it.

    A record whose document is unchanged gets no revision. A record that raw SQL made unpublishable keeps its last revision
    and its note, so that it does not block the others.
    """
    session.flush()
    locked = lock_head(session)
    commit = _Commit(locked.before, locked.chain, locked.now, reason, author, indexed=locked.indexed)
    filled = True
    while filled:
        # To fill the columns of dates that raw SQL has written is a change itself, which the triggers note.
        filled = False
        for resource, causes in _take_dirty(session):
            filled |= _append(session, resource, causes, commit, checked)
            if progress:
                progress(len(causes))
    if commit.refused:
        session.execute(insert(Dirty), [{"kind": kind, "id": id} for kind, id in commit.refused])
    faults = [*commit.refused.values()]
    if commit.version == commit.before:
        return Publication(locked.version, locked.version, faults)
    _advance_head(session, commit)
    return Publication(commit.before, commit.version, faults)


def publish_erasure(session: Session, kind: str, id: str) -> None:
    """Append a deletion that erases a record's past, and publish the record again in the same commit if it lives on.

    Copies therefore need to know no revision: what came before is to be deleted, and what is right follows.
    """
    locked, old = lock_head(session), last_revisions(session, kind, [id])[id]
    commit = _Commit(locked.before, locked.chain, locked.now, "erase", None, indexed=locked.indexed)
    content = json.loads(old.document) if old.document else None
    rows = [{**commit.revision(kind, id, None), "erases": True, "superseded": None}]
    if content:
        again = commit.revision(kind, id, canonical_members(content))
        rows[0]["superseded"] = again["version"]
        rows.append({**again, "erases": False, "superseded": None})
    _write(session, rows, {rows[0]["version"]: old})
    if content:
        _index(session, BY_NAME[kind], commit, [old], {commit.version: content})
    _advance_head(session, commit)


def _advance_head(session: Session, commit: "_Commit") -> None:
    """Hash the changed buckets, and move the head to the commit's last version."""
    for kind, numbers in commit.buckets.items():
        hash_buckets(session, kind, numbers)
    values: dict[str, Any] = {"version": commit.version, "changed_at": commit.changed_at, "chain": commit.chain}
    if commit.indexed:
        values["indexed"] = bitmaps.stamp(commit.version)
    session.execute(update(Head).values(values))
    head.forget(session)


# --- revisions


class _Cause(NamedTuple):
    """Why a record changed, and who changed it."""

    reason: str | None
    author: str | None


UNKNOWN = _Cause(None, None)


@dataclass
class _Commit:
    """The revisions of one publication as they are made: those after ``before``, so far up to ``version``.

    ``chain`` is the hash of the last one, ``buckets`` are those that changed, by noun. ``indexed``: the bitmap index has all of
    them.
    """

    before: int
    chain: bytes
    changed_at: dt.datetime
    reason: str | None
    author: str | None
    indexed: bool
    version: int = field(init=False)
    buckets: dict[str, set[int]] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without revisions."""
        self.version = self.before

    def revision(self, kind: str, id: str, members: Mapping[str, bytes] | None, cause: _Cause = UNKNOWN) -> dict[str, Any]:
        """Return the row of the next revision: a record's canonical members, or None for a deletion.

        A cause of the record's own goes before the commit's.
        """
        self.version += 1
        document = document_of(members, self.version, self.changed_at) if members else None
        row: dict[str, Any] = {
            "version": self.version,
            "commit_version": self.before + 1,
            "kind": kind,
            "id": id,
            "op": Op.UPSERT if members else Op.DELETE,
            **(cause if cause.reason else _Cause(self.reason, self.author))._asdict(),
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
    """Return the chain's hash at a revision, given the hash at the revision before it."""
    facts = (row["version"], row["kind"], row["id"], row["op"].value, instant(row["changed_at"]))
    return merkle.link(before, *facts, leaf=row["leaf"])


def last_revisions(session: Session, kind: str, ids: Sequence[str]) -> dict[str, Revision]:
    """Return the last revisions of some records by id, deletions included."""
    revisions = session.scalars(
        select(Revision).where(Revision.kind == kind, Revision.id.in_(ids), Revision.superseded.is_(None)),
        execution_options={"populate_existing": True},
    )
    return {revision.id: revision for revision in revisions}


def _take_dirty(session: Session) -> Iterator[tuple[Resource, Mapping[str, _Cause]]]:
    """Delete the notes about changed records, and yield these in batches, in the order of publication: by noun, then by id.

    Each id has the reason that its notes give, if any.
    Only `NOTES` of them are in memory; if there are more, the order begins again with each of these pieces.
    """
    # Notes about the nouns of a newer release are left to that release.
    is_known = Dirty.kind.in_([resource.name for resource in RESOURCES])
    oldest = select(Dirty.seq).where(is_known).order_by(Dirty.seq).limit(NOTES)
    taken = delete(Dirty).where(Dirty.seq.in_(oldest)).returning(Dirty.kind, Dirty.id, Dirty.reason, Dirty.author)
    is_last = False
    while not is_last:
        notes = session.execute(taken).all()
        is_last = len(notes) < NOTES
        causes = {(kind, id): UNKNOWN for kind, id, _, _ in notes}
        causes |= {(kind, id): _Cause(reason, author) for kind, id, reason, author in notes if reason}
        for resource in RESOURCES:
            noted = sorted((id, cause) for (kind, id), cause in causes.items() if kind == resource.name)
            for start in range(0, len(noted), BATCH):
                yield resource, dict(noted[start : start + BATCH])


def _append(
    session: Session, resource: Resource, causes: Mapping[str, _Cause], commit: _Commit, checked: AbstractSet[bytes]
) -> bool:
    """Add a revision for each record whose content differs from its last revision; refuse what cannot be published.

    Returns whether it filled columns of dates.
    """
    ids = [*causes]
    contents, refused = publishable(session, resource, ids, checked)
    last = last_revisions(session, resource.name, ids)
    rows: list[dict[str, Any]] = []
    superseded: dict[int, Revision] = {}
    for id in (id for id in ids if id not in refused):
        old, members = last.get(id), canonical_members(contents[id]) if id in contents else None
        if (members and sha256(members)) != (old and old.hash):
            rows.append(commit.revision(resource.name, id, members, causes[id]))
            if old:
                superseded[commit.version] = old
    _write(session, rows, superseded)
    added = {row["version"]: contents[row["id"]] for row in rows if row["op"] is Op.UPSERT}
    _index(session, resource, commit, superseded.values(), added)
    commit.refused |= {(resource.name, id): fault for id, fault in refused.items()}
    return periods.fill(session, resource, [*contents]) > 0


def _write(session: Session, rows: Sequence[Mapping[str, Any]], superseded: Mapping[int, Revision]) -> None:
    """Insert revisions, and mark those that they supersede; these are given by the versions of the new ones."""
    if superseded:
        statement = update(Revision).where(Revision.version == bindparam("old")).values(superseded=bindparam("new"))
        parameters = [{"old": old.version, "new": version} for version, old in superseded.items()]
        session.connection().execute(statement, parameters)
    if rows:
        session.execute(insert(Revision), rows)


def _index(
    session: Session,
    resource: Resource,
    commit: _Commit,
    superseded: Collection[Revision],
    added: Mapping[int, Content],
) -> None:
    """Take superseded revisions out of the indexes, and put the contents of new versions into them."""
    fulltext.replace(session, resource, [old.version for old in superseded], added)
    if commit.indexed:
        removed = {old.version: json.loads(old.document) for old in superseded if old.document}
        try:
            bitmaps.replace(session, resource, removed, added)
        except UnreadableError:
            # A damaged index must not block a write: it stays behind, and readers do without it until it is rebuilt.
            commit.indexed = False
