"""Random worlds, each in a database of either kind."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from api.ledger.verify import verify
from tests.support import oracle
from tests.support.applications import serving
from tests.support.databases import Store, opened, publishing, template
from tests.support.worlds import WORLDS, Place, served


@pytest.fixture(scope="session")
def places(scratch: Path, postgresql: str) -> Iterator[list[Place]]:
    """Some worlds, which no test writes to."""
    with ExitStack() as stack:
        clients: list[list[FlaskClient]] = []
        for dialect, server in (("sqlite", ""), ("postgresql", postgresql)):
            store = Store(dialect, scratch, server)
            bare = store.copy(template(store))
            with opened(bare) as database, publishing(database) as session:
                oracle.clear(session)
            clients.append([])
            for seed in range(WORLDS):
                settings = store.copy(bare)
                with opened(settings) as database:
                    oracle.fill(database, seed)
                    # The worlds are the same on both, and so are the bytes of each answer.
                    if dialect == "sqlite":
                        with database.reading() as session:
                            assert list(verify(session)) == []
                clients[-1].append(stack.enter_context(serving(settings)).test_client())
        yield [Place(served(pair), pair) for pair in zip(*clients, strict=True)]
