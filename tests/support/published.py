"""Published changes."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.ledger.models import Revision

# Runs raw SQL in a database, sweeps, and returns the published changes.
Changes = Callable[..., list[tuple[str, str, str]]]

LAKE, VISION = "los-angeles-ca-data-lake", "los-angeles-ca-vision-ai"


def published(session: Session, since: int) -> list[tuple[str, str, str]]:
    """Return the revisions after a version, in order."""
    rows = session.execute(
        select(Revision.op, Revision.kind, Revision.id).where(Revision.version > since).order_by(Revision.version)
    )
    return [(row.op.value, row.kind, row.id) for row in rows]
