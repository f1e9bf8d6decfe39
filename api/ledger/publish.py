"""Publication: each changed record becomes a revision of the ledger, in commit order.

The nouns' tables are the truth. Triggers on them note which records changed (`Dirty`), so raw SQL, cascades and migrations
are covered. `publish` renders those records and appends a revision for each document that differs from the last one.

Every publication updates the one row of `Head` and keeps that lock until it commits. So versions are dense, they appear in
commit order, and a reader who sees a version sees every version below it.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import String, Update, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from api.db import inserts, statements
from api.db.database import Database
from api.db.memory import Published
from api.db.statements import Among
from api.db.types import table_of
from api.ledger import digest, head, periods, scopes
from api.ledger.commits import UNKNOWN, Cause, Commit
from api.ledger.epochs import lock_head, locked_row
from api.ledger.index import bitmaps, fulltext
from api.ledger.index.versions import UnreadableError
from api.ledger.models import BATCH, Dirty, Head, Op, Revision
from api.ledger.rendering import MOST, Written, rendered
from api.resources import BY_NAME, RESOURCES
from api.schema.canonical import Content, sha256
from api.schema.resource import Resource

# Notes about changed records that are read at once.
NOTES = 50_000
# Is called with the number of records of each batch.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Publication:
    """The result of one publication: it added the versions after ``before`` up to ``version``.

    ``refused`` has a line for each record that cannot be published, and ``added`` the rows of its first revisions, by record.
    """

    before: int
    version: int
    refused: Sequence[str] = ()
    added: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @property
    def revisions(self) -> int:
        """The number of revisions that it added."""
        return self.version - self.before


def wait(session: Session) -> None:
    """Lock the head until the transaction ends, without changing it, even if a savepoint of the transaction is rolled back.

    On SQLite, where `FOR UPDATE` means nothing, the transaction that writes has its lock already.
    """
    locked_row(session)


def settle(session: Session) -> Publication:
    """Lock the head until the transaction ends, and publish what raw SQL has changed.

    From here on the current revisions say what the tables say.
    """
    locked = locked_row(session)
    if not locked.noted and locked.scoped >= locked.version:
        return Publication(locked.version, locked.version)
    return publish(session, reason="sweep")


def sweep(database: Database, *, reason: str | None = "sweep") -> Publication:
    """Publish and commit what was written without the application, such as by raw SQL."""
    with database.writing() as session:
        return publish(session, reason=reason)


def publish(  # noqa: PLR0913 - what is known of a commit
    session: Session,
    *,
    reason: str | None = None,
    author: str | None = None,
    import_id: str | None = None,
    merged: Mapping[tuple[str, str], str] | None = None,
    progress: Progress | None = None,
    written: Written | None = None,
) -> Publication:
    """Append a revision for each changed record, within the session's transaction.

    ``author`` is the name of an API key, or of the person who imports files; ``written`` are records that the
    caller has written. ``import_id`` is the name of an import that is published in pieces, and ``merged`` has the ids
    of the records that take the places of deleted ones, by noun and id. The transaction must be READ COMMITTED, and the caller
    should commit at once, because every other publication waits for it.

    A record whose document is unchanged gets no revision. A record that raw SQL made unpublishable keeps its last revision
    and its note, so that it does not block the others.
    """
    session.flush()
    locked = lock_head(session)
    commit = Commit(
        *(locked.before, locked.chain, locked.now, reason, author), locked.indexed, import_id=import_id, merged=merged or {}
    )
    filled = True
    while filled:
        # To fill the columns of dates that raw SQL has written is a change itself, which the triggers note.
        filled = False
        for resource, causes, is_only in _take_dirty(session):
            filled |= _append(session, resource, causes, commit, written if not is_only or written is None else written.alone())
            if progress:
                progress(len(causes))
    if commit.refused:
        session.execute(insert(Dirty), [{"kind": kind, "id": id} for kind, id in commit.refused])
    faults = [*commit.refused.values()]
    _scope(session, commit, locked.scoped)
    if commit.version == commit.before:
        if locked.scoped < commit.before:
            _move_head(session, scoped=commit.before)
        return Publication(locked.version, locked.version, faults)
    _advance_head(session, commit)
    return Publication(commit.before, commit.version, faults, commit.added)


def publish_erasure(session: Session, kind: str, id: str) -> None:
    """Append a deletion that erases a record's past, and publish the record again in the same commit if it lives on.

    Copies therefore need to know no revision: what came before is to be deleted, and what is right follows.
    """
    locked, old = lock_head(session), last_revisions(session, kind, [id])[id]
    # A copy still finds the record that took its place.
    merged = {(kind, id): old.merged_into} if old.merged_into else {}
    commit = Commit(*(locked.before, locked.chain, locked.now, "erase", None), locked.indexed, merged=merged)
    content = json.loads(old.document) if old.document else None
    rows = [{**commit.revision(kind, id, None), "erases": True, "superseded": None}]
    if content:
        again = commit.revision(kind, id, content)
        rows[0]["superseded"] = again["version"]
        rows.append({**again, "erases": False, "superseded": None})
    _write(session, rows, {rows[0]["version"]: old})
    commit.replaced.add(kind)
    if content:
        _index(session, BY_NAME[kind], commit, [old], {commit.version: content})
    _scope(session, commit, locked.scoped)
    _advance_head(session, commit)


def publish_again(session: Session, resource: Resource, revisions: Sequence[Revision], *, reason: str) -> None:
    """Append these revisions of a noun again, as one commit: readers of the feed get what its damaged scopes kept from them."""
    locked = lock_head(session)
    commit = Commit(locked.before, locked.chain, locked.now, reason, None, indexed=locked.indexed)
    _append_again(session, resource, commit, revisions)
    _scope(session, commit, locked.scoped)
    _advance_head(session, commit)


def _scope(session: Session, commit: Commit, scoped: int) -> None:
    """Store the scopes of all revisions after ``scoped``, those of an older release too, which does not store them.

    A record whose scopes changed only because those of another did is published again: each change of a feed has a version.
    """
    is_behind = scoped < commit.before
    changed: set[str] = set()
    for resource in scopes.SCOPED:
        if changed & scopes.givers(resource):
            for revisions in scopes.outdated(session, resource, scoped):
                _append_again(session, resource, commit, revisions)
        if is_behind or resource.name in commit.changes:
            past = is_behind or resource.name in commit.replaced
            few = [] if is_behind else commit.versions(resource.name)
            scopes.assign(session, resource, scoped, few, past=past)
            # Only records that are new themselves can refer to a new record.
            if past and scopes.have_changed(session, resource, scoped):
                changed.add(resource.name)


def _advance_head(session: Session, commit: Commit) -> None:
    """Bring the digest up to date, and move the head to the commit's last version."""
    digest.store(session, commit)
    values: dict[str, Any] = {"version": commit.version, "changed_at": commit.changed_at, "chain": commit.chain}
    values["scoped"] = commit.version
    if commit.indexed:
        values["indexed"] = bitmaps.stamp(commit.version)
    _move_head(session, **values)
    session.info[head.PUBLISHED] = Published(commit.version, commit.chain)


