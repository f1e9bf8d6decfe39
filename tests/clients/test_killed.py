"""A mirror that is killed goes on from what it has kept."""

import random
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.copies import city, write
from tests.support.editions import SEEDED
from tests.support.mirrors import PythonCopy, is_equal, on_sqlite, start
from tests.support.watched import Watched

MIRROR = """
import sys
from digital_cities import SQLiteStore, mirror
mirror(sys.argv[1], SQLiteStore(sys.argv[2]), limit=1, patience=0)
"""
# Dies within its first save, with a part of a page written; the careless one has already said that it has it all.
DYING = """
import os, signal, sys
from digital_cities import SQLiteStore, mirror
class Dying(SQLiteStore):
    def save(self, cursor, changes, clear=()):
        if sys.argv[3] == "careless":
            super().save(cursor, [])
        super().save(cursor, self.dying(changes), clear)
    def dying(self, changes):
        for number, change in enumerate(changes):
            if number == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield change
mirror(sys.argv[1], Dying(sys.argv[2]), limit=1, patience=0)
"""


def killed(server: Watched, file: Path, kills: int) -> None:
    """Kill a mirror again and again, wherever it is: nothing is lost, and at most one page is read again each time."""
    copy = PythonCopy(file)
    copy.mirror(server.address)
    chance = random.Random(kills)  # noqa: S311 - the same requests each time
    for commit in range(kills * 8 + 1):
        write(server.curator, f"k-{commit}-zz")
    server.paths()
    for _ in range(kills):
        before = len(server.asked)
        with start(MIRROR, server.address, file) as process:
            target = before + chance.randint(1, 6)
            server.wait(lambda urls, target=target: len(urls) >= target)  # type: ignore[misc]
            time.sleep(chance.random() / 100)
            process.kill()
        assert process.returncode == -9
    with start(MIRROR, server.address, file) as process:
        pass
    assert process.returncode == 0
    cursors = Counter(re.findall(r"cursor=([^&]+)", " ".join(server.asked)))
    assert len(cursors) == kills * 8 + 1
    assert cursors.total() - len(cursors) <= kills
    # Nothing had to be mended.
    assert {*server.paths()} == {"/changes", "/digest"}
    assert is_equal(server, copy)
    copy.store.db.close()


@on_sqlite
def test_killed(server: Watched, tmp_path: Path) -> None:
    """A mirror that is killed 5 times ends with an equal copy, and reads at most a page again each time."""
    killed(server, tmp_path / "copy.sqlite3", 5)


@pytest.mark.slow
def test_killed_twenty_times(server: Watched, tmp_path: Path) -> None:
    """The same 20 times."""
    killed(server, tmp_path / "copy.sqlite3", 20)


@on_sqlite
@pytest.mark.parametrize("way", ["together", "careless"])
def test_killed_while_writing(server: Watched, tmp_path: Path, way: str) -> None:
    """Killed within a page, the copy has nothing of it and its cursor neither. The control, cursor first, has lost it."""
    file = tmp_path / "copy.sqlite3"
    copy = PythonCopy(file)
    copy.mirror(server.address)
    before = copy.cursor()
    operations = [{"op": "create", "kind": "cities", "document": city(f"k-{number}-zz")} for number in range(3)]
    assert server.curator.post("/changesets", json={"operations": operations}).status_code == 200
    with start(DYING, server.address, file, way) as process:
        pass
    assert process.returncode == -9
    assert (copy.cursor() == before, len(copy.records())) == (way == "together", SEEDED)
    server.paths()
    copy.mirror(server.address)
    # What was lost is found by its proof only.
    assert (server.paths().count("/digest/cities") == 1) == (way == "careless")
    assert is_equal(server, copy)
    copy.store.db.close()
