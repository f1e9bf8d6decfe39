"""The highest version that was published, remembered outside of the database."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from api.db.memory import NOTHING, Memory, Published, memory_of
from api.settings import Settings, SettingsError
from tests.support.answers import ANY, brief
from tests.support.applications import curating, serving
from tests.support.editions import SEEDED


def published(version: int) -> Published:
    """Return a version with a chain of its own."""
    return Published(version, bytes([version % 256] * 32))


def test_many_writers(tmp_path: Path) -> None:
    """After writes in any order by any process, the file has the highest version, and only its owner can read it."""
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda version: Memory(path).keep(published(version * 7 % 101)), range(101)))
    assert Memory(path).read() == published(100)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_does_not_follow_is_not_kept(tmp_path: Path) -> None:
    """A reader that sees a higher version of another past leaves what is remembered, so that a writer notices the loss."""
    path = tmp_path / "file"
    Memory(path).keep(published(5))
    reader = Memory(path)
    reader.keep(published(6), follows=lambda known: known != published(5))
    assert reader.read() == Memory(path).read() == published(5)
    reader.keep(published(6), follows=lambda known: known == published(5))
    assert Memory(path).read() == published(6)


@pytest.mark.parametrize("content", [b"", b"torn", b"0" * 82])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    """A file that has no version in it remembers nothing, and is written again."""
    path = tmp_path / "file"
    path.write_bytes(content)
    assert Memory(path).read() == NOTHING
    Memory(path).keep(published(1))
    assert Memory(path).read() == published(1)


def test_folder(tmp_path: Path) -> None:
    """Databases that share a folder have a file each; a folder that does not exist is refused when the server starts."""
    urls = ["sqlite:///a.sqlite3", "sqlite:///b.sqlite3", "postgresql://u:p@h/a", "postgresql://u:p@h/b"]
    paths = {memory_of(Settings(database_url=url, state_dir=str(tmp_path))).path for url in urls}
    assert len(paths) == len(urls)
    # The password is no part of a database's identity.
    assert memory_of(Settings(database_url="postgresql://u:other@h/a", state_dir=str(tmp_path))).path in paths
    with pytest.raises(SettingsError, match=r"^STATE_DIR names no folder that this user may write to$"):
        memory_of(Settings(state_dir=str(tmp_path / "missing")))


def test_no_write_without_it(settings: Settings, tmp_path: Path) -> None:
    """A server that cannot read what was published writes nothing, since it cannot tell which version comes next."""
    with serving(replace(settings, state_dir=str(tmp_path))) as app:
        database = app.extensions["database"]
        client = curating(app.test_client(), database)
        database.memory.path.unlink(missing_ok=True)
        database.memory.path.mkdir()
        refused = client.patch("/cities/boston-ma", json={"summary": "New."}, headers=ANY)
        assert brief(refused)[:2] == (503, "unavailable")
        # Readers need it not.
        assert client.get("/cities/boston-ma").get_json()["data"]["version"] < SEEDED + 1
        database.memory.path.rmdir()
        assert client.patch("/cities/boston-ma", json={"summary": "New."}, headers=ANY).status_code == 200
        assert database.memory.read().version == SEEDED + 1
