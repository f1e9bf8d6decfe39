"""Settings from the environment: a mistake gets one line that names the variable."""

from dataclasses import fields, replace
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, text

from api.db.database import Database
from api.settings import Settings, SettingsError
from tests.support.databases import Store, opened, template

pytestmark = pytest.mark.contract

HINT = "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
WRITER = {"target_session_attrs": "read-write"}
SECRET = "s3cret"  # noqa: S105 - opens nothing
NUMBERS = [row for row in fields(Settings) if row.type is int]
TEXTS = [row for row in fields(Settings) if row.type is str]
NO_ADDRESS = f"DATABASE_URL is not a database address; {HINT}"
NO_FILE = f"DATABASE_URL names no file; an in-memory database would be lost between connections; {HINT}"
WRONG_URLS = {
    "nonsense": NO_ADDRESS,
    SECRET: NO_ADDRESS,
    "://": NO_ADDRESS,
    f"//me:{SECRET}@localhost/db": NO_ADDRESS,
    f"postgresql:/me:{SECRET}@localhost/db": NO_ADDRESS,
    f"postgresql://me:{SECRET}@localhost:port/db": NO_ADDRESS,
    f"mysql://me:{SECRET}@localhost/db": f"DATABASE_URL names the database 'mysql', which is not supported; {HINT}",
    f"oracle://me:{SECRET}@localhost/db": f"DATABASE_URL names the database 'oracle', which is not supported; {HINT}",
    f"http://me:{SECRET}@localhost/db": f"DATABASE_URL names the database 'http', which is not supported; {HINT}",
    f"postgresql+asyncpg://me:{SECRET}@localhost/db": (
        f"DATABASE_URL names the database 'postgresql+asyncpg', which is not supported; {HINT}"
    ),
    "sqlite+aiosqlite:///file.sqlite3": f"DATABASE_URL names the database 'sqlite+aiosqlite', which is not supported; {HINT}",
    "sqlite:": NO_ADDRESS,
    "sqlite://": NO_FILE,
    "sqlite:///": NO_FILE,
    "sqlite:///:memory:": NO_FILE,
    "sqlite://file.sqlite3": NO_FILE,
}
# Two slashes where three are meant: SQLAlchemy reads the folder as a host.
HOSTS = ["sqlite://data/file.sqlite3", f"sqlite://me:{SECRET}@localhost/file.sqlite3"]


def wrong_numbers(low: int, high: int) -> list[str]:
    """Return invalid values for a variable with a number."""
    return [
        "x",
        "1.5",
        "1e3",
        "0x10",
        "-1",
        "+1",
        "1_0",
        "1 0",
        "1\n2",
        "\u0661\u0662",
        "\u00b2",
        str(low - 1),
        str(high + 1),
        "9" * 5000,
        "0" * 5000,
        f"{'0' * 20}{high + 1}",
    ]


def test_defaults() -> None:
    """Without variables, the product uses a file in its folder, and serves this machine only."""
    expected = {
        "database_url": "sqlite:///digital-cities.sqlite3",
        "primary_url": "",
        "state_dir": "",
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 2,
        "threads": 4,
        "waiters": 64,
        "streams": 4,
        "bodies": 64,
        "max_body": 1_000_000,
        "connections": 1000,
        "keepalive_timeout": 15,
        "body_timeout": 20,
        "send_timeout": 20,
        "stream_timeout": 600,
        "stop_delay": 2,
        "stop_timeout": 25,
        "version_waiters": 16,
        "wal_mb": 256,
        "trusted_proxies": "",
        "cache_mb": 32,
        "cache_lag": 50,
        "stale_if_error": 300,
        "s_maxage": 0,
        "stale_while_revalidate": 0,
        "public_url": "",
        "pool_size": 8,
        "connect_timeout": 5,
        "lock_timeout": 5,
        "statement_timeout": 10,
        "write_limit": "600/minute",
        "refusal_limit": "60/minute",
        "limits_storage": "memory://",
        "proposal_days": 90,
        "proposal_review": 0,
        "webhooks_loopback": 0,
        "metrics": 1,
        "metrics_port": 0,
        "access_log": "off",
        "log_format": "text",
        "log_level": "warning",
        "retry_after": 5,
    }
    settings = Settings.from_env({})
    assert expected == {row.name: getattr(settings, row.name) for row in fields(settings)}
    assert settings == Settings()


