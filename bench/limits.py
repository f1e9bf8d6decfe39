"""The limits: how fast the same bytes leave as a file or from an application that does nothing, and how fast the bare SQL is.

`keep` writes the answers that are served; `nginx` and `granian` serve them, each at its name; `sql_rate` needs no server.
"""

import json
import multiprocessing
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from api.settings import ROOT, Settings
from bench.peers import THREADS, WORKERS, Facts
from bench.peers.copies import file_of
from bench.peers.process import HOST, ServerError, free_port, started

# What a server says of its own accord.
OWN = {
    "connection",
    "content-length",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "server",
    "transfer-encoding",
}
NGINX = """
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        root {folder}/bodies;
{locations}
    }}
}}
"""
IDS = (
    "select id from initiatives where id in (select initiative_id from initiative_priorities where priority_id = {0}) "
    "order by title, id limit 21"
)
ROWS = (
    "select r.document, c.document from initiatives i "
    "join revision r on r.kind = 'initiatives' and r.id = i.id and r.superseded is null "
    "join revision c on c.kind = 'cities' and c.id = i.city_id and c.superseded is null "
    "where i.id in ({0}) order by i.title, i.id"
)
PAGE = 20


def keep(folder: Path, name: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Write an answer, to be served at ``/NAME``."""
    bodies = folder / "bodies"
    bodies.mkdir(parents=True, exist_ok=True)
    (bodies / name).write_bytes(body)
    said = {name: value for name, value in headers.items() if name.lower() not in OWN}
    kept = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    (bodies / f"{name}.headers").write_text(json.dumps(kept | said))


def nginx_program() -> str | None:
    """Return where nginx is, if it is."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Serve what was kept as files; yields the base URL. Raises ServerError, also where there is no nginx."""
    if not (program := nginx_program()):
        raise ServerError("nginx is missing: install the system's package of that name")
    port, locations = free_port(), []
    for said in sorted((folder / "bodies").glob("*.headers")):
        lines = [f"        location = /{said.stem} {{", "            types {}", "            default_type application/json;"]
        for name, value in json.loads(said.read_text()).items():
            if name.lower() not in OWN:
                lines.append(f"            add_header {name} {json.dumps(value, ensure_ascii=False)};")
        locations.append("\n".join([*lines, "        }"]))
    # As root, it would give its workers to somebody who may not read a private folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    text = NGINX.format(folder=folder, workers=WORKERS, host=HOST, port=port, user=user, locations="\n".join(locations))
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with started(command, port, {}, ready=_first(folder), cwd=folder) as base:
        yield base


@contextmanager
def granian(folder: Path, interface: str = "wsgi") -> Iterator[str]:
    """Serve what was kept from an application; yields the base URL. `interface` is "wsgi", as the product's, or "rsgi"."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "granian", f"bench.peers.bytes_app:{interface}", "--interface", interface),
        *("--host", HOST, "--port", str(port), "--workers", str(WORKERS), "--no-ws"),
        *(("--blocking-threads", str(THREADS)) if interface == "wsgi" else ()),
    ]
    with started(command, port, {"BODIES": str(folder / "bodies")}, ready=_first(folder), cwd=ROOT) as base:
        yield base


def _first(folder: Path) -> str:
    return f"/{next((folder / 'bodies').glob('*.headers')).stem}"


def _rsgi(folder: Path) -> AbstractContextManager[str]:
    return granian(folder, "rsgi")


SERVERS = {"nginx, a file": nginx, "granian, WSGI": granian, "granian, RSGI": _rsgi}


def _statements(dialect: str) -> tuple[str, str]:
    mark = "?" if dialect == "sqlite" else "%s"
    return IDS.format(mark), ROWS.format(", ".join([mark] * PAGE))


def page(connection: sqlite3.Connection | psycopg.Connection, statements: tuple[str, str], priority: str) -> Sequence[Any]:
    """Return the rows of the list page: ids first, then the stored documents that the product would join."""
    execute: Any = connection.execute
    ids = [id for (id,) in execute(statements[0], [priority]).fetchall()][:PAGE]
    found: Sequence[Any] = execute(statements[1], ids).fetchall()
    return found


def _pages(url: str, priority: str, seconds: float) -> float:
    """Return pages a second of one connection."""
    dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
    opened = sqlite3.connect(file_of(url)) if dialect == "sqlite" else psycopg.connect(url, autocommit=True)
    with closing(opened) as connection:
        statements, done = _statements(dialect), 0
        if len(page(connection, statements, priority)) != PAGE:
            raise SystemExit("the page is short: there is nothing to measure")
        start = time.perf_counter()
        while time.perf_counter() < start + seconds:
            page(connection, statements, priority)
            done += 1
        return done / (time.perf_counter() - start)


def sql_rate(settings: Settings, facts: Facts, seconds: float = 3.0) -> float:
    """Return the list pages a second that the bare SQL makes, in as many processes as servers have workers."""
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_pages, settings.database_url, facts.priority, seconds) for _ in range(WORKERS)]
        return sum(future.result() for future in running)
