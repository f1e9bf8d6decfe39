"""A copy of the dataset that is kept by the feed and proved by the digest, without the product's help."""

import hashlib
from collections.abc import Iterator
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select, text

from api.db.database import MEMORY, Database
from api.ledger import rebuild
from api.ledger.models import Revision
from api.schema.canonical import canonical
from tests.support.answers import Json, read

Copy = dict[tuple[str, str], Json]


def city(id: str, **members: Any) -> Json:
    """Return a city to create."""
    return {"id": id, "name": id.title(), "state": "ZZ", "country": "US", **members}


def write(client: FlaskClient, *ids: str) -> None:
    """Create cities, a commit each."""
    for id in ids:
        assert client.post("/cities", json=city(id)).status_code == 201


def pages(client: FlaskClient, path: str) -> Iterator[Json]:
    """Follow the feed to its end."""
    following: str | None = path
    while following:
        page = read(client, following)
        yield page
        following = page["links"]["next"] and page["links"]["next"].removeprefix("http://localhost")


def apply(copy: Copy, page: Json) -> None:
    """Apply a page of changes to a copy."""
    for row in page["data"]:
        if row["op"] == "upsert":
            copy[row["kind"], row["id"]] = row["document"]
        else:
            copy.pop((row["kind"], row["id"]), None)


def follow(client: FlaskClient, copy: Copy, path: str) -> str:
    """Bring a copy up to date; returns the cursor."""
    for page in pages(client, path):
        apply(copy, page)
    cursor: str = page["cursor"]
    return cursor


def root(copy: Copy) -> str:
    """Compute the digest of a copy as the page says, without the product's help."""

    def sha256(label: str, data: bytes) -> bytes:
        return hashlib.sha256(f"digital-cities/{label}/1\n".encode() + data).digest()

    def node(records: dict[str, bytes], depth: int = 0) -> bytes:
        if len(records) <= 32:
            return sha256("bucket", b"".join(records[key] for key in sorted(records)))
        children = ({key: leaf for key, leaf in records.items() if key[depth] == digit} for digit in "0123456789abcdef")
        return sha256("node", b"".join(node(child, depth + 1) for child in children))

    nouns = []
    for noun in sorted({kind for kind, _ in copy}):
        names = {id: f"{noun}\n{id}".encode() for kind, id in copy if kind == noun}
        leaves = {
            sha256("key", name).hex(): sha256("leaf", name + b"\n" + canonical(copy[noun, id])) for id, name in names.items()
        }
        nouns.append(sha256("noun", f"{noun}\n".encode() + node(leaves)))
    return sha256("root", b"".join(nouns)).hex()


def undo(database: Database, version: int) -> None:
    """Lose every commit after a version, as a backup that is restored does."""
    with database.writing() as session:
        # Nobody who restores asks what the server remembers.
        del session.info[MEMORY]
        session.execute(text("delete from cities where state = 'ZZ'"))
        session.execute(text("delete from ledger_dirty"))
        for table in ("revision", "revision_scope"):
            session.execute(text(f"delete from {table} where version > {version}"))
        session.execute(text(f"update revision set superseded = null where superseded > {version}"))
        chain = session.scalar(select(Revision.chain).where(Revision.version == version))
        lost = f"update ledger_head set version = {version}, scoped = {version}, chain = :chain"
        session.execute(text(lost), {"chain": chain})
        # The digest, too.
        rebuild.reindex(session)
