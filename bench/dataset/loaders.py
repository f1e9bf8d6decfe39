"""Bulk loading: rows go in without triggers and indexes, which are restored at the end."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg import sql

from api.ledger.index import fulltext
from api.ledger.index.engine import FullTextEngine
from api.settings import Settings


class Loader(Protocol):
    """Writes rows to one kind of database, in one transaction."""

    engine: FullTextEngine

    def head(self) -> tuple[int, bytes]:
        """Return the version of the dataset and the hash of the chain."""

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows."""

    def advance(self, version: int, chain: bytes) -> None:
        """Move the head to a version."""


class SQLiteLoader:
    """Writes by `executemany`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take a connection in a transaction."""
        self.connection, self.engine = connection, fulltext.ENGINES["sqlite"]

    def head(self) -> tuple[int, bytes]:
        """Return the version of the dataset and the hash of the chain."""
        version, chain = self.connection.execute("select version, chain from ledger_head").fetchone()
        return version, chain

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows."""
        places = ", ".join("?" * len(columns))
        self.connection.executemany(f"insert into {table} ({', '.join(columns)}) values ({places})", rows)  # noqa: S608 - our names

    def advance(self, version: int, chain: bytes) -> None:
        """Move the head to a version."""
        self.connection.execute("update ledger_head set version = ?, chain = ?", (version, chain))


class PostgreSQLLoader:
    """Writes by `COPY`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        """Take a connection in a transaction."""
        self.connection, self.engine = connection, fulltext.ENGINES["postgresql"]

    def head(self) -> tuple[int, bytes]:
        """Return the version of the dataset and the hash of the chain."""
        row = self.connection.execute("select version, chain from ledger_head").fetchone()
        assert row
        return row[0], bytes(row[1])

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), names)
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def advance(self, version: int, chain: bytes) -> None:
        """Move the head to a version."""
        self.connection.execute("update ledger_head set version = %s, chain = %s", (version, chain))


@contextmanager
def loading(settings: Settings, tables: Sequence[str]) -> Iterator[Loader]:
    """Yield a loader for these tables; the schema is the same afterwards as before."""
    make = _loading_sqlite if settings.database_url.startswith("sqlite") else _loading_postgresql
    with make(settings, tables) as loader:
        yield loader


@contextmanager
def _loading_sqlite(settings: Settings, tables: Sequence[str]) -> Iterator[Loader]:
    connection = sqlite3.connect(settings.sqlalchemy_url.database or "", isolation_level=None)
    # An interrupted build is thrown away, so it needs no journal.
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -1000000", "foreign_keys = off"):
        connection.execute(f"pragma {pragma}")
    condition = f"sql is not null and type in ('index', 'trigger') and tbl_name in ({', '.join('?' * len(tables))})"
    dropped = connection.execute(f"select type, name, sql from sqlite_master where {condition}", tables).fetchall()  # noqa: S608
    connection.execute("begin")
    for kind, name, _ in dropped:
        connection.execute(f"drop {kind} {name}")
    yield SQLiteLoader(connection)
    for *_, statement in dropped:
        connection.execute(statement)
    connection.execute("commit")
    connection.close()


@contextmanager
def _loading_postgresql(settings: Settings, tables: Sequence[str]) -> Iterator[Loader]:
    url = settings.sqlalchemy_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        # No trigger fires, not even those of foreign keys: the generator only refers to records that exist.
        for setting in ("session_replication_role = replica", "maintenance_work_mem = '1GB'"):
            connection.execute(f"set local {setting}".encode())
        indexes = connection.execute(
            "select indexname, indexdef from pg_indexes where tablename = any(%s)"
            " and indexname not in (select conname from pg_constraint)",
            [list(tables)],
        ).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("drop index {}").format(sql.Identifier(name)))
        yield PostgreSQLLoader(connection)
        for _, definition in indexes:
            connection.execute(definition)
