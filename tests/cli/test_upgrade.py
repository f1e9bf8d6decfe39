"""`upgrade` migrates a database, and `python -m api` has the commands of `flask --app wsgi`."""

import subprocess
import sys

import pytest

from tests.support.databases import SQLITE_FIRST, Store, opened
from tests.support.processes import FLASK, PIPED, SECRET, environment, refusal, unused_port

MODULE = (sys.executable, "-m", "api")


@pytest.mark.slow
@SQLITE_FIRST
def test_upgrade(store: Store) -> None:
    """`upgrade` makes what the servers need, and run again it changes nothing."""
    settings = store.empty()
    for _ in range(2):
        done = subprocess.run(
            [*MODULE, "upgrade"], **PIPED, env=environment({"DATABASE_URL": settings.database_url}), check=False
        )
        assert (done.returncode, done.stdout) == (0, "")
    with opened(settings) as database:
        assert database.readiness() == (None, None)


def test_upgrade_of_no_database() -> None:
    """`upgrade` says in one line why it cannot migrate, and shows no password."""
    port = unused_port()
    line = refusal([*MODULE, "upgrade"], DATABASE_URL=f"postgresql://me:{SECRET}@127.0.0.1:{port}/cities")
    assert line.startswith("Error: the database can't be used: connection failed: ")
    assert refusal([*MODULE, "upgrade"], DATABASE_URL="mysql://h/n").startswith("Error: DATABASE_URL names the database ")


def test_the_same_commands(file: str) -> None:
    """`python -m api` runs a command as `flask --app wsgi` does."""
    outputs = [
        subprocess.run([*program, "keys", "list"], **PIPED, env=environment({"DATABASE_URL": file}), check=True).stdout
        for program in (MODULE, FLASK)
    ]
    assert outputs[0] == outputs[1]
