"""Fixtures that many tests use: migrated databases on SQLite and PostgreSQL, and clients of an application on them.

A test that only reads shares `client` and its database; a test that writes gets a copy (`settings`, `database`,
`own_client`, `curator`). A test of decisions before any SQL uses `routing_client`, which runs on SQLite alone.
"""

import gc
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import exists, select
from xdist.scheduler import LoadScopeScheduling

from api.app import create_app
from api.db.database import Database
from api.ledger.models import Dirty, Head
from api.ledger.verify import verify
from api.logs import Sparing
from api.settings import Settings
from api.web.news import News
from tests.support.answers import version
from tests.support.applications import BASE, NO_DATABASE, curating, serving
from tests.support.databases import DIALECTS, Store, head, opened, template
from tests.support.lengths import SHORT, Sample, sampled
from tests.support.postgresql import migrated_server

pytest_plugins = ["pytester", "tests.support.unproved"]
hypothesis.settings.load_profile(SHORT)
# Databases are made in memory if this many bytes are free; on a slow disk, making them takes 30 times as long.
MEMORY, ENOUGH = Path("/dev/shm"), 4_000_000_000  # noqa: S108 - what is made there has a name of its own
SCRATCH = pytest.StashKey[Path]()
# Files whose tests share a costly fixture, with the name of their group.
COSTLY = {
    "tests/bench/test_dataset.py": "generated",
    "tests/deploy/test_proxies.py": "proxies",
    "tests/deploy/test_wheel.py": "wheel",
    "tests/html/test_browser.py": "browser",
    "tests/html/test_desk.py": "browser",
    "tests/html/test_docs.py": "browser",
    "tests/html/test_readers.py": "browser",
    "tests/product/test_cluster.py": "machines",
    "tests/product/test_failover.py": "clusters",
    "tests/product/test_standby.py": "clusters",
    "tests/query/test_dates.py": "dates",
    "tests/query/test_facets.py": "worlds",
    "tests/query/test_filters.py": "worlds",
    "tests/query/test_lists.py": "lists",
    "tests/query/test_parser.py": "worlds",
    "tests/query/test_plan.py": "plans",
}
# The longest other tests. They start first, so that no process ends the run with one while the others idle.
LONGEST = {"test_document_is_true", "test_documented_statuses_are_reached", "test_no_change_is_missed", "test_race"}
# Rooms and files above the SQL: in `make test`, their tests run on SQLite, and in the long run on PostgreSQL too. What the others
# of `editing`, `product` and `webhooks` claim depends on constraints, locks and the order of commits. So does what some files of
# the ledger and the query language claim, but on both databases alike.
ABOVE = (
    *(f"tests/{room}/" for room in ("cli", "clients", "docs", "endpoints", "schema", "server", "web")),
    *(
        f"tests/editing/test_{name}.py"
        for name in ("audit", "bases", "citing", "credits", "datasets", "downloads", "files", "inputs", "outdated_files")
    ),
    *(f"tests/editing/test_{name}.py" for name in ("moves", "partial_files", "reverts", "sheets", "sourced", "transfer")),
    *("tests/ledger/test_publish.py", "tests/ledger/index/test_bitmaps.py", "tests/query/test_dates.py"),
    *(f"tests/product/test_{name}.py" for name in ("contract", "parts", "sync")),
    *(f"tests/webhooks/test_{name}.py" for name in ("delivery", "kinds", "messages", "rotation")),
)
# A test without the values of its parameters, but for the kind of its database, which comes first.
FUNCTION = re.compile(r"[^\[]+(?:\[(?:sqlite|postgresql)\b)?")


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Lets one process run all tests of a group, so that a costly fixture is made once a run."""

    def _split_scope(self, nodeid: str) -> str:
        """Return a test's group: that of its file, or its function, since a group for each case would keep the scheduler busy."""
        return COSTLY.get(nodeid.partition("::")[0]) or FUNCTION.findall(nodeid)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Hand out the tests by groups, in their order: to change the kind of database makes shared fixtures again."""
    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are processors, because tests wait for the servers that they start."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_mark(items: list[pytest.Item]) -> None:
    """Mark the tests that run on PostgreSQL in the long run alone, and those that run in both with different numbers of cases."""
    for item in items:
        if {"sample", "editor"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.sampled)
        if item.nodeid.startswith(ABOVE) and "[postgresql" in item.nodeid:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups in front; the others stay in random order, SQLite's before PostgreSQL's."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in COSTLY and item.name.partition("[")[0] not in LONGEST)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the garbage collector run less often, and spare it the modules and the tests: it took a seventh of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Let modules end as usual: some complain of leaks if nobody collects them."""
    gc.unfreeze()
    if folder := config.stash.get(SCRATCH, None):
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def first_warnings() -> None:
    """Let each test see warnings that the log repeats at most once a second."""
    for name in logging.root.manager.loggerDict:
        for filter in logging.getLogger(name).filters:
            if isinstance(filter, Sparing):
                filter.passed.clear()


