"""A database for each module that delivers."""

import socket

import pytest
from sqlalchemy import text

from api.settings import Settings
from tests.support.databases import Store, opened


@pytest.fixture(scope="module")
def shared(store: Store, migrated: Settings) -> Settings:
    """A migrated database of these tests' own."""
    return store.copy(migrated)


@pytest.fixture
def settings(shared: Settings) -> Settings:
    """The same for each test, with nobody to tell: to copy one would take longer than most of these tests."""
    with opened(shared) as database, database.writing() as session:
        for table in ("webhooks", "api_keys"):
            session.execute(text(f"delete from {table}"))
    return shared


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections would have gone; none is made."""
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> None:
        """Note an address and refuse the connection."""
        assert 0 < timeout <= 20
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    return connected
