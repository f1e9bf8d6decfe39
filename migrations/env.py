"""Alembic's environment: one transaction for the whole upgrade, which ends by publishing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.types import schema_for
from api.editing import idempotency
from api.ledger import publish, rebuild
from api.ledger.index.engine import TABLE
from api.settings import Settings, SettingsError
from api.web import keys
from api.webhooks import subscriptions

# Imported for their tables, which nothing else here names.
TABLES = (idempotency.Answer, keys.ApiKey, subscriptions.Webhook)
# Any number will do, as long as every release takes the same one.
UPGRADE_LOCK = 7_309_453


def migrate(connection: Connection) -> None:
    """Run what was asked for and, when that reaches the newest revision, publish what it changed."""
    if connection.dialect.name == "postgresql":
        # Two processes that start at once would run the same revision; SQLite's BEGIN IMMEDIATE waits by itself.
        connection.execute(text("set local lock_timeout = 0"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    # SQLite can roll back a schema change, although alembic leaves that off by default.
    context.configure(
        connection, target_metadata=schema_for(connection.dialect.name), transactional_ddl=True, include_name=has_model
    )
    before = context.get_context().get_current_heads()
    with context.begin_transaction():
        context.run_migrations()
    after = context.get_context().get_current_heads()
    # An older schema can't be rendered by this release: its notes wait for the way up.
    if after != before and set(after) == set(context.script.get_heads()):
        session = Session(connection)
        publication = publish.publish(session, reason="migration")
        if publication.refused:
            raise CommandError("; ".join(publication.refused))
        # What an earlier release published is not in an index that this upgrade made.
        if rebuild.is_indexed(session):
            rebuild.reindex_bitmaps(session)
        else:
            rebuild.reindex(session)


def has_model(name: str | None, kind: str, _parents: object) -> bool:
    """Tell whether a thing in the database has a counterpart in the models: the search index and its parts have none."""
    return kind != "table" or name is None or not name.startswith(TABLE)


@contextmanager
def engine() -> Iterator[Engine]:
    """Open the engine that a test hands over, or that of the settings, without a time limit."""
    given: Engine | None = context.config.attributes.get("connection")
    if given is not None:
        yield given
        return
    own = Database(replace(Settings.from_env(), statement_timeout=0), create=True).engine
    try:
        yield own
    finally:
        own.dispose()


def run() -> None:
    """Migrate, or say in one line why not."""
    if context.is_offline_mode():
        raise CommandError(
            "there are no SQL scripts: the facts are loaded and published by code, so upgrade the database itself"
        )
    try:
        with engine() as used, used.begin() as connection:
            migrate(connection)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    except DatabaseError as error:
        raise CommandError(f"the database can't be used: {' '.join(str(error.orig).split())}") from None


run()
