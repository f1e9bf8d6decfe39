"""The durability of a server's writes, read from a connection that is made as that server makes its own.

``python -m bench.peers.durability KIND``, run by the server's Python, prints it for the database of ``DATABASE_URL``.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bench.peers.copies import HERE, VENV

STATEMENTS = {
    "sqlite": {"journal_mode": "pragma journal_mode", "synchronous": "pragma synchronous"},
    "postgresql": {"fsync": "show fsync", "synchronous_commit": "show synchronous_commit"},
}
# SQLite tells the level of `synchronous` as a number.
LEVELS = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}
DURABLE = {"journal_mode=wal, synchronous=FULL", "fsync=on, synchronous_commit=on"}

Execute = Callable[[str], Any]


def _product() -> Execute:
    settings = importlib.import_module("api.settings").Settings.from_env()
    connection = importlib.import_module("api.db.database").Database(settings).engine.connect()
    return lambda statement: connection.exec_driver_sql(statement).scalar_one()


def _sqlalchemy() -> Execute:
    connection = importlib.import_module("bench.peers.tables").connected().connect()
    return lambda statement: connection.exec_driver_sql(statement).scalar_one()


def _django() -> Execute:
    importlib.import_module("bench.peers.drf_app.wsgi")
    cursor = importlib.import_module("django.db").connection.cursor()

    def execute(statement: str) -> Any:
        cursor.execute(statement)
        return cursor.fetchone()[0]

    return execute


CONNECTIONS = {"product": _product, "sqlalchemy": _sqlalchemy, "django": _django}


def durability(dialect: str, execute: Execute) -> str:
    """Return the settings of a connection that decide whether an acknowledged write survives a power cut."""
    values = {name: str(execute(statement)) for name, statement in STATEMENTS[dialect].items()}
    return ", ".join(f"{name}={LEVELS.get(value, value)}" for name, value in values.items())


def durability_of(connection: str, url: str) -> str:
    """Return the durability of writes through a kind of connection to a database.

    Raises SystemExit if an acknowledged write could be lost in a power cut: races compare only durable writes.
    """
    python = sys.executable if connection == "product" else str(VENV / "python")
    command, environ = [python, "-m", "bench.peers.durability", connection], {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(command, cwd=HERE.parent.parent, env=environ, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own
    settings = done.stdout.strip()
    if settings not in DURABLE:
        raise SystemExit(f"writes through {connection} are not durable: {settings}")
    return settings


if __name__ == "__main__":
    dialect = "sqlite" if os.environ["DATABASE_URL"].startswith("sqlite") else "postgresql"
    print(durability(dialect, CONNECTIONS[sys.argv[1]]()))
