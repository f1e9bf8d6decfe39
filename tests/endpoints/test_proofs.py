"""The digest of the dataset and of each noun, the nodes of its tree, and snapshots."""

import gzip
import json

import pytest
from flask.testing import FlaskClient

from api.ledger import merkle
from api.schema.canonical import canonical
from tests.support.answers import ANY, brief, read
from tests.support.copies import Copy, apply, follow, root, write
from tests.support.editions import SEEDED


def test_digest(curator: FlaskClient) -> None:
    """At every version, the root equals the one computed from a copy."""
    copy: Copy = {}
    roots = {}
    cursor = follow(curator, copy, "/changes?since=0")
    for step in range(6):
        roots[SEEDED + step] = (root(copy), len(copy))
        if step % 3 == 2:
            curator.delete(f"/cities/c-{step - 1}-zz", headers=ANY)
        else:
            write(curator, f"c-{step}-zz")
        cursor = follow(curator, copy, f"/changes?cursor={cursor}")
    roots[SEEDED + 6] = (root(copy), len(copy))
    answers = {version: read(curator, f"/digest?at={version}")["data"] for version in roots}
    assert {version: (answer["root"], answer["count"]) for version, answer in answers.items()} == roots
    assert read(curator, "/digest")["data"] == answers[SEEDED + 6]
    empty = read(curator, "/digest?at=0")["data"]
    assert (empty["count"], empty["root"], empty["nouns"]) == (0, root({}), {})


def test_digest_in_the_middle_of_a_commit(curator: FlaskClient) -> None:
    """At any version, not only where a commit ends, the digest is of just the records up to it."""
    rows = read(curator, "/changes?since=0")["data"]
    copy: Copy = {}
    apply(copy, {"data": rows[:50]})
    assert read(curator, "/digest?at=50")["data"]["root"] == root(copy)


def test_nodes(client: FlaskClient) -> None:
    """Each node hashes to what its parent says, and each bucket has the records whose keys begin with its prefix, by key."""
    nouns = read(client, "/digest")["data"]["nouns"]
    for noun in ("cities", "citations"):
        found: list[tuple[str, str]] = []
        todo = [("", read(client, f"/digest/{noun}")["hash"])]
        for prefix, expected in todo:
            node = read(client, f"/digest/{noun}?prefix={prefix}" if prefix else f"/digest/{noun}")
            assert node["version"] == SEEDED
            leaves = [merkle.leaf(noun, row["id"], canonical(row["document"])) for row in node["data"]]
            assert [leaf.hex() for leaf in leaves] == [row["hash"] for row in node["data"]]
            children = [bytes.fromhex(child) for child in node["children"]]
            hash = merkle.node(b"".join(children)) if children else merkle.bucket(leaves)
            assert hash.hex() == node["hash"] == expected
            assert (node["count"] > 32) == bool(children) == (not node["data"] and node["count"] > 0)
            todo += [(f"{prefix}{digit:x}", child) for digit, child in enumerate(node["children"])]
            found += [(prefix, row["id"]) for row in node["data"]]
        keys = [merkle.key(noun, id).hex() for _, id in found]
        assert [prefix for prefix, _ in found] == [key[: len(prefix)] for key, (prefix, _) in zip(keys, found, strict=True)]
        for place in {prefix for prefix, _ in found}:
            assert [key for key, (prefix, _) in zip(keys, found, strict=True) if prefix == place] == sorted(
                key for key in keys if key.startswith(place)
            )
        assert merkle.noun(noun, bytes.fromhex(todo[0][1])).hex() == nouns[noun]["root"]
        assert len(found) == nouns[noun]["count"]


def test_below_a_bucket(client: FlaskClient) -> None:
    """A prefix that is longer than the way to a bucket has those of its records that it fits."""
    every = read(client, "/digest/cities")
    assert every["children"] == []
    digits = {merkle.key("cities", row["id"]).hex()[0] for row in every["data"]}
    rows = [row for digit in sorted(digits) for row in read(client, f"/digest/cities?prefix={digit}")["data"]]
    assert rows == every["data"]
    key = merkle.key("cities", "boston-ma").hex()
    assert [row["id"] for row in read(client, f"/digest/cities?prefix={key}")["data"]] == ["boston-ma"]


