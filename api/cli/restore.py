"""``restore``: put a backup back, in place of all that the database holds."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import click
import psycopg
from alembic import command
from alembic.util import CommandError
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy import Connection, Engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from api import logs
from api.cli.backup import READERS, raw_of, require_programs
from api.cli.common import files_at_hand
from api.db import failures, revisions
from api.db.backups import BackupError, Contents, postgresql, sibling_of, sqlite
from api.db.database import Database
from api.db.memory import Memory
from api.db.types import Base
from api.editing.audit import audit
from api.ledger import epochs, head, publish
from api.ledger.index.engine import TABLE
from api.ledger.models import EPOCH, Head, Revision
from api.ledger.verify import verify
from api.web.keys import ApiKey
from api.webhooks.subscriptions import Webhook, WebhookState

# Differences that are printed; a backup that has more is as bad.
MOST = 20
UNCHANGED, DONE = "Nothing was changed.", "But the backup is restored: run `ledger verify`."
LOAD = (
    'pg_restore --clean --if-exists --no-owner --single-transaction --dbname="{address}" {file}',
    "flask --app wsgi upgrade",
    "flask --app wsgi ledger new-epoch",
    "flask --app wsgi ledger verify",
)


class Live(NamedTuple):
    """What a restore would replace: the state of the database, and what the operator should know of it."""

    revision: str
    epoch: int
    version: int
    has: bool
    erased: Sequence[str]
    revoked: Sequence[str]


class Plan(NamedTuple):
    """How a backup is put back: its epoch must be above another; the version that it replaces, and whether the schema stays."""

    file: Path
    above: int
    version: int | None
    keeps_schema: bool
    unverified: bool


@click.command()
@with_appcontext
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--unverified", is_flag=True, help="Do not verify the backup, which takes most of the time.")
@files_at_hand()
def restore(file: Path, *, yes: bool, unverified: bool) -> None:
    """Put a backup back, in place of all that the database holds, while servers go on.

    FILE is checked, upgraded to this release and verified, and a new epoch begins: clients and webhooks that saw versions that
    the backup does not have are told so. If anything fails, the database stays as it is.
    """
    served: Database = current_app.extensions["database"]
    database = Database(replace(served.settings, statement_timeout=0), create=True)
    dialect = database.engine.dialect.name
    with closing_engine(database), failing(UNCHANGED):
        if dialect == "postgresql":
            with database.engine.connect() as connection:
                require_programs(raw_of(connection), LOAD, file, "pg_restore")
        contents = READERS[dialect](file)
        live = _live(database, contents)
        _require_usable(file, contents, live)
        click.echo(_losses(file, contents, live))
        if not yes:
            click.confirm("Restore it?", abort=True)
        RESTORERS[dialect](database, _plan(database, file, contents, live, unverified=unverified))
    with closing_engine(database), failing(DONE):
        for line in _result(database, live):
            click.echo(line)


@contextmanager
def failing(so_far: str) -> Iterator[None]:
    """End the command with one sentence if the block fails, and another one that says what was done so far."""
    try:
        yield
    except (BackupError, CommandError) as error:
        raise click.ClickException(f"{error} {so_far}") from None
    except DBAPIError as error:
        raise click.ClickException(f"{failures.reason(error) or logs.describe(error)} {so_far}") from None
    except psycopg.Error as error:
        reason = failures.sentence_of(error.sqlstate or "") or f"PostgreSQL refused it: {error.diag.message_primary or error}."
        raise click.ClickException(f"{reason} {so_far}") from None


@contextmanager
def closing_engine(database: Database) -> Iterator[Database]:
    """Yield a database, and close its connections in the end."""
    try:
        yield database
    finally:
        database.engine.dispose()


# --- what would be lost


def _live(database: Database, contents: Contents) -> Live | None:
    """Return what is in the database now; None if it has no ledger, or does not exist."""
    if database.engine.dialect.name == "sqlite" and not Path(database.path).exists():
        return None
    with database.reading() as session:
        connection = session.connection()
        if not inspect(connection).has_table(Head.__tablename__):
            return None
        heads = revisions.heads_of(connection)
        if heads != revisions.release_heads():
            epoch, version = session.execute(text("select epoch, version from ledger_head")).one()
            return Live(", ".join(sorted(heads)), epoch, version, has=False, erased=[], revoked=[])
        state = session.execute(select(Head.epoch, Head.version)).one()
        after = Revision.version > contents.version
        erased = select(Revision.kind, Revision.id).where(Revision.erases, after).order_by(Revision.version)
        revoked = session.scalars(select(ApiKey.name).where(ApiKey.revoked_at.is_not(None)))
        has = head.is_past(session, contents.version, contents.chain)
        return Live(max(heads), *state, has, [f"{kind} {id}" for kind, id in session.execute(erased)], list(revoked))


def _require_usable(file: Path, contents: Contents, live: Live | None) -> None:
    """Raise a `BackupError` if this release is too old for a backup, or for the database that it would replace."""
    if contents.revision not in revisions.known():
        raise BackupError(f"{file} is from a newer release, with revision {contents.revision}: restore it with that release.")
    if live and revisions.are_newer(live.revision.split(", ")):
        raise BackupError("The database is migrated to a newer release: use the command of that release.")


def _losses(file: Path, contents: Contents, live: Live | None) -> str:
    """Return a line that says what is in a backup, and which versions are lost with it."""
    about = f"{file}: version {contents.version}, epoch {contents.epoch}, revision {contents.revision}."
    if live is None:
        return f"{about} The database is empty."
    if not live.has:
        return f"{about} All that the database holds is lost: it has another past, up to version {live.version}."
    if live.version == contents.version:
        return f"{about} No version is lost."
    return f"{about} The versions after {contents.version}, up to {live.version}, are lost."


# --- how it is put back


def _plan(database: Database, file: Path, contents: Contents, live: Live | None, *, unverified: bool) -> Plan:
    """Return how a backup is put back. No version that anybody remembers may be used again."""
    above = max(live.epoch if live else 0, database.memory.read().version // EPOCH)
    keeps_schema = live is not None and {live.revision} == {contents.revision} == revisions.release_heads()
    return Plan(file, above, live.version if live else None, keeps_schema, unverified)


def _version(database: Database) -> int:
    """Return the version that a database is at, with the schema of any release."""
    with database.reading() as session:
        return int(session.execute(text("select version from ledger_head")).scalar_one())


def _restore_sqlite(database: Database, plan: Plan) -> None:
    """Prepare a copy of the backup in the folder of the database, and copy it into the database in one transaction."""
    with sibling_of(Path(database.path)) as (copy, _):
        with closing(sqlite.opened(plan.file)) as source:
            sqlite.copy(source, copy)
        settings = replace(database.settings, database_url=f"sqlite:///{copy}", state_dir="")
        with closing_engine(Database(settings)) as prepared:
            # Nobody reads from the copy, so no version of it is one to remember.
            prepared.memory = Memory(None)
            with prepared.writing() as session:
                epochs.begin_above(session, plan.above)
            _upgrade(prepared.engine)
            with prepared.writing() as session:
                _check(session, unverified=plan.unverified)
        if plan.version is not None and (now := _version(database)) > plan.version:
            click.echo(f"Versions up to {now}, which were written meanwhile, are lost, too.")
        with database.engine.connect() as connection:
            sqlite.put_back(copy, raw_of(connection), database.settings.lock_timeout)


def _restore_postgresql(database: Database, plan: Plan) -> None:
    """Load the backup, upgrade and verify it, all in one transaction."""
    with database.writing() as session:
        connection = session.connection()
        if plan.keeps_schema:
            postgresql.replace_rows(raw_of(connection), plan.file)
        else:
            postgresql.replace_tables(raw_of(connection), plan.file, [*Base.metadata.tables, "alembic_version", TABLE])
        epochs.begin_above(session, plan.above)
        _upgrade(connection)
        _check(session, unverified=plan.unverified)
        session.execute(text("analyze"))


RESTORERS = {"sqlite": _restore_sqlite, "postgresql": _restore_postgresql}


def _upgrade(target: Engine | Connection) -> None:
    """Upgrade a database to this release."""
    config = revisions.alembic_config()
    config.attributes["connection"] = target
    command.upgrade(config, "head")


def _check(session: Session, *, unverified: bool) -> None:
    """Publish what raw SQL had changed, and verify everything. Raises a `BackupError` after printing differences."""
    publish.settle(session)
    differences = [] if unverified else [*islice(chain(verify(session), audit(session)), MOST)]
    for difference in differences:
        click.echo(difference)
    if differences:
        raise BackupError("The ledger and the tables of the backup disagree: add --unverified to restore it all the same.")


# --- what came of it


def _result(database: Database, live: Live | None) -> Iterator[str]:
    """Yield the lines that say what was restored, and what is left to do."""
    with database.reading() as session:
        state = session.execute(select(Head.epoch, Head.version)).one()
        told = session.scalar(select(func.count()).where(Webhook.state == WebhookState.ACTIVE))
        active = set(session.scalars(select(ApiKey.name).where(ApiKey.revoked_at.is_(None))))
    yield (
        f"Restored: the dataset is at version {state.version}. "
        f"Epoch {state.epoch} has begun: its first version is {state.epoch * EPOCH + 1}. Webhooks that will be told: {told}."
    )
    for record in dict.fromkeys(live.erased if live else ()):
        yield f"Erased after the backup was made; erase it again: flask --app wsgi ledger erase {record}"
    if not live or not live.has:
        yield "What was erased after the backup was made is there again: erase it again (`ledger erase`)."
    for name in live.revoked if live else ():
        if name in active:
            yield f"Revoked after the backup was made; revoke it again: flask --app wsgi keys revoke {name}"
