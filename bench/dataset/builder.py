"""Builds a database of generated initiatives: their rows, and the revisions and index entries that the ledger would write.

The few records that initiatives refer to are published by the ledger. The initiatives are many, so their rows are loaded
without triggers; a test holds that `ledger.verify` sees no difference.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alembic import command
from sqlalchemy import select

from api.db.database import Database
from api.db.engines import autocommit
from api.db.revisions import alembic_config
from api.ledger import digest, merkle, models, publish, rebuild
from api.ledger.index.engine import TABLE
from api.ledger.index.entries import IndexEntry
from api.resources.initiatives import initiatives
from api.schema import dates
from api.schema.canonical import Content
from api.schema.fields import instant
from api.settings import Settings
from bench.dataset.initiatives import InitiativeGenerator
from bench.dataset.loaders import Loader, loading
from bench.dataset.world import YEARS, populate

SEED = 20_241_202
# The feed never splits a commit, so commits stay small.
COMMIT = 100


def dated_columns(name: str) -> Sequence[str]:
    """Return a date's columns, in the order of the values of `dated`."""
    return name, *(f"{name}{suffix}" for suffix in dates.derived(None))


COLUMNS: Mapping[str, Sequence[str]] = {
    "records": ("kind", "id"),
    "initiatives": ("id", "city_id", "title", "summary", "status", "parent_id", *dated_columns("started")),
    "initiative_awards": ("initiative_id", "award_id"),
    "initiative_priorities": ("initiative_id", "priority_id", "position"),
    "initiative_partners": ("initiative_id", "organization_id", "role", "position"),
    "initiative_metrics": ("initiative_id", "position", "name", "kind", "value", "unit", "qualifier", *dated_columns("as_of")),
    "revision": (
        *("version", "commit_version", "kind", "id", "op", "reason", "changed_at", "document", "hash"),
        *("bucket", "leaf", "chain"),
    ),
}
# The same bytes as RFC 8785's for these documents: member names in ASCII, numbers that every language writes alike.
CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class Moment:
    """The time of publication: as the database stores it, and as documents have it."""

    stored: Any
    text: str


def rows_of(content: Content) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the rows that hold a document: (table, row)."""
    id = content["id"]
    yield "records", (initiatives.name, id)
    members = ("city", "title", "summary", "status", "parent")
    yield "initiatives", (id, *(content[name] for name in members), *dated(content["started"]))
    for award in content["awards"]:
        yield "initiative_awards", (id, award)
    for position, priority in enumerate(content["priorities"]):
        yield "initiative_priorities", (id, priority, position)
    for position, partner in enumerate(content["partners"]):
        yield "initiative_partners", (id, partner["organization"], partner["role"], position)
    for position, metric in enumerate(content["metrics"]):
        values = (metric[name] for name in ("name", "kind", "value", "unit", "qualifier"))
        yield "initiative_metrics", (id, position, *values, *dated(metric["as_of"]))


def dated(date: str | None) -> tuple[Any, ...]:
    """Return the values of a date's columns."""
    return date, *dates.derived(date).values()


def load(loader: Loader, contents: Sequence[Content], moment: Moment) -> None:
    """Write initiatives, and the ledger's rows as if they had been published `COMMIT` at a time."""
    before, chain = loader.head()
    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in COLUMNS}
    entries: list[dict[str, Any]] = []
    for version, content in enumerate(contents, before + 1):
        for table, row in rows_of(content):
            rows[table].append(row)
        text = CANONICAL(content)
        # `updated_at` and `version` come last in the order of names.
        document = f'{text[:-1]},"updated_at":"{moment.text}","version":{version}}}'
        record = (initiatives.name, content["id"])
        leaf = merkle.leaf(*record, document.encode())
        chain = merkle.link(chain, version, *record, "upsert", moment.text, leaf=leaf)
        commit = version - (version - before - 1) % COMMIT
        change = (version, commit, *record, "upsert", "generated", moment.stored)
        digests = (hashlib.sha256(text.encode()).hexdigest(), merkle.key(*record)[0], leaf, chain)
        rows["revision"].append((*change, document, *digests))
        entries.append({loader.engine.key: version, **loader.engine.row(IndexEntry.of(initiatives, content))})
    for table, table_rows in rows.items():
        loader.load(table, COLUMNS[table], table_rows)
    if entries:
        loader.load(TABLE, list(entries[0]), [tuple(entry.values()) for entry in entries])
    loader.advance(before + len(contents), chain)


def build(settings: Settings, size: int) -> None:
    """Migrate an empty database and write `size` initiatives to it, spread over the years."""
    chance = random.Random(SEED)  # noqa: S311 - every database of one size is the same
    database = Database(settings, create=True)
    config = alembic_config()
    config.attributes["connection"] = database.engine
    command.upgrade(config, "head")
    generator = InitiativeGenerator(populate(database, size, chance), chance)
    moment = _moment(database)
    database.engine.dispose()
    shares = [size // len(YEARS) + (place < size % len(YEARS)) for place in range(len(YEARS))]
    with loading(settings, [*COLUMNS, TABLE]) as loader:
        for year, share in zip(YEARS, shares, strict=True):
            load(loader, generator.year(year, share), moment)
    with database.writing() as session:
        # The ledger stores the scopes of revisions that another program wrote.
        publish.settle(session)
        digest.catch_up(session)
        rebuild.reindex_bitmaps(session)
    database.engine.dispose()
    if not settings.database_url.startswith("sqlite"):
        # Autovacuum would do it at some later time, in the middle of a measurement.
        with autocommit(database.engine) as connection:
            connection.exec_driver_sql("vacuum analyze")
        database.engine.dispose()


def _moment(database: Database) -> Moment:
    """Return the time of the newest publication."""
    with database.reading() as session:
        changed_at = session.scalars(select(models.Head.changed_at)).one()
    convert = models.Revision.__table__.c.changed_at.type.bind_processor(database.engine.dialect)
    return Moment(convert(changed_at) if convert else changed_at, instant(changed_at))
