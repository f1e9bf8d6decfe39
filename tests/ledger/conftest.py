"""Raw SQL whose changes are published."""

import pytest
from sqlalchemy import text

from api.db.database import Database
from api.ledger import publish
from api.ledger.verify import verify
from tests.support.databases import head
from tests.support.lengths import Sample
from tests.support.published import Changes, published


@pytest.fixture
def changes(sample: Sample) -> Changes:
    """Publishes raw SQL. The ledger must then agree: `make test` checks a third of the publications, drawn by its seed."""

    def publish_changes(database: Database, *statements: str) -> list[tuple[str, str, str]]:
        before = head(database)
        with database.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        publish.sweep(database)
        with database.reading() as session:
            if 0 in sample(range(3), 1):
                assert list(verify(session)) == []
            return published(session, before)

    return publish_changes
