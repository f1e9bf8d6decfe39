"""Removes superseded documents: old ones, and those of a record that the law requires to be erased.

Only documents are cut. Versions, hashes and the chain stay, so the feed, the digest and every cursor remain valid. An erasure
is published, so that it reaches copies, too.
"""

import datetime as dt
import json

from sqlalchemy import ColumnElement, Engine, delete, func, select, text, update
from sqlalchemy.orm import Session

from api.db.engines import autocommit
from api.ledger import head
from api.ledger.models import Head, Op, ReplacedRecord, Revision
from api.ledger.publish import publish_erasure, settle

SUPERSEDED = (Revision.superseded.is_not(None), Revision.document.is_not(None))
COUNT_CUT = update(Head).values(cuts=Head.cuts + 1)


def trim(session: Session, before: dt.datetime) -> int:
    """Cut the documents that were superseded before a time; returns their number. Versions from there on stay readable."""
    settle(session)
    newest = session.scalar(select(func.max(Revision.version)).where(Revision.changed_at < before)) or 0
    cut = update(Revision).where(*SUPERSEDED, Revision.superseded <= newest).values(document=None)
    versions = session.scalars(cut.returning(Revision.superseded), execution_options={"synchronize_session": False}).all()
    if versions:
        highest = max(version or 0 for version in versions)
        session.execute(update(Head).where(Head.trimmed < highest).values(trimmed=highest))
        session.execute(COUNT_CUT)
        head.forget(session)
    return len(versions)


def erase(session: Session, kind: str, id: str) -> int:
    """Cut every superseded document of a record that differs from the current one; returns their number.

    Readers of the feed are told, unless they were told of all that is past already. The current document is left to editors,
    with earlier ones that are equal to it. The caller erases copies elsewhere, such as stored answers to writes.
    """
    settle(session)
    past = _past(session, kind, id)
    told = select(func.max(Revision.version)).where(Revision.kind == kind, Revision.id == id, Revision.erases)
    newest = session.scalar(select(func.max(Revision.version)).where(*past)) or 0
    cut = update(Revision).where(*SUPERSEDED, *past).values(document=None).returning(Revision.version)
    versions = session.scalars(cut, execution_options={"synchronize_session": False}).all()
    if newest > (session.scalar(told) or 0):
        publish_erasure(session, kind, id)
    _forget_replaced(session, kind, id)
    session.execute(COUNT_CUT)
    head.forget(session)
    return len(versions)


def _forget_replaced(session: Session, kind: str, id: str) -> None:
    """Delete what a correction kept of a record, and of the citations about it, which would dangle without it."""
    session.execute(delete(ReplacedRecord).where(ReplacedRecord.kind == kind, ReplacedRecord.id == id))
    citations = select(ReplacedRecord.number, ReplacedRecord.rows).where(ReplacedRecord.kind == "citations")
    subjects = {number: [row for _, row in json.loads(rows)] for number, rows in session.execute(citations)}
    about = [
        number
        for number, rows in subjects.items()
        if any((row["subject_kind"], row["subject_id"]) == (kind, id) for row in rows)
    ]
    session.execute(delete(ReplacedRecord).where(ReplacedRecord.number.in_(about)))


def _past(session: Session, kind: str, id: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a record's superseded states that differ from its current one."""
    last = select(Revision.hash).where(Revision.kind == kind, Revision.id == id, Revision.superseded.is_(None))
    differs = Revision.hash.is_distinct_from(session.scalar(last))
    return Revision.kind == kind, Revision.id == id, Revision.op == Op.UPSERT, Revision.superseded.is_not(None), differs


def vacuum(engine: Engine, *tables: str) -> None:
    """Remove deleted data of the revisions, and of these other tables, from the database's files."""
    if engine.dialect.name == "postgresql":
        with autocommit(engine) as connection:
            for table in (Revision.__tablename__, *tables):
                connection.execute(text(f"vacuum full {table}"))
        return
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("vacuum")
        cursor.execute("pragma wal_checkpoint(truncate)")
    finally:
        raw.close()
