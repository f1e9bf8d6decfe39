"""The durability of writes in a race: the same for everyone, and read from each server's own kind of connection."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.settings import ROOT
from bench.dataset import DatasetStore
from bench.peers.copies import writable
from bench.peers.durability import durability_of


@pytest.fixture(scope="module")
def datasets(scratch: Path) -> Iterator[DatasetStore]:
    """A store of datasets, as `make bench` has one, where the user that PostgreSQL runs as may read."""
    # Of this process alone: another would build the same databases at the same time, and change the server's settings.
    datasets = DatasetStore(scratch / f"datasets_{os.getpid()}")
    yield datasets
    datasets.close()


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [("sqlite", "journal_mode=wal, synchronous=FULL"), ("postgresql", "fsync=on, synchronous_commit=on")],
)
@pytest.mark.slow
def test_writes_are_durable(datasets: DatasetStore, tmp_path: Path, dialect: str, expected: str) -> None:
    """This API and the peers on SQLAlchemy write to a copy of a dataset with the same durability; PostgreSQL's fsync is on."""
    with writable(datasets.get(dialect, 60), tmp_path, "durable") as copy:
        assert durability_of("product", copy.database_url) == expected
        command = [sys.executable, "-m", "bench.peers.durability", "sqlalchemy"]
        environ = {**os.environ, "DATABASE_URL": copy.database_url}
        assert (
            subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE).stdout.decode().strip()
            == expected
        )


@pytest.mark.slow
def test_a_write_that_can_be_lost_does_not_race(datasets: DatasetStore, tmp_path: Path) -> None:
    """The control: when PostgreSQL does not wait for the disk, the race does not start."""
    with writable(datasets.get("postgresql", 60), tmp_path, "careless") as copy:
        datasets.set("synchronous_commit", "off")
        try:
            with pytest.raises(SystemExit, match="not durable: fsync=on, synchronous_commit=off"):
                durability_of("product", copy.database_url)
        finally:
            datasets.set("synchronous_commit", "on")
