"""Erasures before and after their migration."""

from alembic import command
from sqlalchemy import text

from api.ledger import publish, retention
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import config, opened, publishing, upgrade


def test_an_erasure_is_a_deletion_to_an_earlier_release(settings: Settings) -> None:
    """After a downgrade and an upgrade erasures are deletions: the chain is whole, and nothing is published again."""
    with opened(settings) as database:
        with publishing(database) as session:
            session.execute(text("update cities set summary = 'Other.' where id = 'boston-ma'"))
        with database.writing() as session:
            assert retention.erase(session, "cities", "boston-ma") == 1
        # An earlier release, which does not know the column, adds revisions without it.
        command.downgrade(config(database), "0012")
    upgrade(settings)
    with opened(settings) as database:
        with publishing(database) as session:
            session.execute(text("update cities set summary = 'Third.' where id = 'boston-ma'"))
        with database.reading() as session:
            assert list(verify(session)) == []
            rows = session.execute(
                text("select op, erases from revision where id = 'boston-ma' and version > 603 order by version")
            )
            assert [(op, bool(erases)) for op, erases in rows] == [
                ("upsert", False),
                ("delete", False),
                ("upsert", False),
                ("upsert", False),
            ]
        assert publish.sweep(database).revisions == 0
