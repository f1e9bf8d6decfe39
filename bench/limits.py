"""The limits: the same bytes as files of nginx or from an application that does nothing else, and the bare SQL.

`keep` stores the responses; `SERVERS` serve each at its name; `sql_rate` needs no server.
"""

import json
import multiprocessing
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from api.settings import ROOT, Settings
from bench.peers import THREADS, WORKERS, Facts
from bench.peers.copies import file_of
from bench.peers.process import HOST, ServerError, free_port, started

# Headers that every server sends by itself.
OWN_HEADERS = {
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
# The directives of the configuration that Debian's package installs, but without the access log, which no server here writes.
NGINX = """
daemon off;
worker_processes {workers};
pid {folder}/nginx-{port}.pid;
error_log stderr;
{user}
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    gzip on;
    access_log off;
    default_type application/json;
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
    """Store a response, to be served at ``/NAME``."""
    bodies = folder / "bodies"
    bodies.mkdir(parents=True, exist_ok=True)
    (bodies / name).write_bytes(body)
    ours = {name: value for name, value in headers.items() if name.lower() not in OWN_HEADERS}
    kept = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    (bodies / f"{name}.headers").write_text(json.dumps(kept | ours))


def nginx_program() -> str | None:
    """Return the path of nginx, or None if it is not installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


@contextmanager
def nginx(folder: Path, *, with_headers: bool = False) -> Iterator[str]:
    """Serve the stored bodies as files, if asked with this API's headers; yields the base URL.

    Raises ServerError, also if nginx is not installed.
    """
    if not (program := nginx_program()):
        raise ServerError("nginx is missing: install the system's package of that name")
    port = free_port()
    # As root, nginx would run its workers as a user who may not read a private folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    locations = _locations(folder / "bodies") if with_headers else ""
    text = NGINX.format(folder=folder, workers=WORKERS, host=HOST, port=port, user=user, locations=locations)
    file = folder / f"nginx-{port}.conf"
    file.write_text(text, encoding="utf-8")
    command = [program, "-e", "stderr", "-p", str(folder), "-c", str(file)]
    with started(command, port, {}, ready=_first(folder), cwd=folder) as base:
        yield base


def _locations(bodies: Path) -> str:
    """Return nginx's directives that add this API's headers to each file."""
    locations = []
    for file in sorted(bodies.glob("*.headers")):
        headers = [row for row in json.loads(file.read_text()).items() if row[0].lower() not in OWN_HEADERS]
        lines = [f"            add_header {name} {json.dumps(value, ensure_ascii=False)};" for name, value in headers]
        locations.append("\n".join([f"        location = /{file.stem} {{", *lines, "        }"]))
    return "\n".join(locations)


@contextmanager
def granian(folder: Path, interface: str = "wsgi") -> Iterator[str]:
    """Serve the stored responses from an application; yields the base URL. `interface` is "wsgi", as ours, or "rsgi"."""
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


SERVERS: Mapping[str, Callable[[Path], AbstractContextManager[str]]] = {
    "nginx, as it comes": nginx,
    "nginx, with our headers": partial(nginx, with_headers=True),
    "granian, WSGI": granian,
    "granian, RSGI": partial(granian, interface="rsgi"),
}


def _statements(dialect: str) -> tuple[str, str]:
    mark = "?" if dialect == "sqlite" else "%s"
    return IDS.format(mark), ROWS.format(", ".join([mark] * PAGE))


def page(connection: sqlite3.Connection | psycopg.Connection, statements: tuple[str, str], priority: str) -> Sequence[Any]:
    """Return the rows of the list page: first the ids, then the stored documents, as this API reads them."""
    execute: Any = connection.execute
    ids = [id for (id,) in execute(statements[0], [priority]).fetchall()][:PAGE]
    rows: Sequence[Any] = execute(statements[1], ids).fetchall()
    return rows


def _pages(url: str, priority: str, seconds: float) -> float:
    """Return the pages a second that one connection reads."""
    dialect = "sqlite" if url.startswith("sqlite") else "postgresql"
    opened = sqlite3.connect(file_of(url)) if dialect == "sqlite" else psycopg.connect(url, autocommit=True)
    with closing(opened) as connection:
        statements, count = _statements(dialect), 0
        if len(page(connection, statements, priority)) != PAGE:
            raise SystemExit("the page is short, so its rate would say nothing")
        start = time.perf_counter()
        while time.perf_counter() < start + seconds:
            page(connection, statements, priority)
            count += 1
        return count / (time.perf_counter() - start)


def sql_rate(settings: Settings, facts: Facts, seconds: float = 3.0) -> float:
    """Return the list pages a second that the bare SQL reads, in as many processes as a server has workers."""
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(_pages, settings.database_url, facts.priority, seconds) for _ in range(WORKERS)]
        return sum(future.result() for future in running)
