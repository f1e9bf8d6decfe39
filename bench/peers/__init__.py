"""The peers: other servers for the same rows, each set up as its documentation says, with two worker processes.

`PEERS` has the command of each and its path for each of `WORKLOADS`; `running` starts one and always stops it.
`bench.peers.setup` installs the peers' own packages into ``bench/peers/.venv`` and ``node_modules``.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg

from bench.peers import copies
from bench.peers.copies import HERE, NODE, VENV
from bench.peers.process import HOST, ServerError, free_port, started

if TYPE_CHECKING:
    # The peers import this package too, and theirs do not include the product's.
    from api.settings import Settings

__all__ = ["HERE", "NODE", "PEERS", "PRODUCT", "VENV", "WORKLOADS", "Facts", "Peer", "ServerError", "running"]

ROOT = HERE.parent.parent
WORKERS, THREADS = 2, 4

WORKLOADS = {
    "list": "20 initiatives of a priority with their cities, ordered by title",
    "record": "one initiative, with priorities, partners and metrics",
    "search": "20 initiatives that have two words in title or summary",
    "facet": "counts by city of the initiatives of a priority",
    "deep": "20 initiatives from the 50,000th on, or from the last quarter of fewer",
    "export": "all initiatives as CSV",
    "changes": "a page of changes from the middle on",
    "conditional": "the list again, with its ETag: 304",
    "html": "the list as a page for people, with counts by city, status and, in this API's, priority",
    "write": "POST of an initiative",
}


@dataclass(frozen=True)
class Facts:
    """The ids and words that a dataset's requests name; `bench.peers.facts` reads them from it."""

    priority: str
    id: str
    words: tuple[str, str]
    offset: int
    before: tuple[str, str]
    cursor: str
    version: int

    def values(self) -> dict[str, str]:
        """Return the values for the placeholders in a peer's paths."""
        return {
            "priority": quote(self.priority),
            "id": quote(self.id),
            "words": quote(" ".join(self.words)),
            "word_0": quote(self.words[0]),
            "word_1": quote(self.words[1]),
            "offset": str(self.offset),
            "page": str(self.offset // 20 + 1),
            "tilde_before": ",".join(map(tilde, self.before)),
            "cursor": quote(self.cursor),
            "version": str(self.version),
        }


def tilde(text: str) -> str:
    """Encode a text as Datasette does in its URLs (tilde encoding)."""
    return quote(text, safe="").replace("~", "~7E").replace(".", "~2E").replace("%20", "+").replace("%", "~")


@dataclass(frozen=True)
class Peer:
    """A server: its command for a port and a database, and its path for each workload.

    `paths` has a template for each workload that the peer offers, filled from `Facts`. `prepare` returns the URL of the
    database to serve, which it makes if the peer needs another form of the data. `largest` is the most initiatives that
    the peer can hold. `tool` says what `bench.peers.setup` installs. `connection` is its kind in `bench.peers.durability`, if
    it takes writes.
    """

    name: str
    about: str
    command: Callable[[int, str], list[str]]
    paths: Mapping[str, str | None]
    env: Callable[[str, int], Mapping[str, str]] = lambda _url, _port: {}
    dialects: Sequence[str] = ("sqlite", "postgresql")
    ready: str = "/"
    prepare: Callable[[str, Path], str] = lambda url, _folder: url
    largest: int | None = None
    tool: str = "venv"
    connection: str = ""

    def path(self, workload: str, facts: Facts) -> str | None:
        """Return the path of a workload, or None if the peer does not offer it."""
        template = self.paths.get(workload)
        return template.format(**facts.values()) if template else None


def _through(extra: str, suffix: str = ".json") -> str:
    """Return Datasette's query for the initiatives of a priority, through the association table."""
    link = quote('{"table":"initiative_priorities","column":"priority_id","value":"PRIORITY"}').replace(
        "PRIORITY", "{priority}"
    )
    return f"/data/initiatives{suffix}?_through={link}{'&_shape=objects' if suffix else ''}{extra}"


PRODUCT = Peer(
    name="this API",
    about=f"granian, {WORKERS} workers with {THREADS} threads each",
    command=lambda _port, _url: [sys.executable, "-m", "flask", "--app", "wsgi", "serve"],
    paths={
        "list": "/initiatives?priority={priority}&include=city&limit=20",
        "record": "/initiatives/{id}",
        "search": "/initiatives?q={words}&include=city&limit=20",
        "facet": "/initiatives?priority={priority}&facets=city&limit=1",
        "deep": "/initiatives?include=city&limit=20&cursor={cursor}",
        "export": "/initiatives.csv",
        "changes": "/changes?since={version}",
        "conditional": "/initiatives?priority={priority}&include=city&limit=20",
        "html": "/initiatives.html?priority={priority}&limit=20",
        "write": "/initiatives",
    },
    ready="/readyz",
    tool="product",
    connection="product",
)

FASTAPI = Peer(
    name="FastAPI",
    about=f"SQLAlchemy's ORM, pydantic; uvicorn, {WORKERS} workers, no access log",
    command=lambda port, _url: [
        *(str(VENV / "uvicorn"), "bench.peers.fastapi_app:app", "--host", HOST, "--port", str(port)),
        *("--workers", str(WORKERS), "--no-access-log"),
    ],
    paths={
        "list": "/initiatives?priority={priority}&limit=20",
        "record": "/initiatives/{id}",
        "search": "/initiatives?search={words}&limit=20",
        "facet": "/initiatives/by-city?priority={priority}",
        "deep": "/initiatives?offset={offset}&limit=20",
        "write": "/initiatives",
    },
    ready="/initiatives?limit=1",
    connection="sqlalchemy",
)

DRF = Peer(
    name="Django REST framework",
    about=f"Django's ORM, ModelSerializer; gunicorn, {WORKERS} workers with {THREADS} threads each",
    command=lambda port, _url: [
        *(str(VENV / "gunicorn"), "bench.peers.drf_app.wsgi", "--bind", f"{HOST}:{port}"),
        *("--workers", str(WORKERS), "--threads", str(THREADS), "--no-control-socket"),
    ],
    paths={
        "list": "/initiatives/?priority={priority}",
        "record": "/initiatives/{id}/",
        "search": "/initiatives/?search={words}",
        "facet": "/initiatives/by-city/?priority={priority}",
        "deep": "/initiatives/?page={page}",
        "conditional": "/polled/?priority={priority}",
        "write": "/initiatives/",
    },
    ready="/initiatives/",
    connection="django",
)

SMOREST = Peer(
    name="Flask-smorest",
    about=f"SQLAlchemy's ORM, marshmallow's dump; granian, {WORKERS} workers with {THREADS} threads each",
    command=lambda port, _url: [
        *(str(VENV / "granian"), "bench.peers.smorest_app:app", "--interface", "wsgi", "--host", HOST, "--port", str(port)),
        *("--workers", str(WORKERS), "--blocking-threads", str(THREADS)),
    ],
    paths={
        "list": "/initiatives/?priority={priority}",
        "record": "/initiatives/{id}",
        "search": "/initiatives/?search={words}",
        "facet": "/initiatives/by-city?priority={priority}",
        "deep": "/initiatives/?page={page}",
        "conditional": "/initiatives/polled?priority={priority}",
        "write": "/initiatives/",
    },
    ready="/initiatives/",
    connection="sqlalchemy",
)

DATASETTE = Peer(
    name="Datasette",
    about="its own server and JSON API, which is one process; immutable file, full text by sqlite-utils enable-fts",
    command=lambda port, url: [
        *(str(VENV / "datasette"), "serve", "--immutable", copies.file_of(url), "--host", HOST, "--port", str(port)),
        *("--metadata", str(HERE / "datasette.json"), "--setting", "suggest_facets", "off"),
        # By default Datasette refuses what takes longer than a second, and the refusals would be measured.
        *("--setting", "sql_time_limit_ms", "30000", "--setting", "facet_time_limit_ms", "30000"),
        *("--setting", "max_csv_mb", "0"),
    ],
    paths={
        "list": _through("&_labels=on&_sort=title&_size=20"),
        "record": "/data/initiative.json?id={id}&_shape=objects&_json=priorities&_json=partners&_json=metrics&_json=awards",
        "search": "/data/initiatives.json?_search={words}&_labels=on&_sort=title&_size=20&_shape=objects",
        "facet": _through("&_facet=city_id&_facet_size=100&_size=0"),
        "deep": "/data/initiatives.json?_sort=title&_next={tilde_before}&_labels=on&_size=20&_shape=objects",
        "export": "/data/initiatives.csv?_stream=on&_size=max",
        "html": _through("&_sort=title&_size=20&_facet=city_id&_facet=status", suffix=""),
    },
    dialects=("sqlite",),
    ready="/-/versions.json",
    prepare=copies.datasette,
)

JSON_SERVER = Peer(
    name="json-server",
    about="its own server, which is one process with everything in memory",
    command=lambda port, url: [
        *("node", str(HERE / "json_server/node_modules/json-server/lib/cli/bin.js"), url, "--host", HOST, "--port", str(port)),
        *("--quiet", "--read-only"),
    ],
    paths={
        "list": "/initiatives?priorities_like={priority}&_expand=city&_sort=title,id&_order=asc,asc&_limit=20",
        "record": "/initiatives/{id}",
        "deep": "/initiatives?_expand=city&_sort=title,id&_order=asc,asc&_page={page}&_limit=20",
        "conditional": "/initiatives?priorities_like={priority}&_expand=city&_sort=title,id&_order=asc,asc&_limit=20",
    },
    dialects=("sqlite",),
    ready="/initiatives?_limit=1",
    prepare=copies.json_server,
    # Node reads texts of at most 512 MB.
    largest=100_000,
    tool="json_server",
)

_PRIORITY = "filter[priorities][priority_id][_eq]={priority}"
_WHOLE = "fields=*,city_id.*,awards.award_id,priorities.priority_id,partners.organization_id,partners.role,metrics.*"
_WORDS = "&".join(
    f"filter[_and][{n}][_or][{m}][{column}][_icontains]={{word_{n}}}"
    for n in range(2)
    for m, column in enumerate(("title", "summary"))
)


DIRECTUS = Peer(
    name="Directus",
    about=f"its own server, {WORKERS} processes by pm2-runtime; surrogate keys added to the association tables",
    command=lambda _port, _url: [
        *(str(NODE / "node"), str(HERE / "directus/node_modules/pm2/bin/pm2-runtime"), "start"),
        str(HERE / "directus/ecosystem.config.cjs"),
    ],
    env=copies.directus_settings,
    paths={
        "list": f"/items/initiatives?{_PRIORITY}&{_WHOLE}&sort=title,id&limit=20",
        "record": f"/items/initiatives/{{id}}?{_WHOLE}",
        "search": f"/items/initiatives?{_WORDS}&{_WHOLE}&sort=title,id&limit=20",
        "facet": f"/items/initiatives?{_PRIORITY}&{urlencode({'aggregate[count]': '*', 'groupBy[]': 'city_id'})}&limit=100",
        "deep": f"/items/initiatives?{_WHOLE}&sort=title,id&limit=20&page={{page}}",
        "export": "/items/initiatives?export=csv&limit=-1",
        "conditional": f"/items/initiatives?{_PRIORITY}&{_WHOLE}&sort=title,id&limit=20",
    },
    ready="/server/ping",
    prepare=copies.directus,
    tool="directus",
)

PEERS = (FASTAPI, DRF, SMOREST, DATASETTE, JSON_SERVER, DIRECTUS)


@contextmanager
def running(peer: Peer, settings: "Settings", folder: Path) -> Iterator[str]:
    """Run a peer on a database during the block; yields its base URL. `folder` is for the data that it prepares.

    Raises ServerError if it does not start.
    """
    try:
        url = peer.prepare(settings.database_url, folder)
    except (subprocess.CalledProcessError, psycopg.Error, OSError) as error:
        raise ServerError(f"its data could not be prepared: {error}") from error
    port = free_port()
    environ = {"DATABASE_URL": url, "WORKERS": str(WORKERS), "THREADS": str(THREADS), **peer.env(url, port)}
    with started(peer.command(port, url), port, environ, ready=peer.ready, cwd=ROOT) as base:
        yield base
