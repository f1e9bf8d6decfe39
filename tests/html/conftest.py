"""A browser, and the application that it asks."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.applications import serving
from tests.support.browser import changed, served
from tests.support.chromium import executable, launched
from tests.support.databases import Store, template


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser; one serves all tests of a group. Until it is closed, its thread has a running loop of asyncio."""
    if not executable():
        pytest.skip("npm has no Chromium for this system, and none is installed")
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def site(sqlite_store: Store) -> Iterator[str]:
    """The address of the application, on a migrated database with some changesets, that no test writes to."""
    with serving(sqlite_store.copy(template(sqlite_store))) as app, served(changed(app)) as address:
        yield address
