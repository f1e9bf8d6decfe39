"""The lock on the head, and epochs: versions that were lost, as by a restored backup, are never used again.

The next versions after a loss are those of a new epoch, far above. A loss is noticed when the head is locked, so before
anything is written: by PostgreSQL's identity, or by what is remembered outside of the database.
"""

import datetime as dt
import logging
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, literal_column, select, text, update
from sqlalchemy.orm import Session

from api.db import statements
from api.db.database import HEAD, MEMORY, Database
from api.db.memory import NOTHING, Memory, Published
from api.errors import ProblemError
from api.ledger import head
from api.ledger.index import bitmaps
from api.ledger.models import EPOCH, Head

# PostgreSQL's cluster and the timeline of its log, and the identity of the database and of the head's table. Every promotion
# and every recovery begins another timeline, and a dump that is restored makes another table.
ORIGIN: ColumnElement[str] = literal_column(
    "(select concat_ws('-', system_identifier, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), "
    "(select oid from pg_database where datname = current_database()), 'ledger_head'::regclass::oid) from pg_control_system())"
).label("current_origin")

# The name in the `info` of a session of the version that was remembered.
REMEMBERED = "remembered"
logger = logging.getLogger(__name__)


class LockedHead(NamedTuple):
    """The head as this transaction locked it.

    ``version`` is the last version, and the next one follows ``before``, which is higher if an epoch has begun. ``now`` is the
    time of this publication. ``indexed``: the bitmap index is complete. ``scoped`` is ``before`` if the
    scopes of all versions are stored, else the last version up to which they are. ``begun``: its epoch has just begun.
    """

    epoch: int
    begun: bool
    version: int
    before: int
    chain: bytes
    now: dt.datetime
    indexed: bool
    scoped: int


def lock_head(session: Session) -> LockedHead:
    """Lock the head, once other publications have ended; begin an epoch if versions that were published may be lost."""
    row = locked_row(session)
    session.info[HEAD] = _head
    epoch, origin = _next_epoch(session, row), getattr(row, "current_origin", None)
    if (epoch, origin) != (row.epoch, row.origin):
        session.execute(update(Head).values(epoch=epoch, origin=origin))
        head.forget(session)
    now = dt.datetime.now(dt.UTC)
    # Times never run backwards, even if the clocks of the writers differ.
    now = max(row.changed_at, now.replace(microsecond=now.microsecond // 1000 * 1000))
    indexed = row.indexed == bitmaps.stamp(row.version)
    before = max(row.version, epoch * EPOCH)
    # An epoch has no versions up to its first one.
    scoped = before if row.scoped >= row.version else row.scoped
    return LockedHead(epoch, epoch != row.epoch, row.version, before, row.chain, now, indexed, scoped)


def locked_row(session: Session) -> Any:
    """Return the row of the head, and keep its lock until the transaction ends; nothing is changed.

    A transaction reads it once, until `head.forget`. On SQLite, where `FOR UPDATE` means nothing, the transaction that writes
    has its lock already.
    """
    if head.LOCKED not in session.info:
        (session.info[head.LOCKED],) = statements.rows(
            session, "lock head", lambda: select(*_columns(session)).with_for_update(), {}
        )
    return session.info[head.LOCKED]


def floor(session: Session) -> int:
    """Return the version that the next one follows: there never will be one between the last one and this.

    The database must not be a standby.
    """
    row = session.execute(select(*_columns(session))).one()
    version: int = row.version
    return max(version, _next_epoch(session, row) * EPOCH)


def begin_if_lost(database: Database) -> None:
    """Begin an epoch, without waiting for the next write, if versions that were published may be lost."""
    with database.reading() as session:
        row = session.execute(select(*_columns(session))).one()
        has_lost = _has_lost(session, row, _remembered(session))
    if has_lost:
        with database.writing() as session:
            lock_head(session)


def _columns(session: Session) -> list[Any]:
    columns: list[Any] = [Head.epoch, Head.version, Head.changed_at, Head.chain, Head.origin, Head.indexed, Head.scoped]
    columns.append(head.noted().label("noted"))
    return [*columns, ORIGIN] if session.get_bind().dialect.name == "postgresql" else columns


def _next_epoch(session: Session, row: Any) -> int:
    """Return the epoch of the next version after a head: another one if versions that were published may be lost."""
    remembered, epoch = _remembered(session), int(row.epoch)
    return max(epoch, remembered.version // EPOCH) + 1 if _has_lost(session, row, remembered) else epoch


def _has_lost(session: Session, row: Any, remembered: Published) -> bool:
    """Tell whether the database of a head may have lost versions that were published."""
    # A database without an origin is a new one, and not another future of an old one.
    is_another = row.origin not in {None, getattr(row, "current_origin", None)}
    return is_another or _is_lost(session, remembered, Published(row.version, row.chain), row.epoch)


def _remembered(session: Session) -> Published:
    """Return the highest version that was published, as far as it is remembered. Raises a ProblemError.

    A session that has the lock reads it once: nobody else publishes meanwhile.
    """
    memory: Memory | None = session.info.get(MEMORY)
    try:
        if REMEMBERED not in session.info:
            session.info[REMEMBERED] = memory.read() if memory else NOTHING
    except OSError as error:
        logger.error("The highest version that was published cannot be read: %s", error.strerror)  # noqa: TRY400
        raise ProblemError("unavailable", "The server cannot tell which version comes next.") from None
    remembered: Published = session.info[REMEMBERED]
    return remembered


def _head(session: Session) -> Published:
    if head.PUBLISHED in session.info:
        published: Published = session.info[head.PUBLISHED]
        return published
    row = locked_row(session)
    return Published(row.version, row.chain)


def _is_lost(session: Session, remembered: Published, now: Published, epoch: int) -> bool:
    """Tell whether a version that was published is not in the database, and the next versions could be taken for it."""
    if remembered in {NOTHING, now}:
        return False
    if remembered.version > max(now.version, epoch * EPOCH):
        return True
    # If an epoch has begun since, the next version is above everything that was lost.
    return now.version >= epoch * EPOCH and not head.is_past(session, *remembered)


def new_epoch(session: Session) -> int:
    """Begin a new epoch and return its number, so that no version is used twice, for two different futures.

    Call it for a restored database, before anything is written to it.
    """
    locked = lock_head(session)
    if locked.begun:
        return locked.epoch
    head.forget(session)
    return session.execute(update(Head).values(epoch=Head.epoch + 1).returning(Head.epoch)).scalar_one()


def begin_above(session: Session, epoch: int) -> None:
    """Begin an epoch above a database's own and another one; the database can have the schema of an older release."""
    statement = "update ledger_head set epoch = 1 + case when epoch > :epoch then epoch else :epoch end"
    session.execute(text(statement), {"epoch": epoch})
