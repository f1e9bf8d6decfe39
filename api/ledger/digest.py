"""The digest: what proves that a copy is complete, at any version, from the stored nodes of its tree.

Its upkeep costs the same for any number of records: a write reads and writes the nodes on the paths of its records.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, delete, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.ledger import head, merkle
from api.ledger.commits import Commit
from api.ledger.head import TrimmedError
from api.ledger.history import was_current
from api.ledger.models import BATCH, DigestNode, Head, Revision
from api.ledger.tree import EMPTY, Changes, Entry, Node, Tree, bucket, deepest, top
from api.resources import BY_NAME

# The path of the root.
ROOT = ""
# Levels that are read at once if few records changed; a noun of 1 million records has no more.
LEVELS, FEW = 6, 50
# Revisions whose changes are in memory at once.
PIECE = 5_000
UPSERT = text(
    "insert into digest_node (path, records, content, version) values (:path, :records, :content, :version) on conflict (path)"
    " do update set records = excluded.records, content = excluded.content, version = excluded.version"
)
COUNT = text(
    "insert into digest_bucket (kind, number, records, sha256) values (:kind, :number, :records, :sha256)"
    " on conflict (kind, number) do update set records = digest_bucket.records + excluded.records"
)


@dataclass(frozen=True)
class NounDigest:
    """The digest of a noun: its number of records, and its hash."""

    count: int
    sha256: bytes


def digests(session: Session, version: int) -> Mapping[str, NounDigest]:
    """Return the digests of the nouns that had records at a version: of the stored tree, with what differs at that version."""
    # Nouns of a newer release are left to that release, here as in the feed.
    tops = [top(kind) for kind in BY_NAME]
    stored = load(session, tops)
    changes = {kind: some for kind, some in _changes(session, stored.version, version).items() if kind in BY_NAME}
    nodes = {**stored.nodes, **load(session, _paths(changes)).nodes} if changes else stored.nodes
    tree = Tree(nodes, partial(_below, session))
    for kind, some in changes.items():
        tree.change(top(kind), some)
    found = {kind: tree.nodes.get(top(kind), EMPTY) for kind in sorted(BY_NAME)}
    return {kind: NounDigest(node.records, merkle.noun(kind, node.sha256)) for kind, node in found.items() if node.records}


def root(nouns: Mapping[str, NounDigest]) -> bytes:
    """Return the hash of all nouns."""
    return merkle.root({kind: noun.sha256 for kind, noun in nouns.items()})


def node_at(session: Session, kind: str, prefix: str, version: int) -> tuple[Node, Sequence[Revision]]:
    """Return a node as it was at a version, and the records of a bucket by key. Raises TrimmedError."""
    path = top(kind) + prefix
    differing = _changes(session, load(session, ()).version, version).get(kind, {})
    changes = {key: entry for key, entry in differing.items() if key.hex().startswith(prefix)}
    nodes = load(session, [path, *_paths({kind: changes})]).nodes
    above, node = deepest(nodes, path)
    # Below a bucket there is no node, but the records of one.
    nodes[path] = (
        node if above == path else bucket({k: entry for k, entry in node.entries.items() if k.hex().startswith(prefix)})
    )
    node = Tree(nodes, partial(_below, session)).change(path, changes)
    return node, _revisions(session, node) if node.is_bucket else ()


def _revisions(session: Session, node: Node) -> Sequence[Revision]:
    """Return the revisions of a bucket by key. Raises TrimmedError."""
    versions = [entry.version for entry in node.entries.values()]
    by_version = {row.version: row for row in session.scalars(select(Revision).where(Revision.version.in_(versions)))}
    if any(revision.document is None for revision in by_version.values()):
        raise TrimmedError(head.state(session).trimmed or None)
    return [by_version[version] for version in versions]


# --- what changed


def _changes(session: Session, stored: int, version: int) -> dict[str, dict[bytes, Entry | None]]:
    """Return the records that at a version differ from those of the stored tree, by noun and key."""
    if stored == version:
        return {}
    result: dict[str, dict[bytes, Entry | None]] = {}
    rows = _later(stored, version) if stored < version else _earlier(version)
    for kind, id, leaf, changed in session.execute(rows.execution_options(yield_per=BATCH)):
        result.setdefault(kind, {})[merkle.key(kind, id)] = Entry(bytes(leaf), changed) if leaf else None
    return result


def _later(stored: int, version: int) -> Any:
    """Return a SELECT of the last revisions at a version of the records that changed after the stored tree."""
    columns = (Revision.kind, Revision.id, Revision.leaf, Revision.version)
    return select(*columns).where(Revision.version > stored, was_current(version))


def _earlier(version: int) -> Any:
    """Return a SELECT of the last revisions at a version of the records that changed after it; new records have no leaf."""
    last = aliased(Revision)
    is_last = and_(last.kind == Revision.kind, last.id == Revision.id, last.superseded == Revision.version)
    changed = select(Revision.kind, Revision.id, last.leaf, last.version).join(last, is_last, isouter=True)
    return changed.where(Revision.version > version, or_(last.version.is_(None), last.version <= version))


# --- upkeep


def store(session: Session, commit: Commit) -> None:
    """Store the nodes that a commit changes."""
    stored = load(session, _paths(commit.changes))
    if stored.version != commit.hashed:
        # An older release has published, or an epoch begins.
        catch_up(session, commit.hashed)
        stored = load(session, _paths(commit.changes))
    gained = _save(session, stored.nodes, commit.changes, commit.version)
    if counts := [
        {"kind": kind, "number": number, "records": records, "sha256": merkle.EMPTY}
        for (kind, number), records in gained.items()
        if records
    ]:
        statements.change(session, "count", lambda: COUNT, counts, awaited=False)
    commit.hashed = commit.version
    for changes in commit.changes.values():
        changes.clear()


def store_if_many(session: Session, commit: Commit) -> None:
    """Store what a commit changes before it is complete, if it would fill the memory."""
    if sum(map(len, commit.changes.values())) >= PIECE:
        store(session, commit)


def catch_up(session: Session, until: int | None = None) -> None:
    """Store the nodes for the revisions up to a version, by default all, that have none. The head must be locked."""
    until = until or session.scalars(select(Head.version)).one()
    at = load(session, ()).version
    while piece := session.scalar(_piece(at, until)):
        changes = _changes(session, at, piece)
        _save(session, load(session, _paths(changes)).nodes, changes, piece)
        at = piece


def rebuild(session: Session) -> None:
    """Store all nodes again. The head must be locked."""
    session.execute(delete(DigestNode))
    catch_up(session)


def _piece(after: int, until: int) -> Any:
    """Return a SELECT of the last of the next versions after one."""
    following = select(Revision.version).where(Revision.version > after, Revision.version <= until)
    return select(func.max(following.order_by(Revision.version).limit(PIECE).subquery().c.version))


def _save(session: Session, nodes: dict[str, Node], changes: Mapping[str, Changes], version: int) -> Counter[tuple[str, int]]:
    """Store the nodes that changes lead to, given those on their paths; returns how many records are new, by part of a noun."""
    tree = Tree(nodes, partial(_below, session))
    for kind, some in changes.items():
        # Nothing is known of a noun without changes.
        if some:
            tree.change(top(kind), some)
    changed = [(path, *tree.nodes[path]) for path in sorted(tree.changed)]
    rows = [(ROOT, 0, b""), *(row for row in changed if row[1])]
    values = [{"path": path, "records": records, "content": content, "version": version} for path, records, content in rows]
    statements.change(session, "store nodes", lambda: UPSERT, values, awaited=False)
    gone = [path for path, records, _ in changed if not records]
    for start in range(0, len(gone), BATCH):
        session.execute(delete(DigestNode).where(DigestNode.path.in_(gone[start : start + BATCH])))
    return tree.gained


# --- reading nodes


class Stored(NamedTuple):
    """Nodes as they are stored, by path, and the version of their tree; 0 if there is none."""

    version: int
    nodes: dict[str, Node]


def load(session: Session, paths: Iterable[str]) -> Stored:
    """Read the nodes on the way to some paths, as far as the tree has any."""
    pending = [(path, path.index("/") + 1) for path in paths]
    nodes: dict[str, Node] = {}
    version, depth, wanted = 0, 0, {ROOT}
    levels = LEVELS if len(pending) <= FEW else 1
    while wanted or pending:
        wanted |= {path[: start + level] for path, start in pending for level in range(depth, depth + levels)}
        for path, records, content, changed in _rows(session, sorted(wanted)):
            if path == ROOT:
                version = changed
            else:
                nodes[path] = Node(records, bytes(content))
        depth, wanted = depth + levels, set()
        pending = [(path, start) for path, start in pending if _goes_on(nodes, path, start + depth)]
    return Stored(version, nodes)


def _goes_on(nodes: Mapping[str, Node], path: str, length: int) -> bool:
    """Tell whether there are nodes on the way to a path behind its first characters."""
    return length <= len(path) and not nodes.get(path[: length - 1], EMPTY).is_bucket


def _rows(session: Session, paths: Sequence[str]) -> Iterator[Any]:
    for start in range(0, len(paths), BATCH):
        yield from statements.of_ids(session, "nodes", paths[start : start + BATCH], _nodes)


def _nodes(paths: statements.Among) -> Any:
    return _select().where(paths.condition(DigestNode.path))


def _below(session: Session, path: str) -> Mapping[str, Node]:
    """Read all nodes below a path."""
    # The digits end before g.
    rows = statements.rows(session, "nodes below", _between, {"path": path, "end": f"{path}g"})
    return {path: Node(records, bytes(content)) for path, records, content, _ in rows}


def _between() -> Any:
    return _select().where(DigestNode.path > bindparam("path"), DigestNode.path < bindparam("end"))


def _select() -> Any:
    return select(DigestNode.path, DigestNode.records, DigestNode.content, DigestNode.version)


def _paths(changes: Mapping[str, Changes]) -> list[str]:
    """Return the paths of changed records."""
    return [top(kind) + key.hex() for kind, some in changes.items() for key in some]
