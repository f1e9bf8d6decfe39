"""The feed: changes in commit order, page by page."""

from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, asc, bindparam, desc, exists, func, literal, or_, select, union_all
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.ledger.cursors import Position, proof_of_change
from api.ledger.history import RevisionRow, revision_columns
from api.ledger.models import BATCH, Op, Revision
from api.ledger.parts import Part, is_known_kind

EVERYTHING = Part()
SINCE, UNTIL, END, LIMIT = (bindparam(name, type_=Revision.version.type) for name in ("since", "until", "end", "limit"))
# The condition that a column with a version is in a range.
Condition = Callable[[Any], ColumnElement[bool]]


# --- pages


@dataclass(frozen=True)
class Feed:
    """A request to the feed: the changes of a part of the dataset after a position and up to a version.

    Without ``history``, a record that changed several times up to there appears once, with its last change, and after an
    erasure of its past. A reader that has read to the end therefore has the state of that version; before the end, it lacks
    records that change again on the way.

    A revision by which a record leaves the scopes is a tombstone, and the last change of the record unless it comes back.
    """

    since: Position
    until: int
    part: Part = EVERYTHING
    history: bool = False

    @property
    def fresh(self) -> bool:
        """Whether the reader began with nothing."""
        return self.since.fresh if self.since.target else self.since.version == 0

    @property
    def shape(self) -> Hashable:
        """The parts of its conditions that are not parameters."""
        return self.part.shape, self.history, self.fresh

    @property
    def values(self) -> dict[str, Any]:
        """The values of its parameters."""
        return {"since": self.since.version, "until": self.until, **self.part.values}

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of its revisions, except for their nouns and the range of their versions."""
        last = [] if self.history else [*self._last()]
        if not self.part.scopes:
            return last
        inside = and_(self.part.inside(Revision.version), *last)
        return [inside if self.fresh and not self.history else or_(inside, self._tombstones())]

    def _last(self) -> Iterator[ColumnElement[bool]]:
        yield or_(Revision.superseded.is_(None), Revision.superseded > UNTIL, Revision.erases)
        # A document that was cut since has been superseded, so a later change of its record is still to come.
        yield or_(Revision.op == Op.DELETE, Revision.document.is_not(None))
        if self.fresh:
            yield Revision.op == Op.UPSERT

    def _tombstones(self) -> ColumnElement[bool]:
        left = self.part.left(Revision.version)
        if self.history:
            return left
        later = aliased(Revision)
        of_record = (later.kind == Revision.kind, later.id == Revision.id, later.version > Revision.version)
        return and_(left, ~exists().where(*of_record, later.version <= UNTIL, self.part.inside(later.version)))


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
        kinds, mark = self.feed.part.kinds, self.feed.part.mark
        if self.more:
            return Position(self.end, kinds, self.feed.until, self.feed.fresh, mark=mark)
        return Position(self.end, kinds, mark=mark)

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


def _versions(feed: Feed) -> Select[Any]:
    """Return a SELECT of the first versions of a feed, each with its commit."""
    columns = (Revision.version, Revision.commit_version)
    return _limited(feed, columns, _up_to(UNTIL), asc)


def _up_to(last: ColumnElement[int]) -> Condition:
    return lambda version: and_(version > SINCE, version <= last)


def _limited(feed: Feed, columns: Sequence[Any], within: Condition, order: Callable[[Any], Any], *more: Any) -> Select[Any]:
    """Return a SELECT of the first revisions of a feed with a version ``within`` a range, in an order of their versions.

    Each noun, and each city or survey, has its own part of an index, and several of them have no common order there.
    """
    part, revisions = feed.part, select(*columns).where(*feed.conditions(), *more)
    in_range = revisions.where(within(Revision.version)).order_by(order(Revision.version)).limit(LIMIT)
    if part.scopes:
        branches = [
            revisions.join(scope, and_(scope.version == Revision.version, of_scope))
            .where(within(scope.version), part.of_kinds())
            .order_by(order(scope.version))
            .limit(LIMIT)
            for scope, of_scope in part.branches()
        ]
    elif part.kinds:
        branches = [in_range.where(Revision.kind == literal(kind)) for kind in part.kinds]
    else:
        return in_range.where(is_known_kind())
    every = union_all(*[select(branch.subquery()) for branch in branches]).subquery()
    merged = select(*every.c).order_by(order(every.c.version)).limit(LIMIT)
    # A revision can belong to several.
    return merged.distinct() if part.scopes else merged


def _end() -> Any:
    statement = select(Revision.version).where(Revision.commit_version == bindparam("commit"))
    return statement.order_by(Revision.version.desc()).limit(1)


def changes(session: Session, page: Page) -> Generator[RevisionRow]:
    """Yield the changes of a page, in order; those of an oversized page are streamed."""
    feed, values = page.feed, {**page.feed.values, "end": page.end}
    if page.oversized:
        with closing(session.execute(_changes(feed), values, execution_options={"yield_per": BATCH})) as streamed:
            yield from (_told(feed, row) for row in streamed)
        return
    rows = statements.rows(session, ("changes", feed.shape), lambda: _changes(feed), values)
    yield from (_told(feed, row) for row in rows)


def _changes(feed: Feed) -> Select[Any]:
    within = _up_to(END)
    conditions = [*feed.conditions(), feed.part.of_kinds(), within(Revision.version)]
    if feed.part.scopes:
        conditions.append(Revision.version.in_(feed.part.versions(within)))
    return select(*_columns(feed)).where(*conditions).order_by(Revision.version)


def _columns(feed: Feed) -> list[Any]:
    """Return the columns of a `RevisionRow`, and after them whether it belongs to the feed's scopes, if there are some."""
    return [*revision_columns(), *([feed.part.inside(Revision.version)] if feed.part.scopes else [])]


def _told(feed: Feed, columns: Sequence[Any]) -> RevisionRow:
    """Return a revision as readers of a feed are told it: one that left its scopes is a deletion."""
    row = RevisionRow(*columns[: len(RevisionRow._fields)])
    if feed.part.scopes and not columns[len(row)]:
        return row._replace(op=Op.DELETE, document=None, leaf=None)
    return row


# --- the newest first


class NewChange(NamedTuple):
    """A change with its author, whether it is its record's first, the document before it, and that of the record."""

    row: RevisionRow
    author: str | None
    is_first: bool
    before: str | None
    document: str | None


def newest(session: Session, feed: Feed, below: int, limit: int) -> list[NewChange]:
    """Return at most ``limit`` changes of a feed below a version, the newest first.

    Commits are split, and documents that were cut are left out: this is for people, not for copies.
    """
    values = {**feed.values, "end": below - 1, "limit": limit}
    rows = statements.rows(session, ("newest first", feed.shape), lambda: _newest(feed), values)
    return [NewChange(_told(feed, row), *row[-4:]) for row in rows]


def _newest(feed: Feed) -> Select[Any]:
    there = or_(Revision.op == Op.DELETE, Revision.document.is_not(None))
    chosen = _limited(feed, [Revision.version], _up_to(END), desc, there)
    before = aliased(Revision)
    of_record = and_(before.kind == Revision.kind, before.id == Revision.id, before.superseded == Revision.version)
    statement = select(*_columns(feed), Revision.author, before.version.is_(None), before.document)
    statement = statement.add_columns(func.coalesce(Revision.document, before.document))
    statement = statement.outerjoin(before, of_record)
    return statement.where(Revision.version.in_(select(*chosen.subquery().c))).order_by(Revision.version.desc())