def _move_head(session: Session, **values: Any) -> None:
    """Change columns of the head."""
    bound = {f"new_{name}": value for name, value in values.items()}
    statements.change(session, ("move head", *values), lambda: _moved_head(values), bound, awaited=False)
    head.forget(session)


def _moved_head(names: Iterable[str]) -> Update:
    return update(table_of(Head)).values({name: bindparam(f"new_{name}", type_=table_of(Head).c[name].type) for name in names})


# --- revisions


def last_revisions(session: Session, kind: str, ids: Sequence[str]) -> dict[str, Revision]:
    """Return the last revisions of some records by id, deletions included: rows with the columns of a revision."""

    def build(among: Among) -> Any:
        of_kind = (Revision.kind == bindparam("kind", type_=String), Revision.superseded.is_(None))
        return select(*table_of(Revision).c).where(*of_kind, among.condition(Revision.id))

    return {row.id: row for row in statements.of_ids(session, "last revisions", ids, build, {"kind": kind})}


def _take_dirty(session: Session) -> Iterator[tuple[Resource, Mapping[str, Cause], bool]]:
    """Delete the notes about changed records, and yield these in batches, in the order of publication: by noun, then by id.

    Each id has the reason that its notes give, if any. A batch comes with whether its record is the only one that changed.
    Only `NOTES` of them are in memory; if there are more, the order begins again with each of these pieces.
    """
    number = NOTES
    while number == NOTES:
        number, ids, causes = statements.taken(session, "take notes", _taken, {}, _sorted_out)
        for resource in RESOURCES:
            noted = sorted(ids[resource.name])
            for start in range(0, len(noted), BATCH):
                batch = {id: causes.get((resource.name, id), UNKNOWN) for id in noted[start : start + BATCH]}
                yield resource, batch, sum(map(len, ids.values())) == 1


