"""A database of the last release whose whole numbers had 32 bits on PostgreSQL."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.exc import DataError

from api.db.database import Database
from tests.support.databases import SQLITE_FIRST, Store, config, opened, publishing, template, upgrade

FORMER, WIDE = "0008", "0009"
GREAT = 2**53 - 1
OWN = text(
    "insert into citations (id, subject_kind, subject_id, field, source_id, paragraph, sentence, sentence_sha256, basis) "
    "select '0-own', subject_kind, subject_id, field, source_id, 99, sentence, sentence_sha256, basis from citations limit 1"
)
BIG_PARAGRAPH = text(f"update citations set paragraph = {GREAT} where id = '0-own'")


def paragraph(database: Database) -> int:
    """Return the paragraph of a citation of our own, which no later revision corrects."""
    with database.reading() as session:
        number: int = session.scalars(text("select paragraph from citations where id = '0-own'")).one()
        return number


@pytest.mark.slow
@SQLITE_FIRST
def test_an_upgrade_widens_numbers(store: Store) -> None:
    """An upgrade keeps every row and makes room for large numbers; the control: before, PostgreSQL refuses one."""
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        with database.writing() as session:
            session.execute(OWN)
        if store.dialect == "postgresql":
            with pytest.raises(DataError), database.writing() as session:
                session.execute(BIG_PARAGRAPH)
        upgrade(settings)
        assert paragraph(database) == 99
        with publishing(database) as session:
            session.execute(BIG_PARAGRAPH)
        assert paragraph(database) == GREAT


@pytest.mark.slow
def test_a_downgrade_loses_no_number(store: Store) -> None:
    """A downgrade is refused while a number needs more than 32 bits; SQLite has room for it at both revisions."""
    settings = store.copy(template(store, WIDE))
    with opened(settings) as database:
        with database.writing() as session:
            session.execute(OWN)
            session.execute(BIG_PARAGRAPH)
        if store.dialect == "postgresql":
            with pytest.raises(CommandError, match="out of range"):
                command.downgrade(config(database), FORMER)
        else:
            command.downgrade(config(database), FORMER)
        assert paragraph(database) == GREAT
