"""The feed: changes in commit order, page by page, and the cursors of its readers."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement, Select, Subquery, and_, bindparam, func, literal, or_, select, union_all
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.ledger.history import RevisionRow, is_known_kind, revision_columns
from api.ledger.models import BATCH, Op, Revision
from api.resources import BY_NAME

# Bytes of a cursor's proof.
PROOF = 12
# The cursor of a change: its version, the version up to which its page was compacted, and the first digits of the chain there.
# Its numbers have a fixed width, so that cursors sort as texts in the order of the feed.
OF_CHANGE = re.compile(r"([0-9]{16})-([0-9]{16})-([0-9a-f]{16})")


class NoCursorError(ValueError):
    """A text that is not one of our cursors."""


# --- cursors


@dataclass(frozen=True)
class Position:
    """How far a reader has come: it knows every change of some nouns up to ``version``.

    If there is a ``target``, the reader is on its way to that version, and was not sent changes that are superseded before it.
    ``fresh``: the reader began with nothing, so deletions before its target mean nothing to it. ``compacted``: a reader that
    goes on after one change of a page was not sent changes that are superseded before this version.
    """

    version: int
    kinds: tuple[str, ...] = ()
    target: int = 0
    fresh: bool = False
    compacted: int = 0

    @property
    def known(self) -> int:
        """The highest version that the reader depends on: everything that it knows comes from the chain up to it."""
        return max(self.version, self.target, self.compacted)

    def cursor(self, chain: bytes) -> str:
        """Return the position as an opaque text, with a proof that the chain at `known` had this hash."""
        return self._encoded(self._proof(chain))

    @classmethod
    def read(cls, cursor: str) -> tuple[Self, bytes]:
        """Return the position and the proof of a cursor. Raises NoCursorError."""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            version, target, fresh, kinds = raw[PROOF:].decode("ascii").split(".")
            position = cls(int(version), tuple(kinds.split(",")) if kinds else (), int(target), fresh == "1")
        except (ValueError, binascii.Error):
            raise NoCursorError(cursor) from None
        if position.version < 0 or not 0 <= position.known < 2**63 or set(position.kinds) - set(BY_NAME):
            raise NoCursorError(cursor)
        # A position has one encoding, so that two cursors are equal if their positions are.
        if position._encoded(raw[:PROOF]) != cursor:
            raise NoCursorError(cursor)
        return position, raw[:PROOF]

    def _encoded(self, proof: bytes) -> str:
        return base64.urlsafe_b64encode(proof + str(self).encode()).decode().rstrip("=")

    def __str__(self) -> str:
        """Return the position as one line of text, which its proof covers."""
        return f"{self.version}.{self.target}.{int(self.fresh)}.{','.join(self.kinds)}"

    def covers(self, kinds: Sequence[str]) -> bool:
        """Tell whether the reader knows the changes of all these nouns; an empty list stands for every noun."""
        return not self.kinds or (bool(kinds) and set(kinds) <= set(self.kinds))

    def _proof(self, chain: bytes) -> bytes:
        return hashlib.sha256(f"digital-cities/cursor/1\n{self}\n".encode() + chain).digest()[:PROOF]

    def holds(self, proof: bytes, chain: bytes) -> bool:
        """Tell whether a cursor with this proof was made from a chain with this hash."""
        return proof == self._proof(chain)


def read_of_change(cursor: str, kinds: tuple[str, ...]) -> tuple[Position, str] | None:
    """Return the position and the proof of the cursor of a change; None if the text is none."""
    if not (match := OF_CHANGE.fullmatch(cursor)):
        return None
    return Position(int(match[1]), kinds, compacted=int(match[2])), match[3]


def proof_of_change(chain: bytes) -> str:
    """Return the proof in the cursors of changes, from the chain's hash at the version that they depend on."""
    return chain.hex()[:16]


# --- pages


@dataclass(frozen=True)
class Feed:
    """A request to the feed: the changes of some nouns (none for all) after a position and up to a version.

    Without ``history``, a record that changed several times up to there appears once, with its last change, and after an
    erasure of its past. A reader that has read to the end therefore has the state of that version; before the end, it lacks
    records that change again on the way.
    """

    since: Position
    until: int
    kinds: tuple[str, ...]
    history: bool = False

    @property
    def fresh(self) -> bool:
        """Whether the reader began with nothing."""
        return self.since.fresh if self.since.target else self.since.version == 0

    @property
    def shape(self) -> Hashable:
        """The parts of its conditions that are not parameters."""
        return self.kinds, self.history, self.fresh

    @property
    def values(self) -> dict[str, int]:
        """The values of its parameters."""
        return {"since": self.since.version, "until": self.until}

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions of its revisions, except for the nouns and the last version."""
        since, until = (bindparam(name, type_=Revision.version.type) for name in ("since", "until"))
        yield Revision.version > since
        if not self.history:
            yield or_(Revision.superseded.is_(None), Revision.superseded > until, Revision.erases)
            # A document that was cut since has been superseded, so a later change of its record is still to come.
            yield or_(Revision.op == Op.DELETE, Revision.document.is_not(None))
            if self.fresh:
                yield Revision.op == Op.UPSERT


@dataclass(frozen=True)
class Page:
    """A page of a feed, up to the version ``end``; ``oversized`` if a single commit makes it longer than the limit."""

    feed: Feed
    end: int
    rows: int
    oversized: bool = False

    @property
    def more(self) -> bool:
        """Whether there is another page."""
        return self.end < self.feed.until

    @property
    def position(self) -> Position:
        """The position of a reader that has read the page."""
        feed = self.feed
        return Position(self.end, feed.kinds, feed.until, feed.fresh) if self.more else Position(self.end, feed.kinds)

    def cursors(self, chain: bytes) -> Callable[[int], str]:
        """Return a function from the version of a change to its cursor, given the chain's hash at the end of the feed."""
        proof = f"-{self.feed.until:016d}-{proof_of_change(chain)}"
        return lambda version: f"{version:016d}{proof}"


