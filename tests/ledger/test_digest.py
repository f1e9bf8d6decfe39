"""The stored tree of the digest: its upkeep by publications, what it costs, and what an older release leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, event, func, insert, select, text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import digest, head, merkle, rebuild, tree_check
from api.ledger.models import CURRENT, Bucket, DigestNode, Revision
from api.ledger.tree import Entry, Node, Tree, top
from api.ledger.verify import verify
from tests.support.answers import ANY, read
from tests.support.copies import Copy, city, follow, root, write
from tests.support.databases import ON_SQLITE, publishing
from tests.support.databases import head as head_of
from tests.support.lengths import examples

PUT = text(
    "insert into priorities (id, name, description) values (:id, :id, :words)"
    " on conflict (id) do update set description = excluded.description"
)
DROP = text("delete from priorities where id = :id")
# The seeds' priorities and these: sometimes more than a bucket has, sometimes less.
MANY = 60


def stored(session: Session) -> dict[str, Node]:
    """Return the stored nodes."""
    rows = session.execute(
        select(DigestNode.path, DigestNode.records, DigestNode.content).where(DigestNode.path != digest.ROOT)
    )
    return {path: Node(records, bytes(content)) for path, records, content in rows}


def scratch(session: Session) -> dict[str, Node]:
    """Return the nodes of the current records, made at once."""
    tree = Tree({}, lambda _: {})
    entries: dict[str, dict[bytes, Entry]] = {}
    for row in session.scalars(select(Revision).where(*CURRENT)):
        entries.setdefault(row.kind, {})[merkle.key(row.kind, row.id)] = Entry(bytes(row.leaf or b""), row.version)
    for kind, some in entries.items():
        tree.change(top(kind), some)
    return tree.nodes


def roots(session: Session, version: int) -> dict[str, Any]:
    """Return the digests at a version."""
    return dict(digest.digests(session, version))


@hypothesis.given(
    batches=st.lists(
        st.tuples(st.sampled_from(["put", "drop"]), st.integers(0, MANY - 1), st.integers(1, MANY)), min_size=1, max_size=4
    )
)
@hypothesis.settings(
    max_examples=examples(24),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_upkeep(database: Database, batches: list[tuple[str, int, int]]) -> None:
    """After any commits the stored nodes are those from scratch, and the digests of all versions are what they were then.

    Each example goes on with what the one before has left.
    """
    seen = {}
    for number, (what, first, count) in enumerate(batches):
        rows = [{"id": f"p-{place}", "words": f"{number} {first}"} for place in range(first, min(MANY, first + count))]
        with publishing(database) as session:
            session.execute(PUT if what == "put" else DROP, rows)
        with database.reading() as session:
            assert stored(session) == scratch(session)
            seen[head_of(database)] = roots(session, head_of(database))
    with database.reading() as session:
        assert {version: roots(session, version) for version in seen} == seen
        assert tree_check.faults(session) == []


def test_in_pieces(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that is too large for the memory is stored piece by piece, and so is what an upgrade finds."""
    monkeypatch.setattr(digest, "PIECE", 40)
    with publishing(database) as session:
        session.execute(PUT, [{"id": f"p-{place}", "words": "Many."} for place in range(MANY)])
        session.execute(text("update awards set summary = 'Other.'"))
    with database.writing() as session:
        assert stored(session) == scratch(session)
        session.execute(delete(DigestNode))
        digest.catch_up(session)
        assert stored(session) == scratch(session)


DAMAGES = {
    "a node is missing": "delete from digest_node where path = 'citations/7'",
    "all nodes of a noun are missing": "delete from digest_node where path like 'citations/%'",
    "a node too many": "insert into digest_node select 'citations/7zz', records, content, version from digest_node where path = 'cities/'",
    "another number": "update digest_node set records = records + 1 where path = 'citations/'",
    "no content": "update digest_node set content = x'' where path = 'citations/7'",
    "another leaf": "update revision set leaf = chain where id = 'boston-ma' and superseded is null",
    "another noun's": "update digest_node set content = (select content from digest_node where path = 'awards/') where path = 'cities/'",
}


@ON_SQLITE
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_repaired(database: Database, damage: str) -> None:
    """The comparison with the revisions finds what is wrong in the tree, and `ledger reindex` stores the tree again."""
    with database.writing() as session:
        session.execute(text(DAMAGES[damage]))
    with database.writing() as session:
        assert tree_check.faults(session) != []
        rebuild.reindex(session)
        assert tree_check.faults(session) == []
        assert stored(session) == scratch(session)


