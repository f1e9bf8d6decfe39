"""Published changes."""

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import publish
from api.ledger.models import Revision
from api.ledger.verify import verify
from tests.support.databases import head

LAKE, VISION = "los-angeles-ca-data-lake", "los-angeles-ca-vision-ai"


def published(session: Session, since: int) -> list[tuple[str, str, str]]:
    """Return the revisions after a version, in order."""
    rows = session.execute(
        select(Revision.op, Revision.kind, Revision.id).where(Revision.version > since).order_by(Revision.version)
    )
    return [(row.op.value, row.kind, row.id) for row in rows]


def changes(database: Database, *statements: str) -> list[tuple[str, str, str]]:
    """Run raw SQL, sweep, and return the published changes; the ledger must then agree."""
    before = head(database)
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    publish.sweep(database)
    with database.reading() as session:
        assert list(verify(session)) == []
        return published(session, before)