def _sorted_out(notes: Any) -> tuple[int, Mapping[str, set[str]], Mapping[tuple[str, str], Cause]]:
    """Return the number of some notes, their records by noun, and the reasons that they give: few have one."""
    number, ids, causes = 0, defaultdict[str, set[str]](set), dict[tuple[str, str], Cause]()
    while some := notes.fetchmany(BATCH):
        number += len(some)
        for kind, id, reason, author in some:
            ids[kind].add(id)
            if reason:
                causes[kind, id] = Cause(reason, author)
    return number, ids, causes


def _taken() -> Any:
    # Notes about the nouns of a newer release are left to that release.
    is_known = Dirty.kind.in_([statements.constant(resource.name) for resource in RESOURCES])
    oldest = select(Dirty.seq).where(is_known).order_by(Dirty.seq).limit(NOTES).subquery()
    # A range: without statistics of uncommitted rows, PostgreSQL would join the table with itself row by row.
    last = select(func.max(oldest.c.seq)).scalar_subquery()
    return delete(Dirty).where(is_known, Dirty.seq <= last).returning(Dirty.kind, Dirty.id, Dirty.reason, Dirty.author)


def _append(session: Session, resource: Resource, causes: Mapping[str, Cause], commit: Commit, written: Written | None) -> bool:
    """Add a revision for each record whose content differs from its last revision; refuse what cannot be published.

    Returns whether it filled columns of dates.
    """
    ids = [*causes]
    now = rendered(session, resource, ids, written)
    contents, refused = now.contents, now.refused
    known = {id: written.last[resource.name, id] for id in ids if (resource.name, id) in written.last} if written else {}
    last = {**known, **last_revisions(session, resource.name, [id for id in ids if id not in known])}
    rows: list[dict[str, Any]] = []
    superseded: dict[int, Revision] = {}
    for id in (id for id in ids if id not in refused):
        old, content = last.get(id), contents.get(id)
        if _differs(content, old):
            rows.append(commit.revision(resource.name, id, content, causes[id]))
            if old:
                superseded[commit.version] = old
    _write(session, rows, superseded)
    commit.added |= {(resource.name, row["id"]): row for row in rows if len(commit.added) < MOST}
    digest.store_if_many(session, commit)
    added = {row["version"]: contents[row["id"]] for row in rows if row["op"] is Op.UPSERT}
    _index(session, resource, commit, superseded.values(), added)
    commit.replaced |= {resource.name} if superseded else set()
    commit.refused |= {(resource.name, id): fault for id, fault in refused.items()}
    return bool(now.stale) and periods.fill(session, resource, now.stale) > 0


def _differs(content: Content | None, old: Revision | None) -> bool:
    """Tell whether a record differs from its last revision; its content is None if it was deleted."""
    if old is None:
        return content is not None
    return (content and sha256(content)) != old.hash


def _append_again(session: Session, resource: Resource, commit: Commit, revisions: Sequence[Revision]) -> None:
    """Add a revision with the same content after each of these."""
    superseded: dict[int, Revision] = {}
    added: dict[int, Content] = {}
    rows: list[dict[str, Any]] = []
    for old in revisions:
        content = json.loads(old.document or "")
        rows.append(commit.revision(resource.name, old.id, content))
        superseded[commit.version], added[commit.version] = old, content
    commit.replaced.add(resource.name)
    _write(session, rows, superseded)
    _index(session, resource, commit, revisions, added)


def _write(session: Session, rows: Sequence[Mapping[str, Any]], superseded: Mapping[int, Revision]) -> None:
    """Insert revisions, and mark those that they supersede; these are given by the versions of the new ones."""
    if superseded:
        parameters = [{"old": old.version, "new": version} for version, old in superseded.items()]
        statements.change(session, "supersede", _supersession, parameters, awaited=False)
    inserts.add(session, table_of(Revision), rows, awaited=False)


def _supersession() -> Update:
    table = table_of(Revision)
    return update(table).where(table.c.version == bindparam("old")).values(superseded=bindparam("new"))


def _index(
    session: Session,
    resource: Resource,
    commit: Commit,
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
