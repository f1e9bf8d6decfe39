"""``backup``: write a backup of the database to a file, while servers go on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from sqlalchemy import Connection, select, text
from sqlalchemy.orm import Session

from api.cli.common import files_at_hand, open_database
from api.db.backups import BackupError, Contents, new_file, postgresql, sqlite
from api.ledger import head
from api.ledger.models import Head

BY_HAND = "{reason} Run this where PostgreSQL's programs are; they take the password from PGPASSWORD or ~/.pgpass:"
DUMP = ('pg_dump --format=custom --file={file} --dbname="{address}"', "pg_restore --file=/dev/null {file}")


@click.command()
@with_appcontext
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if there is one.")
@files_at_hand()
def backup(file: Path, *, force: bool) -> None:
    """Write a backup of the database to FILE, while servers go on.

    On SQLite, FILE is a copy of the database; on PostgreSQL, pg_dump writes it in its custom format. It is checked before it
    gets its name, and can be read by its owner only.
    """
    with backup_faults(), open_database(newer=True) as database, new_file(file, force=force) as part:
        dialect = database.engine.dialect.name
        with database.reading() as session:
            # The first statement begins what the transaction sees.
            expected = _state(session)
            program = WRITERS[dialect](session, part, file)
        made = READERS[dialect](part)
        _require_equal(made, expected)
    size = file.stat().st_size
    click.echo(f"{file}: version {made.version}, epoch {made.epoch}, revision {made.revision}, {size:,} bytes{program}.")


@contextmanager
def backup_faults() -> Iterator[None]:
    """End the command with one sentence if a backup cannot be made or put back."""
    try:
        yield
    except BackupError as error:
        raise click.ClickException(str(error)) from None


def _require_equal(made: Contents, expected: Contents) -> None:
    if made != expected:
        raise BackupError(f"The backup is at version {made.version}, but the database was at {expected.version}.")


def _state(session: Session) -> Contents:
    """Return the state that a backup made by this session has. Raises `click.ClickException` for a ledger without its head."""
    row = session.execute(select(Head.epoch, Head.version, Head.chain)).one()
    if not head.is_past(session, row.version, row.chain):
        raise click.ClickException(f"the head is at version {row.version}, which the ledger does not have: run `ledger verify`")
    return Contents(session.scalar(text("select version_num from alembic_version")) or "", row.epoch, row.version, row.chain)


def _write_sqlite(session: Session, part: Path, _file: Path) -> str:
    """Copy what a session sees into a file."""
    sqlite.copy(raw_of(session.connection()), part)
    return ""


def _write_postgresql(session: Session, part: Path, file: Path) -> str:
    """Dump what a session sees into a file; returns the program's version, for the last line of the command."""
    raw = raw_of(session.connection())
    require_programs(raw, DUMP, file, "pg_dump", "pg_restore")
    postgresql.dump(raw, part)
    return f", by {postgresql.version_of('pg_dump')}"


def require_programs(connection: Any, commands: Sequence[str], file: Path, *names: str) -> None:
    """Raise a `BackupError` with the commands to run elsewhere, if this machine lacks any of PostgreSQL's programs."""
    try:
        for name in names:
            postgresql.program(name)
    except BackupError as error:
        address = postgresql.address_of(connection)
        lines = [command.format(file=file, address=address) for command in commands]
        raise BackupError("\n  ".join([BY_HAND.format(reason=error), *lines])) from None


def raw_of(connection: Connection) -> Any:
    """Return the driver's own connection."""
    return connection.connection.driver_connection


WRITERS = {"sqlite": _write_sqlite, "postgresql": _write_postgresql}
READERS = {"sqlite": sqlite.read, "postgresql": postgresql.read}