@pytest.fixture
def sample() -> Sample:
    """`sampled`; it marks the test, so that the long run has it with all cases."""
    return sampled


def pytest_configure(config: pytest.Config) -> None:
    """Make a folder for the databases of all processes of this run, in memory if there is room."""
    if not hasattr(config, "workerinput"):
        in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH
        config.stash[SCRATCH] = folder = Path(tempfile.mkdtemp(prefix="db", dir=MEMORY if in_memory else None))
        # PostgreSQL's server runs as another user.
        folder.chmod(0o755)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell another process of this run where that is."""
    node.workerinput["scratch"] = str(node.config.stash[SCRATCH])


@pytest.fixture(scope="session")
def scratch(pytestconfig: pytest.Config) -> Path:
    """The folder for databases of this run; `once` makes what its processes share."""
    given: dict[str, str] = getattr(pytestconfig, "workerinput", {})
    return Path(given["scratch"]) if given else pytestconfig.stash[SCRATCH]


@pytest.fixture(scope="session")
def postgresql(scratch: Path) -> Iterator[str]:
    """The address of a PostgreSQL server with a migrated database, started for this process."""
    with migrated_server(scratch) as address:
        yield address


@pytest.fixture(scope="session", params=DIALECTS)
def store(request: pytest.FixtureRequest, scratch: Path) -> Store:
    """Makes databases; each test that uses it, directly or through another fixture, runs on SQLite and on PostgreSQL."""
    server = request.getfixturevalue("postgresql") if request.param == "postgresql" else ""
    return Store(request.param, scratch, server)


@pytest.fixture(scope="session")
def migrated(store: Store) -> Settings:
    """The template: a database at the newest revision, for copies only."""
    return template(store)


@pytest.fixture(scope="session")
def sqlite_store(scratch: Path) -> Store:
    """Makes SQLite databases only, for tests that do not depend on the database, such as routing, parsing and scopes."""
    return Store("sqlite", scratch, "")


@pytest.fixture
def settings(store: Store, migrated: Settings) -> Iterator[Settings]:
    """A migrated database for this test alone, dropped afterwards."""
    settings = store.copy(migrated)
    yield settings
    store.drop(settings)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The database of `settings`, opened."""
    with opened(settings) as database:
        yield database


@pytest.fixture(scope="session")
def app(store: Store, migrated: Settings) -> Iterator[Flask]:
    """The application on a migrated database that no test writes to."""
    with serving(replace(store.copy(migrated), public_url=BASE)) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of `app`, for tests that only read."""
    return app.test_client()


@pytest.fixture(scope="session")
def routing_app(sqlite_store: Store) -> Iterator[Flask]:
    """The application on one SQLite database without writes, for tests of decisions before any SQL."""
    with serving(replace(sqlite_store.copy(template(sqlite_store)), public_url=BASE)) as app:
        yield app


@pytest.fixture
def routing_client(routing_app: Flask) -> FlaskClient:
    """A client of `routing_app`."""
    return routing_app.test_client()


@pytest.fixture(scope="session")
def unlimited() -> Flask:
    """An application without rate limits; each test gives it a database."""
    return create_app(replace(NO_DATABASE, cache_mb=0, write_limit="1000000/minute", refusal_limit="1000000/minute"))


@pytest.fixture
def own_client(unlimited: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """A client of an application on the database of this test, with separate connections, like another process.

    Making an application for each test would take longer than most of them.
    """
    with opened(settings) as served:
        for name, extension in (("database", served), ("news", News(served))):
            monkeypatch.setitem(unlimited.extensions, name, extension)
        yield unlimited.test_client()


@pytest.fixture
def curator(own_client: FlaskClient, database: Database) -> FlaskClient:
    """`own_client` with a key that may write; the seeds in its database are one commit of 603 versions."""
    return curating(own_client, database)


@pytest.fixture
def editor(curator: FlaskClient, database: Database) -> Iterator[FlaskClient]:
    """`curator`; if a test has written, the ledger and the tables must agree afterwards.

    That is checked on SQLite, which takes less time, and in `make test` after a fifth of the tests, drawn by its seed.
    """
    before = head(database)
    yield curator
    if database.engine.dialect.name != "sqlite" or 0 not in sampled(range(5), 1):
        return
    with database.reading() as session:
        # Triggers note each write, and each publication moves the head.
        if session.scalars(select(Head.version)).one() == before and not session.scalar(select(exists().select_from(Dirty))):
            return
        assert list(verify(session)) == []


@pytest.fixture(scope="session")
def refused(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """A client whose requests are all refused; a check at the end of the run finds the database unchanged."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute")) as app:
        database = app.extensions["database"]
        client = curating(app.test_client(), database)
        before = version(client)
        yield client
        assert version(client) == before
        with database.reading() as session:
            assert list(verify(session)) == []


@pytest.fixture
def admin(own_client: FlaskClient, database: Database) -> FlaskClient:
    """`own_client` with a key that has the scope `admin`."""
    return curating(own_client, database, "admin", name="admin")
