"""A PostgreSQL primary with its standby."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.settings import Settings
from api.web import keys
from tests.support.databases import opened
from tests.support.postgresql import migrated_primary
from tests.support.replication import Pair, copy_of, standby_of


@pytest.fixture(scope="package")
def pair(scratch: Path) -> Iterator[Pair]:
    """A migrated primary with its standby, for tests that leave both running and unpromoted."""
    with migrated_primary(scratch) as leader:
        settings = Settings(database_url=leader.address)
        with opened(settings) as database, database.writing() as session:
            secret = keys.issue(session, "curator", ["admin"], None)
        with standby_of(leader) as standby:
            yield Pair(leader, standby, secret)


@pytest.fixture
def own_pair(pair: Pair) -> Iterator[Pair]:
    """A copy of them that a test may destroy."""
    with copy_of(pair.primary) as leader, standby_of(leader) as standby:
        yield Pair(leader, standby, pair.secret)


@pytest.fixture
def spare(pair: Pair) -> Iterator[Pair]:
    """The primary with a second standby that a test may promote; it then lacks the primary's later commits."""
    with standby_of(pair.primary) as standby:
        yield replace(pair, standby=standby)