def test_a_node_of_the_past(curator: FlaskClient) -> None:
    """A node is as it was at a version, although records came, changed and went since: also where it was a bucket."""
    before = read(curator, "/digest/cities")
    write(curator, *(f"c-{number}-zz" for number in range(40)))
    assert len(read(curator, "/digest/cities")["children"]) == 16
    curator.patch("/cities/c-1-zz", json={"summary": "Changed."}, headers=ANY)
    curator.delete("/cities/c-2-zz", headers=ANY)
    assert read(curator, f"/digest/cities?at={SEEDED}") == before
    assert read(curator, "/digest/cities?at=0")["data"] == []


@pytest.mark.parametrize("path", ["/digest?buckets=true", "/digest?buckets=true&at=1", "/digest/buckets/cities/7?at=1"])
def test_copies_with_the_first_digest(client: FlaskClient, path: str) -> None:
    """A client that asks for the 256 buckets of the first digest is told that the digest has another form, and what to do."""
    assert brief(client.get(path)) == (410, "digest-replaced", [])
    assert "`/digest/cities`" in client.get(path).get_json()["detail"]


@pytest.mark.parametrize("prefix", ["x", "F", "0" * 65, ""])
def test_wrong_prefixes(client: FlaskClient, prefix: str) -> None:
    """A prefix is of one to 64 hexadecimal digits in small letters."""
    status, name, (item,) = brief(client.get(f"/digest/cities?prefix={prefix}"))
    assert (status, name, item["parameter"]) == (400, "invalid-query", "prefix")


@pytest.mark.parametrize(
    "path",
    [
        "/digest/mayors",
        "/changes/mayors",
    ],
)
def test_what_is_not_there(client: FlaskClient, path: str) -> None:
    """An unknown noun is a 404 that names the existing ones."""
    status, name, (item,) = brief(client.get(path))
    assert (status, name, bool(item["allowed"])) == (404, "not-found", True)


def test_snapshot(curator: FlaskClient) -> None:
    """A snapshot has everything at one version, counted and proved, and the feed continues from its cursor."""
    write(curator, "a-zz")
    first, *rows = [json.loads(line) for line in curator.get("/snapshot").get_data().splitlines()]
    copy = {(row["kind"], row["id"]): row["document"] for row in rows}
    proof = read(curator, "/digest")["data"]
    assert first == {"version": SEEDED + 1, "cursor": first["cursor"], "count": len(rows), "root": root(copy)}
    assert (first["root"], first["count"]) == (proof["root"], proof["count"])
    write(curator, "b-zz")
    for path in (f"/changes?cursor={first['cursor']}", f"/changes?since={SEEDED + 1}"):
        assert [row["id"] for row in read(curator, path)["data"]] == ["b-zz"]
    then = curator.get(f"/snapshot?as_of={SEEDED + 1}")
    assert then.get_data().splitlines()[1:] == [
        json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() for row in rows
    ]


def test_snapshot_compressed(client: FlaskClient) -> None:
    """A snapshot is compressed for a client that accepts it, with a separate tag and the right `Vary`."""
    plain, packed = (
        client.get("/snapshot", headers={"Accept-Encoding": coding}, buffered=True) for coding in ("identity", "gzip, br;q=0.5")
    )
    refused = client.get("/snapshot", headers={"Accept-Encoding": "gzip;q=0"}, buffered=True)
    assert gzip.decompress(packed.get_data()) == plain.get_data() == refused.get_data()
    assert [answer.headers.get("Content-Encoding") for answer in (plain, packed, refused)] == [None, "gzip", None]
    assert {answer.headers["Vary"] for answer in (plain, packed, refused)} == {"Accept-Encoding"}
    assert plain.headers["ETag"] != packed.headers["ETag"]
    again = client.get("/snapshot", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert (again.status_code, again.headers["Vary"]) == (304, "Accept-Encoding")
