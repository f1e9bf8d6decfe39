"""Backups of PostgreSQL: dumps in its custom format, by its own programs, loaded in one transaction."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg.conninfo import make_conninfo

from api.db.backups import BackupError, Contents

# Lines of a dump that are commands of psql, or settings of its session, which ours keeps as they are.
SKIPPED = (b"\\", b"SET ", b"SELECT pg_catalog.set_config(")
# A sequence that is set back stays so even if the transaction is rolled back.
SEQUENCE = b"SELECT pg_catalog.setval("
COPY, END = re.compile(rb"COPY (\S+ \(.*\)) FROM stdin;\n"), b"\\.\n"
TABLE_DATA = re.compile(r"^[0-9]+; [0-9]+ [0-9]+ TABLE DATA public (\S+) ", re.MULTILINE)
OURS = {"alembic_version", "ledger_head", "revision"}
# The functions of the triggers on some tables, and the sequences of their columns.
FUNCTIONS = """
    select distinct tgfoid::regprocedure::text from pg_trigger where tgrelid::regclass::text = any(%s) and not tgisinternal
"""
SEQUENCES = """
    select pg_get_serial_sequence(table_name, column_name), table_name, column_name from information_schema.columns
    where table_schema = 'public' and pg_get_serial_sequence(table_name, column_name) is not null
"""


def program(name: str) -> str:
    """Return the path of a program of PostgreSQL. Raises `BackupError` if this machine has none."""
    if path := shutil.which(name):
        return path
    raise BackupError(f"{name} is not on PATH.")


def version_of(name: str) -> str:
    """Return a program's name and version."""
    return _output(name, "--version").strip()


def address_of(connection: psycopg.Connection[Any]) -> str:
    """Return the address of the server that a connection is with, without the password. Raises `BackupError`."""
    info = connection.info
    parameters: dict[str, Any] = {**info.get_parameters(), "host": info.host, "port": info.port}
    if "sslpassword" in parameters:
        raise BackupError("The address has an sslpassword, which PostgreSQL's programs take on the command line only.")
    return make_conninfo("", **parameters)


def dump(connection: psycopg.Connection[Any], path: Path) -> None:
    """Dump the state that a connection's transaction sees into a file. Raises `BackupError`."""
    row = connection.execute("select pg_export_snapshot()").fetchone()
    assert row
    # Other processes of this user can read an environment, but all users can read a command line.
    environment = {**os.environ, **({"PGPASSWORD": connection.info.password} if connection.info.password else {})}
    # The transaction has to last only until the program has begun, but who knows how long that takes.
    connection.execute("set local idle_in_transaction_session_timeout = 0")
    options = ("--format=custom", f"--snapshot={row[0]}", f"--file={path}", f"--dbname={address_of(connection)}")
    _output("pg_dump", *options, environment=environment)


def read(path: Path) -> Contents:
    """Return what a dump says of itself, after reading all of it. Raises `BackupError`."""
    try:
        missing = OURS - set(tables_of(path))
        if missing:
            raise BackupError(f"{path} is no backup of this service: it has no table {', '.join(sorted(missing))}.")
        _output("pg_restore", f"--file={os.devnull}", str(path))
        (version,), (head,) = (_rows(path, table) for table in ("alembic_version", "ledger_head"))
    except ValueError:
        raise BackupError(f"{path} is damaged: it has no head.") from None
    return Contents(version["version_num"], int(head["epoch"]), int(head["version"]), bytes.fromhex(head["chain"][3:]))


def tables_of(path: Path) -> Sequence[str]:
    """Return the tables whose rows a dump has. Raises `BackupError`."""
    return TABLE_DATA.findall(_output("pg_restore", "--list", str(path)))


