"""A cluster of the files in `deploy/cluster/` on this machine: only the network and the places of files are replaced.

Linux answers at each address of 127.0.0.0/8, so the servers have addresses of their own here, too.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from api.settings import ROOT
from tests.support.http import ask
from tests.support.processes import SERVE, environment

FILES = ROOT / "deploy" / "cluster"
NAMES = {"one": 11, "two": 12, "three": 13}
NODES = {"a": 21, "b": 22}
PASSWORD = "change-me"  # noqa: S105 - as the files have it
PATIENCE = 90
# As the unit of systemd does: a node does not start while the database is away.
SUPERVISED = 'until "$@"; do sleep 2; done'
CHANCE = random.Random()  # noqa: S311 - nothing is secret
# Where Debian puts them.
PLACES = f"{os.environ['PATH']}:/usr/sbin:/usr/bin"
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
# Another user cannot read a Python below root's folder.
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
PROGRAMS = {
    "PostgreSQL (apt-get install postgresql)": bool(SERVERS),
    "etcd (apt-get install etcd-server)": shutil.which("etcd", path=PLACES),
    "HAProxy (apt-get install haproxy)": shutil.which("haproxy", path=PLACES),
    "Varnish (apt-get install varnish)": shutil.which("varnishd", path=PLACES),
    "wrk (apt-get install wrk)": shutil.which("wrk", path=PLACES),
    "gcc, with which Varnish compiles its configuration": shutil.which("gcc", path=PLACES),
    "Linux, whose loopback has many addresses": sys.platform == "linux",
    "a Python with venv in /usr (apt-get install python3-venv)": PYTHON,
}
MISSING = [name for name, is_there in PROGRAMS.items() if not is_there]


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until a condition holds; a server that does not answer does not hold it."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError, psycopg.Error):
            if condition():
                return
        assert time.monotonic() < deadline, "it has not come to be"
        time.sleep(0.1)


def user() -> str | None:
    """Return the user that runs PostgreSQL, which refuses root; None for this one."""
    if os.getuid():
        return None
    return next(name for name in ("postgres", "nobody") if _exists(name))


def _exists(name: str) -> bool:
    return subprocess.run(["id", name], capture_output=True, check=False).returncode == 0


@contextmanager
def patroni() -> Iterator[Path]:
    """Install Patroni where another user can run it; yields the folder of its programs."""
    with tempfile.TemporaryDirectory(prefix="patroni") as name:
        Path(name).chmod(0o755)
        subprocess.run([PYTHON or "", "-m", "venv", "--copies", name], check=True)
        lock = FILES / "requirements.lock"
        subprocess.run(
            [f"{name}/bin/pip", "install", "--quiet", "--require-hashes", "-r", lock], check=True, capture_output=True
        )
        yield Path(name) / "bin"


@dataclass
class Cluster:
    """Three servers of PostgreSQL, two nodes, HAProxy and Varnish."""

    folder: Path
    programs: Path
    synchronous: bool
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    # A network of its own, since other runs may be on this machine.
    network: str = field(default_factory=lambda: "127.{}.{}.".format(*CHANCE.sample(range(64, 250), 2)))

    # --- addresses

    @property
    def public(self) -> str:
        """What clients ask."""
        return f"http://{self.network}10:8080"

    @property
    def behind(self) -> str:
        """The same without the cache."""
        return f"http://{self.network}10:8000"

    def address(self, number: int = 10, port: int = 5000, *, name: str = "cities", role: str = "postgres") -> str:
        """Return the address of a server of PostgreSQL, or of the primary."""
        return f"postgresql://{role}:{PASSWORD}@{self.network}{number}:{port}/{name}?connect_timeout=2"

    def ask(self, statement: str, **where: Any) -> Any:
        """Run a statement on a server of PostgreSQL, and return its first value."""
        with psycopg.connect(self.address(**where), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    # --- its files and programs

    def configured(self, file: Path, *replaced: tuple[str, str]) -> Path:
        """Write a file for this network and these folders; returns where."""
        text = file.read_text(encoding="utf-8")
        for old, new in replaced:
            assert old in text, old
            text = text.replace(old, new)
        target = self.folder / f"{len(list(self.folder.iterdir()))}-{file.name}"
        target.write_text(text.replace("10.0.0.", self.network), encoding="utf-8")
        return target

    def run(self, name: str, *command: str | Path, owner: str | None = None, **environ: Any) -> None:
        """Start a program, in a group of its own."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.started[name] = subprocess.Popen(
                command,
                cwd=ROOT if name in NODES else self.folder,
                env=environment(environ) | {"PATH": PLACES},
                user=owner,
                group=owner and subprocess.check_output(["id", "-gn", owner], text=True).strip(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start everything, migrate the database, and wait until it serves."""
        self.folder.chmod(0o755)
        members = ",".join(f"{name}=http://10.0.0.{number}:2380" for name, number in NAMES.items())
        etcd = self.configured(
            FILES / "etcd.yml", ("/var/lib/etcd/cities", f"{self.folder}/etcd"), (members, members.partition(",")[0])
        )
        self.run("etcd", "etcd", "--config-file", etcd)
        for name in NAMES:
            self.start_server(name)
        self.run(
            "haproxy", "haproxy", "-db", "-f", self.configured(FILES / "haproxy.cfg", ("10.0.0.10:80\n", "10.0.0.10:8080\n"))
        )
        until(lambda: self.primary() and len(self.standbys()) == len(NAMES) - 1)
        # Until its first checks, HAProxy takes all servers for primaries.
        until(lambda: not any(self.ask("select pg_is_in_recovery()", name="postgres") for _ in NAMES))
        self.make_database()
        self.start_cache()
        for name in NODES:
            self.start_node(name)
        until(lambda: all(ask(f"http://{self.network}{number}:8000/readyz").status == 200 for number in NODES.values()))
        until(lambda: ask(f"{self.public}/cities").status == 200)
        until(self.is_whole)

    def start_server(self, name: str) -> None:
        """Start Patroni on a machine, which starts PostgreSQL."""
        home = self.folder / name
        if not home.exists():
            home.mkdir(mode=0o755)
            if owner := user():
                shutil.chown(home, owner)
            only_first = [("hosts: 10.0.0.11:2379,10.0.0.12:2379,10.0.0.13:2379", "hosts: 10.0.0.1①:2379")]
            own = [(f"{key}: 10.0.0.11", f"{key}: 10.0.0.{NAMES[name]}") for key in ("listen", "connect_address")]
            places = [
                ("/var/lib/postgresql/15/cities", f"{home}/data"),
                ("/usr/lib/postgresql/15/bin", str(SERVERS[-1])),
                ("/var/run/postgresql", str(home)),
                ("synchronous_mode: true", f"synchronous_mode: {str(self.synchronous).lower()}"),
                ("name: one", f"name: {name}"),
                ("10.0.0.1①", "10.0.0.11"),
            ]
            self.configured(FILES / "patroni.yml", *only_first, *own, *places).rename(self.folder / f"{name}.yml")
        self.run(name, self.programs / "patroni", self.folder / f"{name}.yml", owner=user(), HOME=home, LC_ALL="C.UTF-8")

    def make_database(self) -> None:
        """Make the database with its roles, and migrate it."""
        self.ask("create database cities", name="postgres")
        words = ("--quiet", "--file", ROOT / "deploy" / "roles.sql")
        environ = {**os.environ, "OWNER_PASSWORD": PASSWORD, "SERVER_PASSWORD": PASSWORD}
        subprocess.run([SERVERS[-1] / "psql", self.address(), *words], env=environ, check=True, stdout=subprocess.DEVNULL)
        owner = environment({"DATABASE_URL": self.address(role="digital_cities_owner")})
        subprocess.run([sys.executable, "-m", "api", "upgrade"], cwd=ROOT, env=owner, check=True, capture_output=True)

    def start_cache(self) -> None:
        """Start Varnish."""
        vcl = self.configured(ROOT / "deploy" / "varnish.vcl", ('.host = "127.0.0.1"', '.host = "10.0.0.10"'))
        words = ("-j", "none", "-F", "-n", self.folder / "varnish", "-s", "malloc,64m", "-f", vcl)
        self.run("varnish", "varnishd", "-a", f"{self.network}10:6081", *words)

    def start_node(self, name: str) -> None:
        """Start a node with the settings of `node.env`."""
        text = self.configured(FILES / "node.env", ("HOST=10.0.0.21", f"HOST=10.0.0.{NODES[name]}")).read_text(encoding="utf-8")
        settings: dict[str, Any] = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
        # All clients are this machine's, and HAProxy's own address here is that of the loopback.
        more = {"TRUSTED_PROXIES": "127.0.0.1", "WORKERS": 1, "WRITE_LIMIT": "1000000/minute", "PUBLIC_URL": self.public}
        self.run(name, "sh", "-c", SUPERVISED, "sh", *SERVE, **(settings | more))

    def restart_node(self, name: str) -> None:
        """Kill a node, and start it again."""
        node = self.started.pop(name)
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        self.start_node(name)

    # --- its state, and what happens to it

    def role(self, name: str) -> str | None:
        """Return what a server is by its own account: `primary` or `replica`; None if it is neither, as while it starts."""
        try:
            body = ask(f"http://{self.network}{NAMES[name]}:8008/patroni").json
        except OSError:
            return None
        role = {"master": "primary", "standby_leader": None}.get(body["role"], body["role"])
        return role if body["state"] in {"running", "streaming"} else None

    def primary(self) -> str:
        """Return the name of the primary."""
        return next((name for name in NAMES if self.role(name) == "primary"), "")

    def standbys(self) -> list[str]:
        """Return the names of the standbys."""
        return [name for name in NAMES if self.role(name) == "replica"]

    def is_whole(self) -> bool:
        """Return whether there is a primary with two standbys that stream, one of them synchronous if one must be."""
        if sorted(map(str, map(self.role, NAMES))) != ["primary", "replica", "replica"]:
            return False
        streaming = "select count(*) filter (where state = 'streaming') = 2 and ({} or bool_or(sync_state <> 'async')) from pg_stat_replication"
        return bool(self.ask(streaming.format(str(not self.synchronous).lower()), number=NAMES[self.primary()], port=5432))

    def kill(self, name: str, *, also: Mapping[int, psutil.Process] | None = None) -> None:
        """Kill all processes of a machine of PostgreSQL, and then others, at once."""
        patroni = self.started.pop(name)
        found = [psutil.Process(patroni.pid)]
        postmaster = int((self.folder / name / "data" / "postmaster.pid").read_text().split()[0])
        found.append(psutil.Process(postmaster))
        for process in [*found, *(child for parent in found for child in parent.children(recursive=True))]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for process in (also or {}).values():
            process.kill()
        patroni.wait()

    def receivers(self) -> dict[int, psutil.Process]:
        """Return the processes that receive the log on the standbys."""
        pids = [self.ask("select pid from pg_stat_wal_receiver", number=NAMES[name], port=5432) for name in self.standbys()]
        return {pid: psutil.Process(pid) for pid in pids if pid}

    def switch_over(self) -> None:
        """Make a standby the primary, as an operator does."""
        words = ("-c", self.folder / "one.yml", "switchover", "cities", "--leader", self.primary(), "--force")
        subprocess.run(
            [self.programs / "patronictl", *words], check=True, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
        )

    def end(self) -> None:
        """Kill everything, and clear its files away."""
        for name in [name for name in NAMES if name in self.started]:
            with contextlib.suppress(OSError, psutil.Error):
                self.kill(name)
        for process in self.started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start(programs: Path, *, synchronous: bool) -> Cluster:
    """Start a cluster in a folder of its own."""
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="cluster")), programs, synchronous)
    try:
        cluster.start()
    except BaseException:
        cluster.end()
        raise
    return cluster
