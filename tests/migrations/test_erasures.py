"""Erasures before and after their migration."""

import pytest
from alembic import command
from sqlalchemy import text

from api.ledger import publish, retention
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import SQLITE_FIRST, config, opened, publishing, upgrade

# A record of our own, which no revision corrects.
ADD = "insert into priorities (id, name, description) values ('zz-own', 'Own', 'Own.')"
CHANGE = "update priorities set description = '{}' where id = 'zz-own'"


@pytest.mark.slow
@SQLITE_FIRST
def test_an_erasure_is_a_deletion_to_an_earlier_release(settings: Settings) -> None:
    """After a downgrade and an upgrade erasures are deletions: the chain is whole, and nothing is published again."""
    with opened(settings) as database:
        for statement in (ADD, CHANGE.format("Other.")):
            with publishing(database) as session:
                session.execute(text(statement))
        with database.writing() as session:
            assert retention.erase(session, "priorities", "zz-own") == 1
        # An earlier release, which does not know the column, adds revisions without it.
        command.downgrade(config(database), "0012")
    upgrade(settings)
    with opened(settings) as database:
        with publishing(database) as session:
            session.execute(text(CHANGE.format("Third.")))
        with database.reading() as session:
            assert list(verify(session)) == []
            rows = session.execute(text("select op, erases from revision where id = 'zz-own' order by version"))
            assert [(op, bool(erases)) for op, erases in rows] == [
                ("upsert", False),
                ("upsert", False),
                ("delete", False),
                ("upsert", False),
                ("upsert", False),
            ]
        assert publish.sweep(database).revisions == 0