def test_every_setting_is_explained() -> None:
    """Each variable has a sentence that explains it to operators."""
    assert [row.name for row in fields(Settings) if not row.metadata["help"].endswith(".")] == []


@pytest.mark.parametrize("blank", ["", " ", "\t\n"], ids=repr)
def test_empty_is_unset(blank: str) -> None:
    """An empty variable, or one of white space, leaves the default."""
    assert Settings() == Settings.from_env({row.name.upper(): blank for row in fields(Settings)})


def test_names_are_capitals() -> None:
    """Only a field's name in capitals sets it, and variables of others are left alone."""
    assert Settings() == Settings.from_env({"port": "9", "Port": "9", "API_PORT": "9", "PATH": "/"})


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row.name)
def test_numbers(row: Any) -> None:
    """A number is taken from the lowest to the highest that its setting allows, with white space around it."""
    for value in (row.metadata["low"], row.metadata["high"]):
        assert value == getattr(Settings.from_env({row.name.upper(): f" {value}\n"}), row.name)


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row.name)
def test_wrong_numbers(row: Any) -> None:
    """Anything but a whole number within the bounds is refused in one line that names variable, value and bounds."""
    low, high = row.metadata["low"], row.metadata["high"]
    for value in wrong_numbers(low, high):
        with pytest.raises(SettingsError) as refusal:
            Settings.from_env({row.name.upper(): value})
        assert f"{row.name.upper()}={value!r} is not a whole number from {low} to {high}" == str(refusal.value)
        assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("row", TEXTS, ids=lambda row: row.name)
def test_texts(row: Any) -> None:
    """A text is taken as it is, without the white space around it."""
    value = {
        "database_url": "sqlite:///other.sqlite3",
        "primary_url": "postgresql://me@db.example.org/cities",
        "public_url": "https://api.example.org",
        "write_limit": "10/second",
        "refusal_limit": "5 per 2 hours",
        "limits_storage": "redis://127.0.0.1:6379/1",
    }.get(row.name, (row.metadata["choices"] or ["::1"])[-1])
    assert value == getattr(Settings.from_env({row.name.upper(): f" {value}\n"}), row.name)


@pytest.mark.parametrize("row", [row for row in TEXTS if row.metadata["choices"]], ids=lambda row: row.name)
def test_wrong_choices(row: Any) -> None:
    """A value that is none of the choices is refused in one line that has them."""
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({row.name.upper(): "JSON"})
    assert str(refusal.value) == f"{row.name.upper()}='JSON' is none of {', '.join(row.metadata['choices'])}"


@pytest.mark.parametrize("value", ["10", "ten/minute", "10/fortnight", "-1/minute", "/", "10/minute;x"])
@pytest.mark.parametrize("name", ["WRITE_LIMIT", "REFUSAL_LIMIT"])
def test_wrong_limit(name: str, value: str) -> None:
    """An invalid limit is refused in one line."""
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({name: value})
    assert str(refusal.value) == f"{name}={value!r} is not a limit such as 600/minute"


@pytest.mark.parametrize("value", ["redi://x", "memcached://x", "x"])
def test_wrong_storage(value: str) -> None:
    """An unknown storage is refused in one line, without its password."""
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({"LIMITS_STORAGE": value})
    assert (
        str(refusal.value) == "LIMITS_STORAGE begins with none of memory, redis, rediss; use memory:// or redis://HOST:PORT/0"
    )


@pytest.mark.parametrize("value", ["api.example.org", "ftp://api.example.org", "https:api.example.org", "/v1", "a\nb"])
def test_wrong_public_url(value: str) -> None:
    """An address that links can't begin with is refused in one line."""
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({"PUBLIC_URL": value})
    assert f"PUBLIC_URL={value!r} is not an address such as https://api.example.org" == str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("url", WRONG_URLS)
