"""The digest of the dataset and of each noun, its buckets, and snapshots."""

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


def test_buckets(client: FlaskClient) -> None:
    """The buckets hash to their noun; each has exactly the records whose keys fall into it, by id."""
    data = read(client, "/digest?buckets=true")["data"]
    for noun in ("cities", "citations"):
        hashes = [bytes.fromhex(hash) for hash in data["nouns"][noun]["buckets"]]
        assert merkle.noun(noun, hashes).hex() == data["nouns"][noun]["root"]
        number = next(number for number, hash in enumerate(hashes) if hash != merkle.EMPTY)
        answer = read(client, f"/digest/buckets/{noun}/{number}")
        ids = [row["id"] for row in answer["data"]]
        every = [record["id"] for record in read(client, f"/{noun}?limit=500&sort=id")["data"]]
        assert set(ids) >= {id for id in every if merkle.bucket_of(noun, id) == number}
        assert ids == sorted(ids)
        for row in answer["data"]:
            assert row["hash"] == merkle.leaf(noun, row["id"], canonical(row["document"])).hex()
        assert (
            answer["hash"] == merkle.bucket(bytes.fromhex(row["hash"]) for row in answer["data"]).hex() == hashes[number].hex()
        )


@pytest.mark.parametrize(
    "path",
    [
        "/digest/buckets/mayors/1",
        "/digest/buckets/cities/256",
        "/digest/buckets/cities/01",
        "/digest/buckets/cities/x",
        "/changes/mayors",
    ],
)
def test_what_is_not_there(client: FlaskClient, path: str) -> None:
    """An unknown noun or bucket is a 404 that names the existing ones."""
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
