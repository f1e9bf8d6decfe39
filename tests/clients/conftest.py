"""Servers to copy from, and a copy that each of the two clients keeps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.settings import Settings
from tests.support.databases import Store
from tests.support.mirrors import JAVASCRIPT, Copy, JavaScriptCopy, PythonCopy
from tests.support.node import Node
from tests.support.watched import Watched, as_it_is, watching


@pytest.fixture
def server(settings: Settings) -> Iterator[Watched]:
    """The server, on this test's own database."""
    with watching(settings) as server:
        yield server


@pytest.fixture(scope="module")
def shared_server(store: Store, migrated: Settings) -> Iterator[Watched]:
    """One for all tests that do not write."""
    with watching(store.copy(migrated)) as server:
        yield server


@pytest.fixture
def seeds(shared_server: Watched) -> Watched:
    """The same, as if nobody had asked anything."""
    shared_server.asked.clear()
    shared_server.fault = as_it_is
    return shared_server


@pytest.fixture(params=["python", "javascript"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Copy]:
    """An empty copy; every test that asks for it runs with each client."""
    if request.param == "python":
        copy = PythonCopy(tmp_path / "copy.sqlite3")
        yield copy
        copy.store.db.close()
    else:
        yield JavaScriptCopy(request.getfixturevalue("node"))


@pytest.fixture(scope="session")
def process() -> Iterator[Node]:
    """A process of Node with the JavaScript client, which keeps nothing but its store."""
    with Node(JAVASCRIPT) as node:
        yield node


@pytest.fixture
def node(process: Node) -> Node:
    """The same, with an empty store."""
    return process.empty()