def test_wrong_database_url(url: str) -> None:
    """An unusable database URL is refused in one line, which has a working example and no password."""
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({"DATABASE_URL": url})
    assert WRONG_URLS[url] == str(refusal.value)
    assert SECRET not in str(refusal.value)
    with pytest.raises(SettingsError, match=r"^DATABASE_URL "):
        Settings(database_url=url)


@pytest.mark.parametrize("url", HOSTS)
def test_sqlite_has_no_host(url: str) -> None:
    """A SQLite address with two slashes too few is refused in one line, and shows no password."""
    with pytest.raises(SettingsError, match=r"^DATABASE_URL [^\n]*sqlite:///FILE[^\n]*$") as refusal:
        Settings.from_env({"DATABASE_URL": url})
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql(scheme: str) -> None:
    """Every usual spelling of PostgreSQL means the driver that we ship, and keeps the rest of the address."""
    expected = URL.create(
        "postgresql+psycopg", "me", SECRET, host="db.example", port=5433, database="cities", query={"sslmode": "require"}
    )
    settings = Settings.from_env({"DATABASE_URL": f"{scheme}://me:{SECRET}@db.example:5433/cities?sslmode=require"})
    assert expected == settings.sqlalchemy_url
    engine = Database(settings).engine
    url = engine.url.set(drivername="postgresql+psycopg")
    assert (engine.dialect.name, engine.dialect.driver, url) == ("postgresql", "psycopg", expected)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://u:p@a:1,b:2/db?target_session_attrs=read-write", {"host": "a,b", "port": "1,2", **WRITER}),
        ("postgres://u:p@a,b/db?target_session_attrs=read-write", {"host": "a,b", "port": ",", **WRITER}),
        ("postgresql+psycopg://u:p@[::1]:5433,b:5433/db", {"host": "::1,b", "port": "5433,5433"}),
        ("host=a,b port=5433 user=u password=p dbname=db", {"host": "a,b", "port": "5433,5433"}),
        ("host=/run/postgresql user=u password=p dbname=db", {"host": "/run/postgresql"}),
    ],
)
def test_addresses_of_libpq(address: str, expected: dict[str, str]) -> None:
    """Several hosts and key=value pairs reach the driver as libpq understands them; another number of ports is refused."""
    dialect = Database(Settings(database_url=address)).engine.dialect
    arguments = dialect.create_connect_args(Settings(database_url=address).sqlalchemy_url)[1]
    arguments.pop("context", None)
    assert arguments == {"user": "u", "password": "p", "dbname": "db", **expected}


def test_address_of_several_hosts_reaches_a_writer(store: Store) -> None:
    """With several hosts, the connection reaches the second if the first does not answer."""
    if store.dialect != "postgresql":
        return
    settings = store.copy(template(store))
    values = conninfo_to_dict(settings.database_url)
    place = f"host=127.0.0.1,{values['host']} port=1,5432 dbname={values['dbname']} user={values['user']}"
    several = f"{place} target_session_attrs=read-write"
    with opened(replace(settings, database_url=several)) as database, database.reading() as session:
        assert session.scalar(text("select 1")) == 1


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///cities.sqlite3", "cities.sqlite3"),
        ("sqlite:///data/cities.sqlite3", "data/cities.sqlite3"),
        ("sqlite:////var/lib/cities.sqlite3", "/var/lib/cities.sqlite3"),
        ("sqlite:///with space & %3F.sqlite3", "with space & ?.sqlite3"),
    ],
)
def test_sqlite(url: str, file: str) -> None:
    """A SQLite file may be named from the current folder or from the root."""
    settings = Settings.from_env({"DATABASE_URL": url})
    assert URL.create("sqlite", database=file) == settings.sqlalchemy_url
    engine = Database(settings).engine
    assert (engine.dialect.name, engine.dialect.driver) == ("sqlite", "pysqlite")
