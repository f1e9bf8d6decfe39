"""One process upgrades at a time: another one waits for it, and then finds nothing to do."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from api.ledger.models import Revision
from api.ledger.verify import verify
from api.settings import ROOT, Settings
from tests.support.databases import REVISIONS, SQLITE_FIRST, Store, opened, template, upgrade
from tests.support.editions import SEEDED
from tests.support.lengths import late
from tests.support.replication import until

MIGRATIONS = ROOT / "migrations"
# A process that loads everything, and upgrades on a signal by the scripts in a folder.
UPGRADER = """
import sys
import api.ledger
from alembic import command
from alembic.util import CommandError
from api.db.revisions import alembic_config
config = alembic_config()
config.set_main_option("script_location", sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    command.upgrade(config, "head")
except CommandError as error:
    sys.exit(f"FAILED: {error}")
"""


def upgrade_at_once(settings: Settings, scripts: Path) -> list[tuple[int, str]]:
    """Upgrade in two processes at the same moment; returns the exit status and the output of each."""
    environment = {**os.environ, "DATABASE_URL": settings.database_url}
    # Processes, not threads: alembic's context is one for a whole process.
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADER, scripts],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


@pytest.mark.slow
@SQLITE_FIRST
@pytest.mark.parametrize("revision", [late("base"), REVISIONS[-2]])
def test_upgrades_at_once(store: Store, revision: str) -> None:
    """Two processes that upgrade the same database at the same moment both succeed, and the facts are there once.

    They wait for each other by default, also on SQLite, where an upgrade can take longer than a write may wait.
    """
    settings = store.empty() if revision == "base" else store.copy(template(store, revision))
    assert upgrade_at_once(settings, MIGRATIONS) == [(0, "")] * 2
    with opened(settings) as database, database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Revision)) == SEEDED
        assert list(verify(session)) == []


@pytest.mark.slow
@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_control_without_the_lock(store: Store, tmp_path: Path) -> None:
    """Without the lock, one of the two fails on PostgreSQL, since both create the same tables."""
    scripts = shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    lock = 'connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})'
    environment = (scripts / "env.py").read_text("utf-8")
    assert lock in environment
    (scripts / "env.py").write_text(environment.replace(lock, "pass"), "utf-8")
    (status, _), (failed, output) = sorted(upgrade_at_once(store.empty(), scripts))
    assert (status, failed) == (0, 1)
    assert output.startswith("FAILED: the database can't be used: ")


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_control_with_little_patience(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If `LOCK_TIMEOUT` is shorter than an upgrade, the second one on SQLite gives up: the lock is what makes it wait."""
    monkeypatch.setenv("LOCK_TIMEOUT", "1")
    (status, _), (failed, output) = sorted(upgrade_at_once(store.empty(), MIGRATIONS))
    assert (status, failed) == (0, 1)
    assert output == "FAILED: the database can't be used: database is locked\n"


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_writer_and_an_upgrade_wait_in_one_order(store: Store) -> None:
    """A writer that has the head, as all have it first, ends its write while an upgrade waits; neither is a deadlock's victim.

    On SQLite, one lock is for all.
    """
    settings = store.empty()
    upgrade(settings, REVISIONS[-2])
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with opened(settings) as database, ThreadPoolExecutor(1) as pool:

        def is_waiting() -> object:
            # A transaction sees the activity of its beginning.
            with database.reading() as session:
                return session.scalar(text(waits))

        with database.writing() as session:
            session.execute(text("update ledger_head set one = 1"))
            upgrading = pool.submit(upgrade, settings)
            until(is_waiting)
            session.execute(text("update revision set reason = reason where version = 1"))
        upgrading.result()