def page(session: Session, feed: Feed, limit: int) -> Page:
    """Return the next page: whole commits with about ``limit`` changes."""
    rows = statements.rows(session, ("page", feed.shape), lambda: _versions(feed), {**feed.values, "limit": limit + 1})
    if len(rows) <= limit:
        return Page(feed, feed.until, len(rows))
    (_, beyond) = rows[-1]
    whole = [commit for _, commit in rows if commit != beyond]
    # A commit of more than ``limit`` changes is a page of its own.
    commit = whole[-1] if whole else beyond
    ((end,),) = statements.rows(session, "end", _end, {"commit": commit})
    return Page(feed, min(end, feed.until), len(whole), oversized=not whole)


def _versions(feed: Feed) -> Any:
    """Return a SELECT of the first versions of a feed, each with its commit."""
    limit = bindparam("limit", type_=Revision.version.type)
    until = bindparam("until", type_=Revision.version.type)
    statement = select(Revision.version, Revision.commit_version).where(*feed.conditions(), Revision.version <= until)
    statement = statement.order_by(Revision.version).limit(limit)
    if not feed.kinds:
        return statement.where(is_known_kind())
    every = _of_each(feed, statement)
    return select(*every.c).order_by(every.c.version).limit(limit)


def _of_each(feed: Feed, statement: Any) -> Subquery:
    """Return the rows of a statement about one noun, for each noun of a feed.

    Each noun has its own part of the index, and several nouns have no common order there.
    """
    return union_all(*[select(statement.where(Revision.kind == literal(kind)).subquery()) for kind in feed.kinds]).subquery()


def _end() -> Any:
    statement = select(Revision.version).where(Revision.commit_version == bindparam("commit"))
    return statement.order_by(Revision.version.desc()).limit(1)


def changes(session: Session, page: Page) -> Generator[RevisionRow]:
    """Yield the changes of a page, in order; those of an oversized page are streamed."""
    feed, values = page.feed, {**page.feed.values, "end": page.end}
    if page.oversized:
        with closing(session.execute(_changes(feed), values, execution_options={"yield_per": BATCH})) as streamed:
            yield from (RevisionRow(*row) for row in streamed)
        return
    rows = statements.rows(session, ("changes", feed.shape), lambda: _changes(feed), values)
    yield from (RevisionRow(*row) for row in rows)


def _changes(feed: Feed) -> Select[Any]:
    end = bindparam("end", type_=Revision.version.type)
    nouns = Revision.kind.in_([literal(kind) for kind in feed.kinds]) if feed.kinds else is_known_kind()
    conditions = (*feed.conditions(), nouns, Revision.version <= end)
    return select(*revision_columns()).where(*conditions).order_by(Revision.version)


# --- the newest first


class NewChange(NamedTuple):
    """A change with its author, and the document of the record, also of one that it deletes."""

    row: RevisionRow
    author: str | None
    document: str | None


def newest(session: Session, feed: Feed, below: int, limit: int) -> list[NewChange]:
    """Return at most ``limit`` changes of a feed below a version, the newest first.

    Commits are split, and documents that were cut are left out: this is for people, not for copies.
    """
    values = {**feed.values, "below": below, "limit": limit}
    rows = statements.rows(session, ("newest first", feed.shape), lambda: _newest(feed), values)
    return [NewChange(RevisionRow(*row[:-2]), row[-2], row[-1]) for row in rows]


def _newest(feed: Feed) -> Select[Any]:
    below, limit = (bindparam(name, type_=Revision.version.type) for name in ("below", "limit"))
    there = or_(Revision.op == Op.DELETE, Revision.document.is_not(None))
    chosen = select(Revision.version).where(*feed.conditions(), there, Revision.version < below)
    chosen = chosen.order_by(Revision.version.desc()).limit(limit)
    if feed.kinds:
        every = _of_each(feed, chosen)
        chosen = select(every.c.version).order_by(every.c.version.desc()).limit(limit)
    else:
        chosen = chosen.where(is_known_kind())
    before = aliased(Revision)
    of_record = and_(before.kind == Revision.kind, before.id == Revision.id, before.superseded == Revision.version)
    statement = select(*revision_columns(), Revision.author, func.coalesce(Revision.document, before.document))
    statement = statement.outerjoin(before, and_(Revision.op == Op.DELETE, of_record))
    return statement.where(Revision.version.in_(select(*chosen.subquery().c))).order_by(Revision.version.desc())
