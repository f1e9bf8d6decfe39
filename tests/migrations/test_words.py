"""A database whose index has the words of another release."""

import pytest
from alembic import command
from sqlalchemy import select, text, update

from api.ledger import rebuild
from api.ledger.index import fulltext, words
from api.ledger.models import CURRENT, Head, Revision
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import REVISIONS, SQLITE_FIRST, config, opened, upgrade
from tests.support.lengths import few

# The stamp that the index has, and whether an upgrade rebuilds it.
STAMPS = {
    "this release": ("{signature} {words} {version}", False),
    "a release without rules": ("{signature} {version}", True),
    "another rule": ("{signature} 0003 {version}", True),
    "an older release wrote since": ("{signature} {words} 1", True),
    "no stamp": (None, True),
}


@SQLITE_FIRST
@pytest.mark.parametrize("stamp", few(STAMPS, "this release", "a release without rules"))
def test_an_upgrade_rebuilds_other_words(settings: Settings, stamp: str) -> None:
    """An upgrade rebuilds an index whose words another release made, and leaves the index of this release alone."""
    written, rebuilt = STAMPS[stamp]
    with opened(settings) as database, database.writing() as session:
        engine = fulltext.engine_of(session)
        version = session.scalars(select(Revision.version).where(Revision.id == "boston-ma", *CURRENT)).one()
        columns = {"sqlite": "name = 'zeppelin'", "postgresql": "vector = setweight(vector, 'C')"}[
            session.get_bind().dialect.name
        ]
        session.execute(text(f"update search_index set {columns} where {engine.key} = {version}"))
        signature, _, last = (session.scalar(select(Head.indexed)) or "").split()
        indexed = written and written.format(signature=signature, words=words.VERSION, version=last)
        session.execute(update(Head).values(indexed=indexed))
    with opened(settings) as database:
        command.downgrade(config(database), REVISIONS[REVISIONS.index(words.VERSION) - 1])
    upgrade(settings)
    with opened(settings) as database, database.reading() as session:
        faults = [line for line in verify(session) if "boston-ma" in line]
        assert (faults == []) == rebuilt
        assert rebuild.has_words(session)
