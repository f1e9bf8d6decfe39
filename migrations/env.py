"""Alembic's environment: the whole upgrade is one transaction, which ends with a publication."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, select, text, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.revisions import Compatibility, oldest_of
from api.db.types import schema_for
from api.editing import idempotency, proposals
from api.ledger import digest, publish, rebuild
from api.ledger.dangling import dangling
from api.ledger.index.engine import TABLE
from api.ledger.models import Head
from api.settings import Settings, SettingsError
from api.web import keys, sessions
from api.webhooks import subscriptions

# These models are imported only so that their tables are known.
TABLES = (idempotency.StoredAnswer, keys.ApiKey, proposals.Proposal, sessions.DeskSession, subscriptions.Webhook)
# An arbitrary number that every release uses.
UPGRADE_LOCK = 7_309_453
# Seconds, for LOCK_TIMEOUT.
PATIENCE = "600"
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
        if inspect(connection).has_table(Head.__tablename__):
            # Writers lock the head first, and then write to the tables that revisions alter: a revision does the same.
            connection.execute(select(Head.one).with_for_update())
    # SQLite can roll back schema changes, but Alembic assumes by default that it cannot.
    context.configure(
        connection, target_metadata=schema_for(connection.dialect.name), transactional_ddl=True, include_name=has_model
    )
    before = context.get_context().get_current_heads()
    with context.begin_transaction():
        context.run_migrations()
    after = context.get_context().get_current_heads()
    if after != before:
        note_oldest(connection, after)
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
            digest.catch_up(session)
        else:
            rebuild.reindex(session)


def note_oldest(connection: Connection, heads: tuple[str, ...]) -> None:
    """Write into the database which releases may use it, as the revision that it is at now states."""
    if oldest_of(connection):
        (script,) = map(context.script.get_revision, heads)
        connection.execute(update(Compatibility).values(oldest=script.module.oldest))


def has_model(name: str | None, kind: str, _parents: object) -> bool:
    """Tell whether an object of the database has a model; the search index and its shadow tables have none."""
    return kind != "table" or name is None or not name.startswith(TABLE)


@contextmanager
def begun() -> Iterator[Connection]:
    """Yield a connection in a transaction: one that is passed, or one of an engine that is passed or that the settings name."""
    passed: Engine | Connection | None = context.config.attributes.get("connection")
    if isinstance(passed, Connection):
        yield passed
        return
    # The variable wins; without it, an upgrade waits for another one that has the write lock of a SQLite file.
    settings = Settings.from_env({"LOCK_TIMEOUT": PATIENCE, **os.environ})
    opened = passed or Database(replace(settings, statement_timeout=0), create=True).engine
    try:
        with opened.begin() as connection:
            yield connection
    finally:
        if not passed:
            opened.dispose()


def run() -> None:
    """Migrate. Raises CommandError with one line if that fails."""
    if context.is_offline_mode():
        raise CommandError(
            "there are no SQL scripts: the facts are loaded and published by code, so upgrade the database itself"
        )
    try:
        with begun() as connection:
            migrate(connection)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    except DatabaseError as error:
        raise CommandError(f"the database can't be used: {' '.join(str(error.orig).split())}") from None


run()