# --- what a write costs


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """Collect the statements in the block that have to do with the digest."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "digest_" in statement:
            found.append(statement.split(maxsplit=1)[0].lower())

    event.listen(database.engine, "before_cursor_execute", note)
    yield found
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("records", [0, 500])
def test_statements(curator: FlaskClient, database: Database, records: int) -> None:
    """A commit reads the nodes of all its nouns by one statement and writes them by one, whatever the number of records."""
    with publishing(database) as session:
        rows = [{"id": f"c-{number}-zz", "name": f"C {number}"} for number in range(records + 1)]
        session.execute(text("insert into cities (id, name, country, state) values (:id, :name, 'US', 'ZZ')"), rows)
    operations: list[dict[str, Any]] = [
        {"op": "patch", "kind": "cities", "id": "c-0-zz", "if_match": "*", "document": {"summary": "Changed."}},
        {"op": "patch", "kind": "priorities", "id": "modernization", "if_match": "*", "document": {"description": "Changed."}},
    ]
    with statements_of(curator.application.extensions["database"]) as found:
        assert curator.post("/changesets", json={"operations": operations}).status_code == 200
    assert found == ["select", "insert"]
    # An older release counts the records of a noun by a table of its own.
    with statements_of(curator.application.extensions["database"]) as found:
        assert curator.post("/cities", json=city("new-zz")).status_code == 201
    assert found == ["select", "insert", "insert"]


# --- an older release


@contextmanager
def older_release(database: Database) -> Iterator[None]:
    """Leave the tree behind, as a release does that does not know it."""
    columns = (DigestNode.path, DigestNode.records, DigestNode.content, DigestNode.version)
    with database.reading() as session:
        before = [row._asdict() for row in session.execute(select(*columns))]
    yield
    with database.writing() as session:
        session.execute(delete(DigestNode))
        session.execute(insert(DigestNode), before)


def test_writes_of_an_older_release(curator: FlaskClient, database: Database) -> None:
    """What an older release has published is counted and proved at once, and stored by the next commit of this release.

    The control: the stored tree lacks it until then.
    """
    copy: Copy = {}
    cursor = follow(curator, copy, "/changes?since=0")
    write(curator, "a-zz")
    middle = head_of(database)
    with older_release(database):
        write(curator, "b-zz", "c-zz")
        curator.delete("/cities/a-zz", headers=ANY)
    cursor = follow(curator, copy, f"/changes?cursor={cursor}")
    data = read(curator, "/digest")["data"]
    assert (data["root"], data["count"]) == (root(copy), len(copy))
    assert read(curator, "/cities?limit=1")["page"]["total"] == data["nouns"]["cities"]["count"]
    # At an earlier version than that of the stored tree, and at a later one.
    assert read(curator, f"/digest?at={middle - 1}")["data"]["count"] == len(copy) - 2
    assert read(curator, f"/digest?at={middle + 1}")["data"]["count"] == len(copy)
    assert [row["id"] for row in read(curator, "/digest/cities")["data"] if row["id"].endswith("-zz")]
    behind = f"the digest is at version {middle}; the next write stores what an older release has published since"
    with database.reading() as session:
        assert stored(session) != scratch(session)
        assert list(verify(session)) == [behind]
    write(curator, "d-zz")
    with database.reading() as session:
        assert stored(session) == scratch(session)
        assert list(verify(session)) == []
    follow(curator, copy, f"/changes?cursor={cursor}")
    assert read(curator, "/digest")["data"]["root"] == root(copy)


def test_an_older_release_counts_right(curator: FlaskClient, database: Database) -> None:
    """After commits of this release, the table by which an older one counts records has their numbers."""
    write(curator, "a-zz", "b-zz")
    curator.patch("/cities/b-zz", json={"summary": "Changed."}, headers=ANY)
    curator.delete("/cities/a-zz", headers=ANY)
    with database.reading() as session:
        counts = select(Bucket.kind, Bucket.number, Bucket.records).where(Bucket.records > 0)
        parts = select(Revision.kind, Revision.bucket, func.count()).where(*CURRENT).group_by(Revision.kind, Revision.bucket)
        assert sorted(session.execute(counts).all()) == sorted(session.execute(parts).all())
        assert head.records(session, "cities") == session.scalar(
            select(func.sum(Bucket.records)).where(Bucket.kind == "cities")
        )
