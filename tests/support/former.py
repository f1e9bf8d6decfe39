"""A database as the first release left it: the released edition, published in its first form."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import yaml
from sqlalchemy import insert, select, update

from api.db.database import Database
from api.ledger import merkle
from api.ledger.commits import linked
from api.ledger.models import Head, Op, Revision
from api.ledger.rendering import document_of
from api.resources import RESOURCES
from api.schema.canonical import sha256
from api.settings import ROOT, Settings
from tests.support.databases import Store, opened, template

EDITION = ROOT / "seeds" / "digital-cities-2024"
# The last revision whose documents have the form of the edition's files.
REVISION = "0014"


def released(store: Store) -> Settings:
    """Return the settings of a new database as that release left it: migrated and published."""
    settings = store.copy(template(store, REVISION))
    with opened(settings) as database:
        publish(database)
    return settings


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the noun and the content of each record as it was published, in the order of publication."""
    nouns = {
        resource.name: yaml.safe_load((EDITION / f"{resource.name}.yaml").read_text(encoding="utf-8")) for resource in RESOURCES
    }
    (survey,) = nouns["surveys"]
    places = {id: place for place, id in enumerate(survey["priorities"], 1)}
    for row in nouns["priorities"]:
        row["surveys"] = [{"survey": survey["id"], "place": places[row["id"]]}]
    for noun, rows in nouns.items():
        yield from ((noun, row) for row in sorted(rows, key=lambda row: row["id"]))


def publish(database: Database) -> None:
    """Publish the edition as one commit, as that release did."""
    with database.writing() as session:
        chain, rows = session.scalars(select(Head.chain)).one(), []
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        for version, (noun, content) in enumerate(documents(), 1):
            document = document_of(content, version, now)
            row: dict[str, Any] = {
                "version": version,
                "commit_version": 1,
                "kind": noun,
                "id": content["id"],
                "op": Op.UPSERT,
                "reason": "migration",
                "changed_at": now,
                "document": document.decode(),
                "hash": sha256(content),
                "bucket": merkle.key(noun, content["id"])[0],
                "leaf": merkle.leaf(noun, content["id"], document),
            }
            chain = linked(chain, row)
            rows.append({**row, "chain": chain})
        session.execute(insert(Revision), rows)
        session.execute(update(Head).values(version=len(rows), changed_at=now, chain=chain))