def replace_rows(connection: psycopg.Connection[Any], path: Path) -> None:
    """Replace the rows of all tables by those of a dump of the same schema. Raises `BackupError` and psycopg's Error.

    Others read the old rows until the transaction is committed; nobody writes.
    """
    names = sorted(tables_of(path), key=lambda name: name != "ledger_head")
    tables = ", ".join(names)
    # Writers lock the head first, so none of those that are here before us waits for a table of ours.
    connection.execute(f"lock table {tables} in share row exclusive mode".encode())
    connection.execute("set constraints all deferred")
    for name in names:
        connection.execute(f"alter table {name} disable trigger user".encode())
    for name in names:
        connection.execute(f"delete from {name}".encode())  # noqa: S608 - the names are those of tables
    _load(connection, path, "--data-only", skipped=(*SKIPPED, SEQUENCE))
    # Triggers cannot be enabled while references are unchecked.
    connection.execute("set constraints all immediate")
    for name in names:
        connection.execute(f"alter table {name} enable trigger user".encode())
    for sequence, table, column in connection.execute(SEQUENCES).fetchall():
        highest = f"greatest((select max({column}) from {table}), (select last_value from {sequence}))"  # noqa: S608 - the same
        connection.execute(f"select setval('{sequence}', {highest})".encode())


def replace_tables(connection: psycopg.Connection[Any], path: Path, tables: Collection[str]) -> None:
    """Replace tables, with their functions, by those of a dump. Raises `BackupError` and psycopg's Error.

    Others wait until the transaction is committed.
    """
    dropped = sorted({*tables, *tables_of(path)}, key=lambda name: name != "ledger_head")
    functions = [name for (name,) in connection.execute(FUNCTIONS, [dropped]).fetchall()]
    # One by one: a reader locks the head first, so none of those that are here before us waits for a table of ours.
    for name in dropped:
        connection.execute(f"drop table if exists {name} cascade".encode())
    for name in functions:
        connection.execute(f"drop function {name}".encode())
    _load(connection, path, "--clean", "--if-exists", "--no-owner", skipped=SKIPPED)


def _load(connection: psycopg.Connection[Any], path: Path, *options: str, skipped: tuple[bytes, ...]) -> None:
    """Run a dump as a script. Only this lets what comes before and after belong to the same transaction."""
    with _script(path, *options) as script:
        statements: list[bytes] = []
        for line in script:
            if match := COPY.fullmatch(line):
                _run(connection, statements)
                with connection.cursor() as cursor, cursor.copy(b"copy %b from stdin" % match[1]) as copy:
                    for row in iter(script.readline, END):
                        if not row:
                            raise BackupError(f"{path} is damaged: it ends within the rows of a table.")
                        copy.write(row)
            elif not line.startswith(skipped):
                statements.append(line)
        _run(connection, statements)


def _run(connection: psycopg.Connection[Any], statements: list[bytes]) -> None:
    connection.execute(b"".join(statements), prepare=False)
    statements.clear()


@contextmanager
def _script(path: Path, *options: str) -> Iterator[IO[bytes]]:
    """Yield a dump as a script. Raises `BackupError` if it cannot be read to its end."""
    arguments = (program("pg_restore"), "--file=-", *options, str(path))
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors) as process,  # noqa: S603 - the program is PostgreSQL's
    ):
        assert process.stdout
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            raise BackupError(_last_line("pg_restore", errors.read().decode(errors="replace")))


def _rows(path: Path, table: str) -> list[dict[str, str]]:
    """Return the rows of a table of a dump, as the texts that COPY writes."""
    with _script(path, "--data-only", f"--table={table}") as script:
        lines = script.readlines()
    (start,) = [number for number, line in enumerate(lines) if COPY.fullmatch(line)]
    names = lines[start].decode().partition("(")[2].partition(")")[0].split(", ")
    rows = lines[start + 1 : lines.index(END)]
    return [dict(zip(names, row.decode().rstrip("\n").split("\t"), strict=True)) for row in rows]


def _output(name: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run a program and return what it prints. Raises `BackupError` with its last line if it fails."""
    command = [program(name), *arguments]
    # A file that becomes too large is then an error with a message, and no signal that kills the program.
    done = subprocess.run(  # noqa: S603 - the same
        command, env=environment, capture_output=True, text=True, restore_signals=False, check=False
    )
    if done.returncode:
        raise BackupError(_last_line(name, done.stderr))
    return done.stdout


def _last_line(name: str, said: str) -> str:
    lines = said.strip().splitlines() or ["it was stopped"]
    return f"{name} failed: {lines[-1].removeprefix(f'{name}: ').removeprefix('error: ')}."
