"""The dataset at any of its versions: where a reader stands, what has changed since, and what it all was then.

A version names one state, and so does the chain's hash at it. A reader who comes with a version that is not in the ledger,
or with a cursor whose hash is another, has seen what was lost since, in a restore or a failover: `Diverged`.
"""

import base64
import binascii
import datetime as dt
import hashlib
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from api import digest, prepared
from api.ledger import CURRENT, Bucket, Head, Op, Revision, leaves_of
from api.resources import BY_NAME

PROOF = 12
BATCH = 500


class NoCursorError(ValueError):
    """A text that is none of our cursors."""


class DivergedError(LookupError):
    """A version, or a cursor, of a future that this dataset has not."""


class AheadError(LookupError):
    """A version that this standby may be about to get from its primary."""


class TrimmedError(LookupError):
    """A version of which the past was cut; ``version`` is the first that can be read, None where one record was erased."""

    def __init__(self, version: int | None) -> None:
        """Say from where on there is a past."""
        super().__init__(version)
        self.version = version


@dataclass(frozen=True)
class Position:
    """Where a reader stands: they know every change of some nouns up to ``version``.

    With a ``target`` they are on their way there, and have not been sent what was to change again before it. ``fresh``: they
    began with nothing, so no deletion up to there is news to them.
    """

    version: int
    kinds: tuple[str, ...] = ()
    target: int = 0
    fresh: bool = False

    @property
    def known(self) -> int:
        """The last version of which they have seen something: all that they know is of the chain up to it."""
        return max(self.version, self.target)

    def cursor(self, chain: bytes) -> str:
        """Return the position as an opaque text that stands for the chain at what is known, too."""
        return self._spelled(self._proof(chain))

    @classmethod
    def read(cls, cursor: str) -> tuple[Self, bytes]:
        """Return the position of a cursor, and its proof. Raises NoCursorError."""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            version, target, fresh, kinds = raw[PROOF:].decode("ascii").split(".")
            found = cls(int(version), tuple(kinds.split(",")) if kinds else (), int(target), fresh == "1")
        except (ValueError, binascii.Error):
            raise NoCursorError(cursor) from None
        if found.version < 0 or not 0 <= found.known < 2**63 or set(found.kinds) - set(BY_NAME):
            raise NoCursorError(cursor)
        # One position has one spelling.
        if found._spelled(raw[:PROOF]) != cursor:
            raise NoCursorError(cursor)
        return found, raw[:PROOF]

    def _spelled(self, proof: bytes) -> str:
        return base64.urlsafe_b64encode(proof + str(self).encode()).decode().rstrip("=")

    def __str__(self) -> str:
        """Return it in a line."""
        return f"{self.version}.{self.target}.{int(self.fresh)}.{','.join(self.kinds)}"

    def covers(self, kinds: Sequence[str]) -> bool:
        """Tell whether they know the changes of all these nouns; none stands for every noun."""
        return not self.kinds or (bool(kinds) and set(kinds) <= set(self.kinds))

    def _proof(self, chain: bytes) -> bytes:
        return hashlib.sha256(f"digital-cities/cursor/1\n{self}\n".encode() + chain).digest()[:PROOF]

    def holds(self, proof: bytes, chain: bytes) -> bool:
        """Tell whether a cursor with this proof was made where the chain was this."""
        return proof == self._proof(chain)


class Here(NamedTuple):
    """How far the dataset is: its version, its chain, from where on there is a past, and how often it was cut."""

    version: int
    chain: bytes
    trimmed: int
    cuts: int


def head(session: Session) -> Here:
    """Return how far the dataset is."""
    columns = [getattr(Head, name) for name in Here._fields]
    ((*found,),) = prepared.rows(session, "head", lambda: select(*columns), {})
    return Here(*found)


def is_standby(session: Session) -> bool:
    """Tell whether this database only follows another."""
    return session.get_bind().dialect.name == "postgresql" and bool(session.scalar(select(func.pg_is_in_recovery())))


def chain_at(session: Session, version: int) -> bytes:
    """Return the chain's hash at a version. Raises DivergedError, or AheadError."""
    if version == 0:
        return digest.GENESIS
    for (chain,) in prepared.rows(session, "chain", _chain, {"version": version}):
        return bytes(chain)
    if version > head(session).version and is_standby(session):
        raise AheadError(version)
    raise DivergedError(version)


def _chain() -> Any:
    return select(Revision.chain).where(Revision.version == bindparam("version"))


