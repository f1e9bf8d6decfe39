"""The cities and surveys of revisions that were published before their migration."""

import random

from alembic import command
from sqlalchemy import select, text, update

from api.ledger import publish
from api.ledger.models import Revision, RevisionScope
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import SQLITE_FIRST, config, opened, publishing, upgrade
from tests.support.parts import begin, change

SCOPES = select(RevisionScope.version, RevisionScope.kind, RevisionScope.id, RevisionScope.belongs, RevisionScope.belonged)


@SQLITE_FIRST
def test_an_upgrade_fills_scopes(settings: Settings) -> None:
    """An upgrade stores what the publication of each revision would have stored, and `verify` agrees."""
    chance = random.Random(1)  # noqa: S311 - nothing is secret
    with opened(settings) as database:
        with publishing(database) as session:
            begin(session)
        for _ in range(12):
            with publishing(database) as session:
                for _ in range(4):
                    change(session, chance)
        with database.reading() as session:
            before = session.execute(SCOPES).all()
        command.downgrade(config(database), "0020")
    upgrade(settings)
    with opened(settings) as database, database.reading() as session:
        assert sorted(session.execute(SCOPES).all()) == sorted(before)
        assert list(verify(session)) == []


@SQLITE_FIRST
def test_an_upgrade_without_documents(settings: Settings) -> None:
    """A revision without its document gets no scopes; those whose documents are left get theirs, and an erasure gets these."""
    moves = [f"update organizations set city_id = '{city}' where id = 'or0-zz'" for city in ("c1-zz", "c2-zz")]
    with opened(settings) as database:
        with publishing(database) as session:
            begin(session)
            session.execute(
                text("insert into organizations (id, name, type, city_id) values ('or0-zz', 'O', 'company', 'c0-zz')")
            )
        for move in moves:
            with publishing(database) as session:
                session.execute(text(move))
        of_record = (Revision.id == "or0-zz", Revision.superseded.is_not(None))
        with database.writing() as session:
            session.execute(update(Revision).where(*of_record, Revision.document.like("%c0-zz%")).values(document=None))
            publish.publish_erasure(session, "organizations", "or0-zz")
        command.downgrade(config(database), "0020")
    upgrade(settings)
    with opened(settings) as database, database.reading() as session:
        rows = session.execute(SCOPES.join(Revision, Revision.version == RevisionScope.version).where(Revision.id == "or0-zz"))
        first = session.scalars(select(Revision.version).where(Revision.id == "or0-zz")).first() or 0
        assert sorted((version - first, id, belongs, belonged) for version, _, id, belongs, belonged in rows) == [
            (1, "c1-zz", True, False),
            (2, "c1-zz", False, True),
            (2, "c2-zz", True, False),
            (3, "c1-zz", True, False),
            (3, "c2-zz", True, True),
            (4, "c2-zz", True, False),
        ]
