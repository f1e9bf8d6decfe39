"""Alembic's environment: the whole upgrade is one transaction, which ends with a publication."""

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
from api.ledger.dangling import dangling
from api.ledger.index.engine import TABLE
from api.settings import Settings, SettingsError
from api.web import keys
from api.webhooks import subscriptions

# These models are imported only so that their tables are known.
TABLES = (idempotency.StoredAnswer, keys.ApiKey, subscriptions.Webhook)
# An arbitrary number that every release uses.
UPGRADE_LOCK = 7_309_453
MEND = (
    "correct each with the former release (`PATCH /citations/{id}`), "
    "or by SQL: `update citations set field = ... where id = ...`"
)


def migrate(connection: Connection) -> None:
    """Run the requested revisions; if the newest one is reached, publish the records that they changed."""
    if connection.dialect.name == "postgresql":
        # Two processes that start together would both run the revision; on SQLite, BEGIN IMMEDIATE makes one wait.
        connection.execute(text("set local lock_timeout = 0"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    # SQLite can roll back schema changes, but Alembic assumes by default that it cannot.
    context.configure(
        connection, target_metadata=schema_for(connection.dialect.name), transactional_ddl=True, include_name=has_model
    )
    before = context.get_context().get_current_heads()
    with context.begin_transaction():
        context.run_migrations()
    after = context.get_context().get_current_heads()
    # This release cannot render an older schema, so its notes are kept until the upgrade.
    if after != before and set(after) == set(context.script.get_heads()):
        session = Session(connection)
        has_words = rebuild.has_words(session)
        publication = publish.publish(session, reason="migration")
        if publication.refused:
            raise CommandError("; ".join(publication.refused))
        if faults := [fault for _, fault in dangling(session)]:
            raise CommandError("; ".join([*faults, MEND]))
        # A new index lacks the revisions of earlier releases, and an older one can have other words.
        if has_words and rebuild.is_indexed(session):
            rebuild.reindex_bitmaps(session)
        else:
            rebuild.reindex(session)


def has_model(name: str | None, kind: str, _parents: object) -> bool:
    """Tell whether an object of the database has a model; the search index and its shadow tables have none."""
    return kind != "table" or name is None or not name.startswith(TABLE)


@contextmanager
def engine() -> Iterator[Engine]:
    """Open the engine that a test passes, or one by the settings, without a time limit for statements."""
    passed: Engine | None = context.config.attributes.get("connection")
    if passed is not None:
        yield passed
        return
    opened = Database(replace(Settings.from_env(), statement_timeout=0), create=True).engine
    try:
        yield opened
    finally:
        opened.dispose()


def run() -> None:
    """Migrate. Raises CommandError with one line if that fails."""
    if context.is_offline_mode():
        raise CommandError(
            "there are no SQL scripts: the facts are loaded and published by code, so upgrade the database itself"
        )
    try:
        with engine() as opened, opened.begin() as connection:
            migrate(connection)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    except DatabaseError as error:
        raise CommandError(f"the database can't be used: {' '.join(str(error.orig).split())}") from None


run()
