"""Two releases on one database: an earlier release from the repository's history, a load, and what balances it."""

import json
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest

from api.settings import ROOT, Settings
from tests.support.processes import SERVE, environment, listening, unused_port, wait_until
from tests.support.unproved import SAID

HOST = "127.0.0.1"
CALM = {"WORKERS": 1, "LOCK_TIMEOUT": 60, "WRITE_LIMIT": "1000000/minute", "STOP_DELAY": 2}


def git(*arguments: str) -> bytes:
    """Return what git prints about the repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def before(revision: str, folder: Path) -> Path:
    """Write the tree of the commit before the one that added a migration into a folder; skips the test without the history."""
    (file,) = (ROOT / "migrations" / "versions").glob(f"{revision}_*.py")
    added = git("log", "--format=%H", "--diff-filter=A", "--", str(file)).decode().split()
    # Without a commit, the migration is about to be made.
    commit = f"{added[-1]}^" if added else "HEAD"
    try:
        archive = git("archive", commit)
    except subprocess.CalledProcessError:
        pytest.skip(f"{SAID}a rolling upgrade, which needs the history: this clone is shallow")
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    assert not list((folder / "migrations" / "versions").glob(f"{revision}_*.py"))
    return folder


def is_ready(port: int) -> bool:
    """Tell whether a server is ready."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@dataclass
class Balancer:
    """Sends each request to the next of the servers that are ready, as a load balancer does."""

    ports: list[int] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    turns: Iterator[int] = field(default_factory=count)
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Ask all servers again and again whether they are ready."""
        while not self.ended.wait(0.05):
            self.ready = [port for port in list(self.ports) if is_ready(port)]

    def port(self) -> int:
        """Return the port for the next request."""
        deadline = time.monotonic() + 60
        while not (ready := self.ready):
            assert time.monotonic() < deadline, "no server is ready"
            time.sleep(0.01)
        return ready[next(self.turns) % len(ready)]


@contextmanager
def balancing() -> Iterator[Balancer]:
    """Balance the load while the block runs."""
    balancer = Balancer()
    thread = threading.Thread(target=balancer.watch)
    thread.start()
    try:
        yield balancer
    finally:
        balancer.ended.set()
        thread.join()


@contextmanager
def release(folder: Path, settings: Settings, balancer: Balancer, servers: int = 2) -> Iterator[list[subprocess.Popen[str]]]:
    """Run servers of a release, and balance the load on them."""
    with ExitStack() as stack:
        processes = []
        for port in [unused_port() for _ in range(servers)]:
            variables = {"DATABASE_URL": settings.database_url, "PORT": port, "PYTHONPATH": folder, **CALM}
            process = stack.enter_context(listening(("env", f"--chdir={folder}", *SERVE), HOST, port, **variables))
            processes.append(process)
            balancer.ports.append(port)
            wait_until(lambda port=port: port in balancer.ready, process)  # type: ignore[misc]
        yield processes


@dataclass
class Load:
    """Clients that read, ask whether something changed, and write; what was not answered well is kept."""

    balancer: Balancer
    secret: str
    sent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("read", "conditional", "write"), 0))
    failed: list[tuple[str, int, str]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    slowest: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def ask(self, kind: str, method: str, path: str, body: Mapping[str, str] | None = None, /, **headers: str) -> str:
        """Send a request, note how it was answered, and return the entity tag of the answer."""
        port, begun = self.balancer.port(), time.monotonic()
        connection = HTTPConnection(HOST, port, timeout=90)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            content = answer.read().decode()
            if answer.status not in {200, 201, 304}:
                self.failed.append((f"{method} {path}", answer.status, content[:300]))
            return answer.headers["ETag"] or ""
        except (OSError, HTTPException) as error:
            self.failed.append((f"{method} {path}", 0, repr(error)))
            return ""
        finally:
            connection.close()
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.sent[kind] += 1

    def read(self) -> None:
        """Read lists, records and the feed."""
        for path in (
            "/cities?facets=state",
            "/initiatives?q=digital&limit=5",
            "/cities/boston-ma?include=awards",
            "/changes?since=0",
        ):
            self.ask("read", "GET", path)

    def revalidate(self) -> None:
        """Ask twice for the same."""
        tag = self.ask("conditional", "GET", "/awards")
        self.ask("conditional", "GET", "/awards", **{"If-None-Match": tag})

    def write(self) -> None:
        """Create a city, and change it."""
        id = f"rolling-{len(self.created)}-zz"
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
        self.ask("write", "POST", "/cities", {"id": id, "name": id, "state": "ZZ", "country": "US"}, **headers)
        self.ask("write", "PATCH", f"/cities/{id}", {"summary": "Changed."}, **headers, **{"If-Match": "*"})
        self.created.append(id)

    def repeat(self, work: Callable[[], None]) -> None:
        """Do something until the load ends."""
        while not self.ended.is_set():
            work()

    def end(self) -> None:
        """Send no more requests, and wait for the answers to those that were sent."""
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def wait(self, rounds: int = 10) -> None:
        """Wait until each kind of request was sent some more times."""
        goal = {kind: number + rounds for kind, number in self.sent.items()}
        deadline = time.monotonic() + 120
        while any(self.sent[kind] < number for kind, number in goal.items()):
            assert time.monotonic() < deadline, self.failed
            time.sleep(0.02)


@contextmanager
def loaded(balancer: Balancer, secret: str) -> Iterator[Load]:
    """Put a load on the servers while the block runs."""
    load = Load(balancer, secret)
    load.threads += [threading.Thread(target=load.repeat, args=(work,)) for work in (load.read, load.revalidate, load.write)]
    for thread in load.threads:
        thread.start()
    try:
        yield load
    finally:
        load.end()


def upgrade(settings: Settings, folder: Path = ROOT, scripts: Path | None = None) -> None:
    """Upgrade a database in a process of its own, as the release in a folder does; ``scripts`` are others than its own."""
    code = (
        "import sys; from alembic import command; from alembic.config import Config; "
        "config = Config(toml_file='pyproject.toml'); "
        "sys.argv[1:] and config.set_main_option('script_location', sys.argv[1]); command.upgrade(config, 'head')"
    )
    arguments = [sys.executable, "-c", code, *([str(scripts)] if scripts else [])]
    subprocess.run(arguments, cwd=folder, env=environment({"DATABASE_URL": settings.database_url}), check=True)
