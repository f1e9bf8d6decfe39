"""A migrated database without records."""

from collections.abc import Iterator

import pytest

from api.db.database import Database
from api.settings import Settings
from tests.support import oracle
from tests.support.databases import Store, opened, publishing, upgrade


@pytest.fixture(scope="module")
def bare(store: Store) -> Settings:
    """A migrated database without any record."""
    settings = store.empty()
    upgrade(settings)
    with opened(settings) as database, publishing(database) as session:
        oracle.clear(session)
    return settings


@pytest.fixture
def empty(store: Store, bare: Settings) -> Iterator[Database]:
    """A copy of it."""
    with opened(store.copy(bare)) as database:
        yield database
