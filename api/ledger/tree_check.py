"""Compares the stored tree of the digest with the revisions, piece by piece: few of its nodes are in memory at once."""

from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.ledger import digest, merkle
from api.ledger.models import BATCH, CURRENT, DigestNode, Revision
from api.ledger.tree import DIGITS, EMPTY, ENTRY, Node, bucket, deepest, top


def faults(session: Session) -> list[str]:
    """Return the paths of the nodes that are not those of the current records."""
    wrong = _wrong_nodes(session)
    for kind in session.scalars(select(Revision.kind).distinct()).all():
        wrong |= _wrong_records(session, kind)
    return sorted(wrong)


def _wrong_nodes(session: Session) -> set[str]:
    """Return the paths of the nodes that are damaged, missing, superfluous, or not what their parents say."""
    wrong: set[str] = set()
    # What the nodes before say of those that are to come: their hashes, and how many records their siblings leave.
    hashes: dict[str, bytes] = {}
    left: Counter[str] = Counter()
    nodes = select(DigestNode.path, DigestNode.records, DigestNode.content).where(DigestNode.path != digest.ROOT)
    for path, records, content in session.execute(nodes.order_by(DigestNode.path).execution_options(yield_per=BATCH)):
        node, is_top, said = Node(records, bytes(content)), path.endswith("/"), hashes.pop(path, None)
        if not _is_whole(node) or (not is_top and said != node.sha256):
            wrong.add(path)
        elif not node.is_bucket:
            left[path] = records
            hashes |= {path + digit: child for digit, child in zip(DIGITS, node.children, strict=True) if child != merkle.EMPTY}
        if not is_top:
            left[path[:-1]] -= records
    return wrong | hashes.keys() | {path for path, records in left.items() if records and path not in wrong}


def _is_whole(node: Node) -> bool:
    """Tell whether a node has as many records or children as it says, its records in their order."""
    if not node.is_bucket:
        return len(node.content) == len(DIGITS) * merkle.SIZE
    return 0 < node.records * ENTRY.size == len(node.content) and bucket(node.entries) == node


def _wrong_records(session: Session, kind: str) -> set[str]:
    """Return the paths of the buckets that lack current records of a noun, and the top if it has another number of records."""
    wrong: set[str] = set()
    current = select(Revision.id, Revision.leaf, Revision.version).where(Revision.kind == kind, *CURRENT)
    count, last = 0, ""
    while rows := session.execute(current.where(Revision.id > last).order_by(Revision.id).limit(BATCH)).all():
        count, last = count + len(rows), rows[-1].id
        keys = [merkle.key(kind, row.id) for row in rows]
        nodes = digest.load(session, [top(kind) + key.hex() for key in keys]).nodes
        for key, row in zip(keys, rows, strict=True):
            place, node = deepest(nodes, top(kind) + key.hex())
            if not (node.is_bucket and ENTRY.pack(key, bytes(row.leaf or b""), row.version) in node.content):
                wrong.add(place)
    stored = digest.load(session, [top(kind)]).nodes.get(top(kind), EMPTY)
    return wrong if stored.records == count else wrong | {top(kind)}
