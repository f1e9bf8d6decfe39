"""What is not kept for ever: superseded documents, when they are old, or when the law wants one gone.

Only documents are cut. Versions, hashes and the chain stay, so the feed, the digest and every cursor are as they were.
"""

import datetime as dt

from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.orm import Session

from api.ledger.models import Head, Revision
from api.ledger.publish import settle

PAST = (Revision.superseded.is_not(None), Revision.document.is_not(None))
COUNT = update(Head).values(cuts=Head.cuts + 1)


def trim(session: Session, before: dt.datetime) -> int:
    """Cut the documents that were superseded before a time; returns how many. The past is readable from there on."""
    settle(session)
    newest = session.scalar(select(func.max(Revision.version)).where(Revision.changed_at < before)) or 0
    cut = update(Revision).where(*PAST, Revision.superseded <= newest).values(document=None)
    versions = session.scalars(cut.returning(Revision.superseded), execution_options={"synchronize_session": False}).all()
    if versions:
        highest = max(version or 0 for version in versions)
        session.execute(update(Head).where(Head.trimmed < highest).values(trimmed=highest))
        session.execute(COUNT)
    return len(versions)


def erase(session: Session, kind: str, id: str) -> int:
    """Cut every past document of a record; returns how many. What it says now is for its editors to change, or to delete.

    What else may hold it, such as stored answers to writes, is for the caller to erase.
    """
    settle(session)
    cut = update(Revision).where(*PAST, Revision.kind == kind, Revision.id == id).values(document=None)
    versions = session.scalars(cut.returning(Revision.version), execution_options={"synchronize_session": False}).all()
    session.execute(COUNT)
    return len(versions)


def forget(engine: Engine, *tables: str) -> None:
    """Take what was cut from the revisions, and from these tables, out of the database's files."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        if engine.dialect.name == "postgresql":
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
