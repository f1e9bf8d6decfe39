"""The digest: what proves that a copy of a noun is complete, at any version, from the stored hashes of its buckets."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.orm import Session

from api.ledger import head, merkle
from api.ledger.head import TrimmedError
from api.ledger.history import was_current
from api.ledger.models import CURRENT, Bucket, Revision
from api.ledger.parts import is_known_kind
from api.resources import BY_NAME


@dataclass(frozen=True)
class NounDigest:
    """The digest of a noun: its number of records, and the hash of each of its 256 buckets."""

    count: int
    buckets: Sequence[bytes]


def digests(session: Session, version: int) -> Mapping[str, NounDigest]:
    """Return the digests of the nouns that had records at a version: the stored hashes, with later changes taken back."""
    buckets = _stored_buckets(session)
    for kind, numbers in _changed_since(session, version).items():
        leaves = dict(leaves_of(session, kind, numbers, was_current(version)))
        for number in numbers:
            buckets[kind][number] = (len(leaves.get(number, ())), merkle.bucket(leaves.get(number, ())))
    result = {}
    for kind, by_number in sorted(buckets.items()):
        count = sum(records for records, _ in by_number.values())
        if count:
            hashes = [by_number.get(number, (0, merkle.EMPTY))[1] for number in range(merkle.BUCKETS)]
            result[kind] = NounDigest(count, hashes)
    return result


def _stored_buckets(session: Session) -> dict[str, dict[int, tuple[int, bytes]]]:
    """Return the number of records and the hash of each bucket that is not empty, by noun and number."""
    result: dict[str, dict[int, tuple[int, bytes]]] = defaultdict(dict)
    # Nouns of a newer release are left to that release, here as in the feed.
    statement = select(Bucket.kind, Bucket.number, Bucket.records, Bucket.sha256).where(Bucket.kind.in_(BY_NAME))
    for row in session.execute(statement):
        result[row.kind][row.number] = (row.records, row.sha256)
    return result


def _changed_since(session: Session, version: int) -> dict[str, set[int]]:
    """Return the buckets with changes after a version, by noun."""
    result: dict[str, set[int]] = defaultdict(set)
    if version < head.state(session).version:
        statement = select(Revision.kind, Revision.bucket).where(Revision.version > version, is_known_kind()).distinct()
        for kind, number in session.execute(statement):
            result[kind].add(number)
    return result


def root(nouns: Mapping[str, NounDigest]) -> bytes:
    """Return the hash of all nouns."""
    return merkle.root({kind: merkle.noun(kind, noun.buckets) for kind, noun in nouns.items()})


def bucket_at(session: Session, kind: str, number: int, version: int) -> Sequence[Revision]:
    """Return the records that a bucket had at a version, by id. Raises TrimmedError."""
    in_bucket = (Revision.kind == kind, Revision.bucket == number, Revision.leaf.is_not(None), was_current(version))
    revisions = session.scalars(select(Revision).where(*in_bucket).order_by(Revision.id)).all()
    if any(revision.document is None for revision in revisions):
        raise TrimmedError(head.state(session).trimmed or None)
    return revisions


# --- upkeep


def hash_buckets(session: Session, kind: str, numbers: AbstractSet[int]) -> None:
    """Replace the stored hashes of some of a noun's buckets, whose records have changed."""
    rows = [
        {"kind": kind, "number": number, "records": len(leaves), "sha256": merkle.bucket(leaves)}
        for number, leaves in leaves_of(session, kind, numbers, *CURRENT)
    ]
    session.execute(delete(Bucket).where(Bucket.kind == kind, Bucket.number.in_(numbers)))
    if rows:
        session.execute(insert(Bucket), rows)


def leaves_of(
    session: Session,
    kind: str,
    numbers: AbstractSet[int],
    *conditions: ColumnElement[bool],
    batch: int | None = None,
) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the number and the leaves of each bucket of a noun that is not empty; ``batch`` rows are read at once, or all.

    Buckets come in the order of their numbers, and leaves in the order of their ids.
    """
    statement = select(Revision.bucket, Revision.leaf).where(
        Revision.kind == kind, Revision.bucket.in_(numbers), Revision.leaf.is_not(None), *conditions
    )
    options = {"yield_per": batch} if batch else {}
    rows = session.execute(statement.order_by(Revision.bucket, Revision.id), execution_options=options)
    for number, some in groupby(rows, itemgetter(0)):
        yield number, [leaf for _, leaf in some if leaf is not None]
