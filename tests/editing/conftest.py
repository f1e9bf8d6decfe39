"""A migrated database without records."""

from collections.abc import Iterator

import pytest

from api.db.database import Database
from api.settings import Settings
from tests.support import oracle
from tests.support.databases import Store, opened, publishing


@pytest.fixture(scope="module")
def bare(store: Store, migrated: Settings) -> Settings:
    """A migrated database without any record."""
    settings = store.copy(migrated)
    with opened(settings) as database, publishing(database) as session:
        oracle.clear(session)
    return settings


@pytest.fixture
def empty(store: Store, bare: Settings) -> Iterator[Database]:
    """A copy of it."""
    with opened(store.copy(bare)) as database:
        yield database
