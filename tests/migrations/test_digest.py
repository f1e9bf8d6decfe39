"""The tree of the digest, and the buckets that an older release has instead."""

import hashlib
from typing import Any

from alembic import command
from sqlalchemy import select, text

from api.ledger.models import CURRENT, DigestNode, Revision
from api.ledger.verify import verify
from api.settings import Settings
from tests.support.databases import config, opened, publishing, upgrade

NODES = select(DigestNode.path, DigestNode.records, DigestNode.content).order_by(DigestNode.path)
BUCKETS = text("select kind, number, records, sha256 from digest_bucket order by kind, number")
PUT = text("insert into priorities (id, name, description) values (:id, :id, 'D.')")


def buckets(rows: list[Revision]) -> list[tuple[Any, ...]]:
    """Return the buckets as the older release has them."""
    found: dict[tuple[str, int], list[bytes]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        number = hashlib.sha256(f"digital-cities/key/1\n{row.kind}\n{row.id}".encode()).digest()[0]
        found.setdefault((row.kind, number), []).append(bytes(row.leaf or b""))
    return sorted(
        (*key, len(leaves), hashlib.sha256(b"digital-cities/bucket/1\n" + b"".join(leaves)).digest())
        for key, leaves in found.items()
    )


def test_an_upgrade_fills_the_tree(settings: Settings) -> None:
    """A downgrade leaves the buckets of the older release as that one would have, and an upgrade makes the same tree again."""
    with opened(settings) as database:
        with publishing(database) as session:
            session.execute(PUT, [{"id": f"p-{number}"} for number in range(100)])
        with publishing(database) as session:
            session.execute(text("delete from priorities where id like 'p-1%'"))
        with database.reading() as session:
            before = session.execute(NODES).all()
            expected = buckets([*session.scalars(select(Revision).where(*CURRENT))])
        command.downgrade(config(database), "0026")
        with database.reading() as session:
            assert [(*row[:3], bytes(row[3])) for row in session.execute(BUCKETS)] == expected
    upgrade(settings)
    with opened(settings) as database, database.reading() as session:
        assert session.execute(NODES).all() == before
        assert list(verify(session)) == []