def at_time(session: Session, moment: dt.datetime) -> int:
    """Return the version that the dataset had at a time; 0 before its first. Raises AheadError."""
    if is_standby(session) and session.scalars(select(Head.changed_at)).one() < moment:
        raise AheadError(moment)
    newest = select(Revision.version).where(Revision.changed_at <= moment)
    return session.scalar(newest.order_by(Revision.changed_at.desc(), Revision.version.desc()).limit(1)) or 0


def untrimmed(session: Session, version: int) -> None:
    """Raise TrimmedError for a version of which the past was cut, as a whole or of a record."""
    trimmed = head(session).trimmed
    if version < trimmed:
        raise TrimmedError(trimmed)
    if session.scalar(select(exists().where(_was(version), Revision.leaf.is_not(None), Revision.document.is_(None)))):
        raise TrimmedError(None)


def revision_at(session: Session, kind: str, id: str, version: int) -> "Change | None":
    """Return what a record was at a version; None before its first. Raises TrimmedError."""
    own = select(*_columns()).where(Revision.kind == kind, Revision.id == id, Revision.version <= version)
    row = session.execute(own.order_by(Revision.version.desc()).limit(1)).one_or_none()
    found = Change(*row) if row else None
    if version < (trimmed := head(session).trimmed):
        raise TrimmedError(trimmed)
    if found and found.op is Op.UPSERT and found.document is None:
        raise TrimmedError(None)
    return found


def newest(session: Session, kind: str, id: str) -> "Change | None":
    """Return what a record is, or that it is deleted; None where it never was."""
    found = prepared.rows(session, "newest", _newest, {"kind": kind, "id": id})
    return Change(*found[0]) if found else None


def _newest() -> Select[Any]:
    own = (Revision.kind == bindparam("kind"), Revision.id == bindparam("id"), Revision.superseded.is_(None))
    return select(*_columns()).where(*own)


def _was(version: int) -> ColumnElement[bool]:
    """Return the condition of what was current at a version."""
    return and_(Revision.version <= version, or_(Revision.superseded.is_(None), Revision.superseded > version))


# --- the feed


