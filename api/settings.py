"""Every setting: one field per environment variable, with its default and what it does."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from limits import parse
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
    """An environment variable holds what it cannot hold; the message is one line for the operator."""


def setting(default: Any, help: str, *, low: int = 0, high: int = 2**31 - 1) -> Any:
    """Declare one setting; ``low`` and ``high`` bound a number, inclusive."""
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the process was told; the variable of a field is its name in capitals."""

    database_url: str = setting(
        f"sqlite:///{ROOT / 'digital-cities.sqlite3'}",
        "`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`.",
    )
    primary_url: str = setting(
        "", "The primary of a PostgreSQL that follows: it is asked for versions that have not arrived; nobody is when empty."
    )
    host: str = setting("127.0.0.1", "Address that the server listens on.")
    port: int = setting(8000, "Port that the server listens on.", low=1, high=65535)
    workers: int = setting(2, "Server processes.", low=1, high=256)
    threads: int = setting(4, "Threads that answer requests in each process.", low=1, high=256)
    waiters: int = setting(2, "Requests of `/changes?wait=` that each process holds at once.", low=0, high=255)
    public_url: str = setting(
        "", "Scheme and host that links are built from, such as `https://api.example.org`; the request's own when empty."
    )
    pool_size: int = setting(
        8, "Database connections that each process keeps; on SQLite, each has 8 MB of pages.", low=1, high=1000
    )
    cache_mb: int = setting(32, "Megabytes of finished answers that each process keeps; 0 for none.", low=0, high=1_000_000)
    cache_lag: int = setting(
        50,
        "Milliseconds for which a process may miss what others write to PostgreSQL; on SQLite, and of its own, nothing.",
        low=0,
        high=60_000,
    )
    connect_timeout: int = setting(5, "Seconds to wait for a connection to the database.", low=1, high=600)
    lock_timeout: int = setting(5, "Seconds to wait for another writer.", low=1, high=600)
    statement_timeout: int = setting(
        30, "Seconds that one statement may take on PostgreSQL; 0 for no limit.", low=0, high=86400
    )
    write_limit: str = setting("600/minute", "Writes that each key may make, such as `10/second` or `600/minute`.")
    refusal_limit: str = setting("60/minute", "Requests with a wrong key that each address may make before it is told to wait.")
    limits_storage: str = setting(
        "memory://", "Where requests are counted: `memory://`, by each process, or `redis://HOST:PORT/0`, by all together."
    )
    webhooks_loopback: int = setting(
        0, "1 lets webhooks go to this machine itself, without TLS, too: for trying them out.", low=0, high=1
    )
    retry_after: int = setting(5, "Seconds after which a client that got a 503 is told to come back.", low=1, high=3600)

    def __post_init__(self) -> None:
        """Refuse what can't work; raises `SettingsError`."""
        self.sqlalchemy_url  # noqa: B018 - parsing is the check
        if self.primary_url:
            try:
                replace(self, database_url=self.primary_url, primary_url="")
            except SettingsError as error:
                raise SettingsError(str(error).replace("DATABASE_URL", "PRIMARY_URL")) from None
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
            raise SettingsError(f"LIMITS_STORAGE names none of {', '.join(STORAGES)}; use memory:// or redis://HOST:PORT/0")

    @property
    def sqlalchemy_url(self) -> URL:
        """`database_url` as SQLAlchemy takes it, with the driver that we ship."""
        # The value itself stays out of these messages, since it may hold a password.
        hint = "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
        try:
            url = make_url(self.database_url)
        except (ArgumentError, ValueError):
            raise SettingsError(f"DATABASE_URL is not a database address; {hint}") from None
        if url.drivername not in DRIVERS:
            raise SettingsError(f"DATABASE_URL names the database {url.drivername!r}, which is not supported; {hint}")
        if url.drivername == "sqlite" and (url.host or url.database in {None, "", ":memory:"}):
            raise SettingsError(f"DATABASE_URL names no file; an in-memory database would be lost between connections; {hint}")
        if url.drivername == "sqlite" and url.query:
            raise SettingsError(f"DATABASE_URL has options, which are not taken for SQLite; {hint}")
        return url.set(drivername=DRIVERS[url.drivername])

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the environment; an empty variable counts as unset. Raises `SettingsError`."""
        given: dict[str, Any] = {}
        for row in fields(cls):
            text = environ.get(row.name.upper(), "").strip()
            if text:
                given[row.name] = _number(row.name.upper(), text, row.metadata) if row.type is int else text
        return cls(**given)


def _number(name: str, text: str, bounds: Mapping[str, Any]) -> int:
    low, high = bounds["low"], bounds["high"]
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise SettingsError(f"{name}={text!r} is not a whole number from {low} to {high}")
    return int(text)
