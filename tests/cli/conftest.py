"""The command line on a test's own database, and a migrated file."""

import pytest
from flask.testing import FlaskClient

from tests.support.databases import Store, template
from tests.support.processes import Run


@pytest.fixture
def run(own_client: FlaskClient) -> Run:
    """Runs a command on this test's own database; returns its exit status and its lines."""
    runner = own_client.application.test_cli_runner()

    def invoke(*arguments: object) -> tuple[int, list[str]]:
        result = runner.invoke(args=[str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output.splitlines()

    return invoke


@pytest.fixture(scope="session")
def file(sqlite_store: Store) -> str:
    """The address of a migrated SQLite file, for tests that do not depend on the kind of database."""
    return sqlite_store.copy(template(sqlite_store)).database_url
