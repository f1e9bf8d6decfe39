"""The feed: changes in commit order, and the cursors of its readers."""

import base64
import binascii
import hashlib
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import ColumnElement, Select, bindparam, literal, or_, select, union_all
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger.history import BATCH, Change, _columns, _ours
from api.ledger.models import Op, Revision
from api.resources import BY_NAME

PROOF = 12


class NoCursorError(ValueError):
    """A text that is none of our cursors."""


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
    rows = statements.rows(session, ("page", feed.shape), lambda: _ends(feed), {**feed.values, "limit": limit + 1})
    if len(rows) <= limit:
        return Page(feed, feed.until, len(rows))
    (_, beyond) = rows[-1]
    whole = [commit for _, commit in rows if commit != beyond]
    # A commit of more than a page is a page of its own.
    commit = whole[-1] if whole else beyond
    ((end,),) = statements.rows(session, "end", _end, {"commit": commit})
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


def _end() -> Any:
    asked = select(Revision.version).where(Revision.commit_version == bindparam("commit"))
    return asked.order_by(Revision.version.desc()).limit(1)


def changes(session: Session, page: Page) -> Generator[Change]:
    """Yield the changes of a page, in order."""
    feed, values = page.feed, {**page.feed.values, "end": page.end}
    if page.many:
        with closing(session.execute(_changes(feed), values, execution_options={"yield_per": BATCH})) as streamed:
            yield from (Change(*row) for row in streamed)
        return
    rows = statements.rows(session, ("changes", feed.shape), lambda: _changes(feed), values)
    yield from (Change(*row) for row in rows)


def _changes(feed: Feed) -> Select[Any]:
    end = bindparam("end", type_=Revision.version.type)
    nouns = Revision.kind.in_([literal(kind) for kind in feed.kinds]) if feed.kinds else _ours()
    return select(*_columns()).where(*feed.conditions(), nouns, Revision.version <= end).order_by(Revision.version)
