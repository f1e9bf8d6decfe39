"""The digest of each noun at any version, and the hashes of buckets that it is made of."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.orm import Session

from api.ledger import merkle
from api.ledger.head import TrimmedError, head
from api.ledger.history import _ours, _was
from api.ledger.models import CURRENT, Bucket, Revision
from api.resources import BY_NAME


def hash_buckets(session: Session, kind: str, numbers: AbstractSet[int]) -> None:
    """Write anew the hashes of those of a noun's buckets that changed."""
    rows = [
        {"kind": kind, "number": number, "records": len(leaves), "sha256": merkle.bucket(leaves)}
        for number, leaves in leaves_of(session, kind, numbers, *CURRENT).items()
    ]
    session.execute(delete(Bucket).where(Bucket.kind == kind, Bucket.number.in_(numbers)))
    if rows:
        session.execute(insert(Bucket), rows)


def leaves_of(
    session: Session, kind: str, numbers: AbstractSet[int], *conditions: ColumnElement[bool]
) -> dict[int, list[bytes]]:
    """Return the leaves of a noun's buckets, in the order in which they are hashed; empty buckets are left out."""
    asked = select(Revision.bucket, Revision.leaf).where(
        Revision.kind == kind, Revision.bucket.in_(numbers), Revision.leaf.is_not(None), *conditions
    )
    found: dict[int, list[bytes]] = {}
    for number, leaf in session.execute(asked.order_by(Revision.bucket, Revision.id)):
        assert leaf is not None
        found.setdefault(number, []).append(leaf)
    return found


# --- the digest


@dataclass(frozen=True)
class NounDigest:
    """What proves a copy of a noun: how many records, and the hash of each bucket."""

    count: int
    buckets: Sequence[bytes]


def digests(session: Session, version: int) -> Mapping[str, NounDigest]:
    """Return the digests of the nouns that had records at a version: those that are kept, with what has changed since."""
    kept: dict[str, dict[int, tuple[int, bytes]]] = {}
    # The nouns of a newer release are for that release, here as in the feed.
    asked = select(Bucket.kind, Bucket.number, Bucket.records, Bucket.sha256).where(Bucket.kind.in_(BY_NAME))
    for row in session.execute(asked):
        kept.setdefault(row.kind, {})[row.number] = (row.records, row.sha256)
    changed: dict[str, set[int]] = {}
    since = select(Revision.kind, Revision.bucket).where(Revision.version > version, _ours()).distinct()
    for kind, number in session.execute(since) if version < head(session).version else ():
        changed.setdefault(kind, set()).add(number)
    for kind, numbers in changed.items():
        then = leaves_of(session, kind, numbers, _was(version))
        own = kept.setdefault(kind, {})
        for number in numbers:
            own[number] = (len(then.get(number, ())), merkle.bucket(then.get(number, ())))
    found = {}
    for kind, buckets in sorted(kept.items()):
        count = sum(records for records, _ in buckets.values())
        if count:
            hashes = [buckets.get(number, (0, merkle.EMPTY))[1] for number in range(merkle.BUCKETS)]
            found[kind] = NounDigest(count, hashes)
    return found


def root(found: Mapping[str, NounDigest]) -> bytes:
    """Return the hash of everything."""
    return merkle.root({kind: merkle.noun(kind, row.buckets) for kind, row in found.items()})


def bucket_at(session: Session, kind: str, number: int, version: int) -> Sequence[Revision]:
    """Return the records of a bucket at a version, by id. Raises TrimmedError."""
    asked = select(Revision).where(Revision.kind == kind, Revision.bucket == number, Revision.leaf.is_not(None), _was(version))
    found = session.scalars(asked.order_by(Revision.id)).all()
    if any(row.document is None for row in found):
        raise TrimmedError(head(session).trimmed or None)
    return found
