"""A rolling upgrade: servers of the release before the newest migration and of this one share a database under load."""

import shutil
import signal
from pathlib import Path

import pytest
from sqlalchemy import text

from api.ledger.verify import verify
from api.settings import ROOT, Settings
from api.web import keys
from tests.support.databases import REVISIONS, Store, opened, template
from tests.support.rolling import balancing, before, loaded, release, upgrade

pytestmark = pytest.mark.slow

# A revision that takes away what its predecessor's code uses; the release after it would not.
CONTRACTION = """
from alembic import op

revision = "{0}"
down_revision = "{1}"
oldest = "{0}"


def upgrade():
    op.execute("alter table api_keys rename column scopes to grants")
"""


def key_of(settings: Settings) -> str:
    """Return the secret of a new key that may write."""
    with opened(settings) as database, database.writing() as session:
        return keys.issue(session, "curator", ["write"])


def test_a_rolling_upgrade(store: Store, tmp_path: Path) -> None:
    """While the newest migration runs and the servers change over, no request of a well-behaved client fails.

    All writes are there afterwards, and the ledger and the tables agree.
    """
    former = before(REVISIONS[-1], tmp_path / "former")
    settings = store.empty()
    upgrade(settings, former)
    secret = key_of(settings)
    with balancing() as balancer, release(former, settings, balancer) as old, loaded(balancer, secret) as load:
        load.wait()
        upgrade(settings)
        load.wait()
        with release(ROOT, settings, balancer) as new:
            load.wait()
            for process in old:
                process.send_signal(signal.SIGTERM)
            assert [process.wait(60) for process in old] == [0, 0]
            load.wait()
            assert [process.poll() for process in new] == [None, None]
            load.end()
    assert load.failed == []
    with opened(settings) as database, database.reading() as session:
        ids = session.scalars(text("select id from cities where state = 'ZZ'"))
        assert set(ids) == set(load.created)
        assert list(verify(session)) == []


def test_control_a_contraction(store: Store, tmp_path: Path) -> None:
    """A revision that contracts breaks the writes of servers that run: the test above can fail.

    It states that no earlier code may run on its result, so `/readyz` of these servers is a 503 that says so.
    """
    scripts = shutil.copytree(ROOT / "migrations", tmp_path / "migrations")
    (scripts / "versions" / "9999_contraction.py").write_text(CONTRACTION.format("9999", REVISIONS[-1]), "utf-8")
    settings = store.copy(template(store))
    with balancing() as balancer, release(ROOT, settings, balancer, servers=1), loaded(balancer, key_of(settings)) as load:
        load.wait()
        assert load.failed == []
        # Clients that do not look whether a server is ready.
        balancer.ended.set()
        upgrade(settings, scripts=scripts)
        load.wait()
    assert {status for request, status, _ in load.failed if request.startswith("GET")} == set()
    assert {status for request, status, _ in load.failed if not request.startswith("GET")} != set()
    with opened(settings) as database:
        needed = f"The database is migrated to revision 9999, which needs a release with revision 9999; this release has {REVISIONS[-1]}."
        assert database.readiness().reads == needed
