"""Backups that are put back: no integer, cursor or tag of what was lost misleads, whether or not the operator ran a command."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from api.ledger.models import EPOCH
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.answers import ANY, read
from tests.support.applications import curating, serving
from tests.support.copies import write
from tests.support.databases import MIGRATED, Store, template
from tests.support.editions import SEEDED
from tests.support.followers import INTEGERS, Followers
from tests.support.lengths import few
from tests.support.postgresql import migrated_primary
from tests.support.replication import Postgres, ids, primary

KEPT, LOST, NEW = ids("kept", 2), ids("lost", 5), ids("new", 8)


@dataclass
class Place:
    """A database with its backup; ``after`` are the settings of the database into which the backup is put back."""

    settings: Settings
    back_up: Callable[[], object]
    put_back: Callable[[], object]
    after: Settings


@contextmanager
def sqlite_file(store: Store, folder: Path) -> Iterator[Place]:
    """The file is put back; what is beside it stays."""
    settings = store.copy(template(store))
    file, backup = Path(settings.sqlalchemy_url.database or ""), folder / "backup"
    yield Place(settings, lambda: shutil.copy(file, backup), lambda: shutil.copy(backup, file), settings)
    store.drop(settings)


@contextmanager
def sqlite_folder(store: Store, folder: Path) -> Iterator[Place]:
    """The whole folder is put back, as a snapshot of the disk is; the state is in another folder."""
    original = store.copy(template(store))
    data, backup, state = folder / "data", folder / "backup", folder / "state"
    for new in (data, state):
        new.mkdir()
    shutil.copy(original.sqlalchemy_url.database or "", data / "cities.sqlite3")
    store.drop(original)
    settings = replace(original, database_url=f"sqlite:///{data / 'cities.sqlite3'}", state_dir=str(state))

    def put_back() -> None:
        shutil.rmtree(data)
        shutil.copytree(backup, data)

    yield Place(settings, lambda: shutil.copytree(data, backup), put_back, settings)


def settings_of(server: Postgres) -> Settings:
    """Return the settings of a database of its own on a server."""
    return Settings(database_url=replace(server, database="cities").address, cache_mb=0)


@contextmanager
def cluster(store: Store) -> Iterator[Postgres]:
    """A cluster with a migrated database of its own."""
    with migrated_primary(store.folder) as server:
        server.order(f"create database cities template {MIGRATED}")
        yield server


def dump(server: Postgres) -> None:
    """Write a dump."""
    server.run("pg_dump", f"--host={server.folder}", "--username=postgres", "-Fc", f"--file={server.folder / 'dump'}", "cities")


def load(server: Postgres, file: Path) -> None:
    """Put a dump into a new database."""
    server.order("drop database if exists cities with (force)")
    server.order("create database cities template template0")
    server.run("pg_restore", f"--host={server.folder}", "--username=postgres", "--dbname=cities", str(file))


@contextmanager
def same_cluster(store: Store, _folder: Path) -> Iterator[Place]:
    """A dump is put back into the cluster that it is from."""
    with cluster(store) as server:
        settings = settings_of(server)
        yield Place(settings, lambda: dump(server), lambda: load(server, server.folder / "dump"), settings)


@contextmanager
def other_cluster(store: Store, _folder: Path) -> Iterator[Place]:
    """A dump is put into another cluster."""
    with cluster(store) as server, primary() as other:
        settings = settings_of(server)

        def put_back() -> None:
            file = other.folder / "dump"
            shutil.copy(server.folder / "dump", file)
            file.chmod(0o644)
            load(other, file)

        yield Place(settings, lambda: dump(server), put_back, settings_of(other))


@contextmanager
def postgresql_folder(store: Store, folder: Path) -> Iterator[Place]:
    """The data folder of a cluster is put back; the state is in another folder."""
    with cluster(store) as server:
        settings = replace(settings_of(server), state_dir=str(folder))

        def copy(source: Path, target: Path) -> None:
            server.stop("fast")
            shutil.rmtree(target, ignore_errors=True)
            subprocess.run(["cp", "-a", str(source), str(target)], check=True)
            server.start()

        backup = server.folder / "backup"
        yield Place(settings, lambda: copy(server.data, backup), lambda: copy(backup, server.data), settings)


PLACES = {
    "sqlite-file": sqlite_file,
    "sqlite-folder": sqlite_folder,
    "dump-into-the-same-cluster": same_cluster,
    "dump-into-another-cluster": other_cluster,
    "postgresql-folder": postgresql_folder,
}
# A second cluster takes long to start, and a file is restored in its folder, too.
LATER = dict.fromkeys(["sqlite-file", "dump-into-another-cluster", "postgresql-folder"], pytest.mark.slow)
# Those that only a folder elsewhere can remember.
FOLDERS = ["sqlite-folder", "postgresql-folder"]


@pytest.fixture
def place(request: pytest.FixtureRequest, sqlite_store: Store, tmp_path: Path) -> Iterator[Place]:
    """A database with its backup, by the name of the test's parameter."""
    with PLACES[request.param](sqlite_store, tmp_path) as place:
        yield place


def lose(place: Place) -> Followers:
    """Back up, lose some commits, and put the backup back; returns those who saw them."""
    with serving(place.settings) as app:
        client = curating(app.test_client(), app.extensions["database"])
        write(client, *KEPT)
    place.back_up()
    with serving(place.settings) as app:
        client = curating(app.test_client(), app.extensions["database"], name="other")
        write(client, *LOST)
        assert client.patch("/cities/kept-0-zz", json={"summary": "Lost."}, headers=ANY).status_code == 200
        followers = Followers(client)
    place.put_back()
    return followers


@pytest.mark.parametrize("told", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["forgotten", "new-epoch"])
@pytest.mark.parametrize("place", [pytest.param(name, marks=LATER.get(name, ())) for name in PLACES], indirect=True)
def test_nobody_is_misled(place: Place, told: bool) -> None:  # noqa: FBT001 - pytest passes it
    """Every follower of the lost commits is refused, before the next write and after more commits than were lost."""
    followers = lose(place)
    if told:
        with serving(place.after) as app:
            assert app.test_cli_runner().invoke(args=["ledger", "new-epoch"]).exit_code == 0
    with serving(place.after) as app:
        reader, database = app.test_client(), app.extensions["database"]
        # Nobody has written yet, so a version that is not there may be one to wait for; that is a 503.
        assert followers.misled(curating(reader, database, name="early")) <= {"min_version"}
        client = curating(app.test_client(), database, name="late")
        write(client, *NEW)
        assert followers.misled(client) == set()
        assert read(client, "/changes?since=0")["head"] == EPOCH + len(NEW)
        # Those who saw only what was kept go on.
        assert [row["id"] for row in read(client, f"/changes?since={SEEDED + 2}")["data"]] == NEW
        with database.reading() as session:
            assert list(verify(session)) == []


@pytest.mark.parametrize("place", few(FOLDERS, "sqlite-folder"), indirect=True)
def test_control_without_a_state_folder(place: Place) -> None:
    """If nothing outside of a folder remembers, integers of lost versions are taken for new ones; cursors and tags are not."""
    for name in ("settings", "after"):
        setattr(place, name, replace(getattr(place, name), state_dir=""))
    followers = lose(place)
    with serving(place.after) as app:
        client = curating(app.test_client(), app.extensions["database"], name="late")
        write(client, *NEW)
        assert followers.misled(client) == INTEGERS