@dataclass(frozen=True)
class Feed:
    """What is asked of the feed: the changes of some nouns, none for all, after a position and up to a version.

    Only the last change of each record up to there counts, unless the ``history`` is wanted. So a reader who has come to
    its end has the state of that version; before, they have not been sent what changes again on the way.
    """

    since: Position
    until: int
    kinds: tuple[str, ...]
    history: bool = False

    @property
    def fresh(self) -> bool:
        """Whether its reader began with nothing."""
        return self.since.fresh if self.since.target else self.since.version == 0

    @property
    def shape(self) -> Hashable:
        """All on which its conditions depend, but for the values of their parameters."""
        return self.kinds, self.history, self.fresh

    @property
    def values(self) -> dict[str, int]:
        """The values of their parameters."""
        return {"since": self.since.version, "until": self.until}

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions of the revisions that are asked for, but for the last version of them."""
        since, until = (bindparam(name, type_=Revision.version.type) for name in ("since", "until"))
        yield Revision.version > since
        if not self.history:
            yield or_(Revision.superseded.is_(None), Revision.superseded > until)
            # What was cut meanwhile has changed again, so that change is still to come.
            yield or_(Revision.op == Op.DELETE, Revision.document.is_not(None))
            if self.fresh:
                yield Revision.op == Op.UPSERT


@dataclass(frozen=True)
class Page:
    """A page of a feed, up to a version; ``many`` where a commit makes it longer than was asked for."""

    feed: Feed
    end: int
    rows: int
    many: bool = False

    @property
    def more(self) -> bool:
        """Whether the feed goes on."""
        return self.end < self.feed.until

    @property
    def position(self) -> Position:
        """Where its reader stands after it."""
        feed = self.feed
        return Position(self.end, feed.kinds, feed.until, feed.fresh) if self.more else Position(self.end, feed.kinds)


def page(session: Session, feed: Feed, limit: int) -> Page:
    """Return the next page: whole commits, about ``limit`` changes of them."""
    rows = prepared.rows(session, ("page", feed.shape), lambda: _ends(feed), {**feed.values, "limit": limit + 1})
    if len(rows) <= limit:
        return Page(feed, feed.until, len(rows))
    (_, beyond) = rows[-1]
    whole = [commit for _, commit in rows if commit != beyond]
    # A commit of more than a page is a page of its own.
    commit = whole[-1] if whole else beyond
    ((end,),) = prepared.rows(session, "end", _end, {"commit": commit})
    return Page(feed, min(end, feed.until), len(whole), many=not whole)


def _ends(feed: Feed) -> Any:
    limit = bindparam("limit", type_=Revision.version.type)
    until = bindparam("until", type_=Revision.version.type)
    asked = select(Revision.version, Revision.commit_version).where(*feed.conditions(), Revision.version <= until)
    asked = asked.order_by(Revision.version).limit(limit)
    if not feed.kinds:
        return asked.where(_ours())
    # The first of each noun, by its own index: an index of all of them could not give their common order.
    first = [select(asked.where(Revision.kind == literal(kind)).subquery()) for kind in feed.kinds]
    every = union_all(*first).subquery()
    return select(*every.c).order_by(every.c.version).limit(limit)


def _ours() -> ColumnElement[bool]:
    """Return the condition of the nouns that there are: those of a newer release are for that release.

    It is written so that no index serves it: what it is asked of is found by version.
    """
    return (Revision.kind + "").in_([literal(kind) for kind in BY_NAME])


def _end() -> Any:
    asked = select(Revision.version).where(Revision.commit_version == bindparam("commit"))
    return asked.order_by(Revision.version.desc()).limit(1)


class Change(NamedTuple):
    """A change, as the feed has it."""

    version: int
    commit_version: int
    kind: str
    id: str
    op: Op
    reason: str | None
    changed_at: dt.datetime
    leaf: bytes | None
    document: str | None


def changes(session: Session, page: Page) -> Generator[Change]:
    """Yield the changes of a page, in order."""
    feed, values = page.feed, {**page.feed.values, "end": page.end}
    if page.many:
        with closing(session.execute(_changes(feed), values, execution_options={"yield_per": BATCH})) as streamed:
            yield from (Change(*row) for row in streamed)
        return
    rows = prepared.rows(session, ("changes", feed.shape), lambda: _changes(feed), values)
    yield from (Change(*row) for row in rows)


def _changes(feed: Feed) -> Select[Any]:
    end = bindparam("end", type_=Revision.version.type)
    nouns = Revision.kind.in_([literal(kind) for kind in feed.kinds]) if feed.kinds else _ours()
    return select(*_columns()).where(*feed.conditions(), nouns, Revision.version <= end).order_by(Revision.version)


def _columns() -> list[Any]:
    return [getattr(Revision, name) for name in Change._fields]


def _streamed(session: Session, asked: Select[Revision]) -> Generator[Revision]:
    """Yield what is asked for, a batch at a time; nothing stays open when nobody wants the rest."""
    with closing(session.scalars(asked, execution_options={"yield_per": BATCH})) as rows:
        yield from rows


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
            own[number] = (len(then.get(number, ())), digest.bucket(then.get(number, ())))
    found = {}
    for kind, buckets in sorted(kept.items()):
        count = sum(records for records, _ in buckets.values())
        if count:
            hashes = [buckets.get(number, (0, digest.EMPTY))[1] for number in range(digest.BUCKETS)]
            found[kind] = NounDigest(count, hashes)
    return found


def root(found: Mapping[str, NounDigest]) -> bytes:
    """Return the hash of everything."""
    return digest.root({kind: digest.noun(kind, row.buckets) for kind, row in found.items()})


def bucket_at(session: Session, kind: str, number: int, version: int) -> Sequence[Revision]:
    """Return the records of a bucket at a version, by id. Raises TrimmedError."""
    asked = select(Revision).where(Revision.kind == kind, Revision.bucket == number, Revision.leaf.is_not(None), _was(version))
    found = session.scalars(asked.order_by(Revision.id)).all()
    if any(row.document is None for row in found):
        raise TrimmedError(head(session).trimmed or None)
    return found


def state(session: Session, version: int) -> Generator[Revision]:
    """Yield every record as it was at a version, in the order of their changes."""
    # Of the present, the index of current revisions is read; of the past, all of them.
    is_present = version >= head(session).version
    then = CURRENT if is_present else (_was(version), Revision.leaf.is_not(None))
    asked = select(Revision).where(*then, _ours())
    yield from _streamed(session, asked.order_by(Revision.version))


def history(session: Session, kind: str, id: str, before: int | None, limit: int) -> Sequence[Revision]:
    """Return the revisions of a record, the newest first, those after ``before`` left out, and one more to compare with."""
    own = select(Revision).where(Revision.kind == kind, Revision.id == id)
    if before is not None:
        own = own.where(Revision.version < before)
    return session.scalars(own.order_by(Revision.version.desc()).limit(limit + 1)).all()
