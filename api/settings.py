"""All settings: one field for each environment variable, with its default, its bounds and its documentation."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from limits import parse
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

ROOT = Path(__file__).resolve().parent.parent
DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
STORAGES = ("memory", "redis", "rediss")


class SettingsError(ValueError):
    """An environment variable has an invalid value; the message is one line that names the variable."""


def setting(default: Any, help: str, *, low: int = 0, high: int = 2**31 - 1, choices: Sequence[str] = ()) -> Any:
    """Declare a setting: its default, its line in the documentation, and the inclusive bounds of a number or the choices."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a process; each field is read from the environment variable of the same name in capitals."""

    database_url: str = setting(
        "sqlite:///digital-cities.sqlite3",
        "Database: `sqlite:///FILE`, where a FILE without a folder is in the current one, or "
        "`postgresql://USER:PASSWORD@HOST/NAME`, or another form that libpq knows.",
    )
    primary_url: str = setting(
        "",
        "Address of the PostgreSQL primary when `DATABASE_URL` is a standby. Writes are made there, and requests for a "
        "version that the standby does not have yet are answered from it; without it both get a 503.",
    )
    state_dir: str = setting(
        "",
        "Folder for a small file with the highest published version, by which the server notices a restored database. Choose "
        "one that a restore does not replace. When empty, the file is next to a SQLite database, and PostgreSQL has none.",
    )
    host: str = setting("127.0.0.1", "Address or name to listen on.")
    port: int = setting(8000, "Port to listen on.", low=1, high=65535)
    workers: int = setting(2, "Number of server processes.", low=1, high=256)
    threads: int = setting(4, "Number of threads in each process; each thread answers one request at a time.", low=1, high=256)
    waiters: int = setting(
        64,
        "Number of requests in each process that may wait for changes (`/changes?wait=`), in threads of their own. Further "
        "ones are answered at once, with nothing new.",
        low=0,
        high=1000,
    )
    version_waiters: int = setting(
        16,
        "Number of requests in each process that may wait for a version (`min_version=`), at most a second each, in threads of "
        "their own. Further ones get a 503 at once if the version is not there.",
        low=0,
        high=1000,
    )
    streams: int = setting(
        4,
        "Number of answers that each process streams at the same time (CSV, NDJSON, `/snapshot`), in threads of their own. "
        "Further ones get a 503. Each holds a database connection and, on SQLite, keeps the WAL from being reused.",
        low=1,
        high=256,
    )
    wal_mb: int = setting(
        256,
        "Greatest size in megabytes of SQLite's write-ahead log. Above it, streams are cut off and refused, because they keep "
        "SQLite from reusing the log.",
        low=1,
        high=1_000_000,
    )
    bodies: int = setting(
        64,
        "Number of request bodies that each process receives at the same time; each takes up to `MAX_BODY` of memory. Further "
        "ones get a 503.",
        low=1,
        high=10_000,
    )
    max_body: int = setting(
        1_000_000, "Size of the largest request body in bytes; a larger one gets a 413.", low=1000, high=100_000_000
    )
    connections: int = setting(
        1000,
        "Number of connections that each process keeps open. One client address may hold half of them; above that, its "
        "longest idle ones are closed.",
        low=2,
        high=100_000,
    )
    keepalive_timeout: int = setting(
        15,
        "Time in seconds after which an idle connection is closed: one that has no request and moves no bytes. A proxy in "
        "front should close its own sooner.",
        low=1,
        high=3600,
    )
    body_timeout: int = setting(20, "Time in seconds for a request's body to arrive; then it gets a 408.", low=1, high=3600)
    send_timeout: int = setting(
        20, "Time in seconds in which the client must take a part of a streamed answer; else it is cut off.", low=1, high=3600
    )
    stream_timeout: int = setting(
        600, "Time in seconds for a whole answer to be sent; then the client is cut off.", low=1, high=86_400
    )
    stop_delay: int = setting(
        2,
        "Time in seconds for which a server goes on after a SIGTERM while `/readyz` is a 503, so that a load balancer sends no "
        "more requests.",
        low=0,
        high=600,
    )
    stop_timeout: int = setting(
        25, "Time in seconds for requests to be finished when the server stops; then they are cut off.", low=1, high=3600
    )
    trusted_proxies: str = setting(
        "",
        "Addresses or networks of your proxies, separated by commas, such as `10.0.0.5,fd00::/8`. Only their `Forwarded` and "
        "`X-Forwarded-For`, `-Proto` and `-Host` are believed, and limits then count the client.",
    )
    public_url: str = setting(
        "",
        "Scheme and host of all links in answers, such as `https://api.example.org`; when empty, the request's own.",
    )
    pool_size: int = setting(
        8,
        "Number of database connections that each process keeps open. On SQLite each has a page cache of 8 MB.",
        low=1,
        high=1000,
    )
    cache_mb: int = setting(
        32, "Memory for finished answers in each process, in megabytes. 0 turns the cache off.", low=0, high=1_000_000
    )
    cache_lag: int = setting(
        50,
        "Time in milliseconds for which a process may serve cached answers before it looks for commits of other processes. "
        "It always sees its own commits; on SQLite it looks with every request.",
        low=0,
        high=60_000,
    )
    stale_if_error: int = setting(
        300,
        "Time in seconds for which cached answers are served while the database is away. 0 answers 503 at once.",
        low=0,
        high=1_000_000,
    )
    s_maxage: int = setting(
        0,
        "Time in seconds for which a shared cache in front may answer by itself (`s-maxage`). With 0, every cache asks each "
        "time.",
        high=86_400,
    )
    stale_while_revalidate: int = setting(
        0,
        "Time in seconds after `S_MAXAGE` for which a shared cache may answer while it asks for the latest answer.",
        high=86_400,
    )
    connect_timeout: int = setting(
        5, "Time in seconds to wait for a database connection; then the request gets a 503.", low=1, high=600
    )
    lock_timeout: int = setting(
        5, "Time in seconds for which a write waits for another write; then it gets a 503.", low=1, high=600
    )
    statement_timeout: int = setting(
        10,
        "Time in seconds that a statement may take; then the request gets a 503. 0 turns the limit off.",
        low=0,
        high=86400,
    )
    write_limit: str = setting(
        "600/minute", "Writes that each key may make, such as `10/second` or `600/minute`; further ones get a 429."
    )
    refusal_limit: str = setting(
        "60/minute",
        "Requests with an invalid key, or with one that lacks a scope, that each client address may make, such as `60/minute`; "
        "further ones get a 429.",
    )
    limits_storage: str = setting(
        "memory://",
        "Store of the counters of both limits: `memory://` counts in each process, `redis://HOST:PORT/0` in a Redis that "
        "all processes share.",
    )
    proposal_days: int = setting(90, "Time in days after which a proposal that nobody decided on expires.", low=1, high=3650)
    proposal_review: int = setting(
        0, "1 requires that another key than its author's publishes a proposal; 0 lets the author do it.", low=0, high=1
    )
    webhooks_loopback: int = setting(
        0, "1 allows webhooks to this machine, also without TLS, for trying them out.", low=0, high=1
    )
    metrics: int = setting(1, "1 counts requests and answers `/metrics`; 0 does neither.", low=0, high=1)
    metrics_port: int = setting(
        0, "Port on which `serve` answers `/metrics` instead of `PORT`, where everyone can read it. 0 means `PORT`.", high=65535
    )
    access_log: str = setting(
        "off", "A line for each request on standard output: `off`, `text` or `json`.", choices=("off", "text", "json")
    )
    log_format: str = setting("text", "Form of the events on standard error: `text` or `json`.", choices=("text", "json"))
    log_level: str = setting(
        "warning",
        "The least events that are logged: `debug`, `info`, `warning` or `error`.",
        choices=("debug", "info", "warning", "error"),
    )
    retry_after: int = setting(5, "Time in seconds that a 503 asks the client to wait (`Retry-After`).", low=1, high=3600)

    def __post_init__(self) -> None:
        """Validate what the types do not say. Raises `SettingsError`."""
        self.sqlalchemy_url  # noqa: B018 - parsing is the check
        if self.primary_url:
            try:
                replace(self, database_url=self.primary_url, primary_url="")
            except SettingsError as error:
                raise SettingsError(str(error).replace("DATABASE_URL", "PRIMARY_URL")) from None
        for part in filter(None, map(str.strip, self.trusted_proxies.split(","))):
            try:
                ip_network(part)
            except ValueError:
                raise SettingsError(
                    f"TRUSTED_PROXIES names {part!r}, which is not an address or network such as 10.0.0.0/8"
                ) from None
        self._check_choices()
        public = urlsplit(self.public_url)
        if self.public_url and not (public.scheme in {"http", "https"} and public.netloc):
            raise SettingsError(f"PUBLIC_URL={self.public_url!r} is not an address such as https://api.example.org")
        for name in ("write_limit", "refusal_limit"):
            value = getattr(self, name)
            try:
                parse(value)
            except ValueError:
                raise SettingsError(f"{name.upper()}={value!r} is not a limit such as 600/minute") from None
        if urlsplit(self.limits_storage).scheme not in STORAGES:
            raise SettingsError(
                f"LIMITS_STORAGE begins with none of {', '.join(STORAGES)}; use memory:// or redis://HOST:PORT/0"
            )

    def _check_choices(self) -> None:
        for row in fields(self):
            choices = row.metadata["choices"]
            if choices and getattr(self, row.name) not in choices:
                raise SettingsError(f"{row.name.upper()}={getattr(self, row.name)!r} is none of {', '.join(choices)}")

    @property
    def sqlalchemy_url(self) -> URL:
        """``database_url`` for SQLAlchemy, with the driver that the project installs. Raises `SettingsError`."""
        # These messages do not repeat the value, because it may contain a password.
        hint = "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
        try:
            url = _url(self.database_url)
        except (ArgumentError, ValueError, ProgrammingError):
            raise SettingsError(f"DATABASE_URL is not a database address; {hint}") from None
        if url.drivername not in DRIVERS:
            raise SettingsError(f"DATABASE_URL names the database {url.drivername!r}, which is not supported; {hint}")
        if url.drivername == "sqlite" and (url.host or url.database in {None, "", ":memory:"}):
            raise SettingsError(f"DATABASE_URL names no file; an in-memory database would be lost between connections; {hint}")
        if url.drivername == "sqlite" and url.query:
            raise SettingsError(f"DATABASE_URL has options, which SQLite does not take here; {hint}")
        return url.set(drivername=DRIVERS[url.drivername])

    @property
    def cache_control(self) -> str:
        """What caches may do with an answer: any may keep it, but must ask each time, or only after a while if it is shared."""
        if not self.s_maxage:
            return "public, no-cache"
        times = ("s-maxage", self.s_maxage), ("stale-while-revalidate", self.stale_while_revalidate)
        given = (*times, ("stale-if-error", self.stale_if_error))
        return ", ".join(["public", "max-age=0", *(f"{name}={seconds}" for name, seconds in given if seconds)])

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the settings of an environment; an empty variable counts as unset. Raises `SettingsError`."""
        values: dict[str, Any] = {}
        for row in fields(cls):
            text = environ.get(row.name.upper(), "").strip()
            if text:
                values[row.name] = _number(row.name.upper(), text, row.metadata) if row.type is int else text
        return cls(**values)


def _url(text: str) -> URL:
    """Return a database's address. Raises ArgumentError or ValueError, and psycopg's ProgrammingError."""
    if text.startswith("sqlite") or ("," not in text and "://" in text):
        return make_url(text)
    # Only libpq's parser knows addresses of several hosts, and key=value pairs.
    values: dict[str, Any] = conninfo_to_dict(text.replace("postgresql+psycopg://", "postgresql://", 1))
    user, password, name = (values.pop(key, None) for key in ("user", "password", "dbname"))
    hosts, ports = (str(values.pop(key, "")).split(",") for key in ("host", "port"))
    places = {"host": ",".join(hosts), "port": ",".join(ports * (len(hosts) if len(ports) == 1 else 1))}
    query = {key: str(value) for key, value in {**places, **values}.items() if str(value).strip(",")}
    return URL.create("postgresql", user, password, database=name, query=query)


def _number(name: str, text: str, bounds: Mapping[str, Any]) -> int:
    low, high = bounds["low"], bounds["high"]
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise SettingsError(f"{name}={text!r} is not a whole number from {low} to {high}")
    return int(text)
