"""The command line on a test's own database, and a migrated file."""

from collections.abc import Iterator

import pytest

from api.settings import Settings
from tests.support.applications import serving
from tests.support.databases import Store, template
from tests.support.processes import Run


@pytest.fixture
def run(settings: Settings) -> Iterator[Run]:
    """Runs a command on this test's own database; returns its exit status and its lines."""
    with serving(settings) as app:
        runner = app.test_cli_runner()

        def invoke(*arguments: object) -> tuple[int, list[str]]:
            result = runner.invoke(args=[str(argument) for argument in arguments])
            assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
            return result.exit_code, result.output.splitlines()

        yield invoke


@pytest.fixture(scope="session")
def file(sqlite_store: Store) -> str:
    """The address of a migrated file, where it doesn't matter which kind of database there is."""
    return sqlite_store.copy(template(sqlite_store)).database_url
