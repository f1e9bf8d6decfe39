"""The list of changesets, and what each did to its records."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger.models import EPOCH
from tests.support.answers import Json, brief, read, walk
from tests.support.applications import curating
from tests.support.copies import city
from tests.support.records import FRESNO


@pytest.fixture
def commits(editor: FlaskClient, database: Database) -> list[int]:
    """The versions of three changesets: a city by one author, its organization by another, and a change of both by the first."""
    rows = [{"op": "create", "kind": "cities", "document": FRESNO}]
    first = editor.post("/changesets", json={"message": "One.", "operations": rows}).get_json()["meta"]["commit"]
    other = curating(editor.application.test_client(), database, name="other")
    other.post("/organizations?message=Two.", json={"id": "zz", "name": "Z", "type": "company", "city": "fresno-ca"})
    rows = [
        {"op": "patch", "kind": kind, "id": id, "if_match": "*", "document": {"summary": "S."}}
        for kind, id in (("cities", "fresno-ca"), ("organizations", "zz"))
    ]
    editor.post("/changesets", json={"message": "Three.", "operations": rows})
    return [first, first + 1, first + 2]


def versions(client: FlaskClient, query: str) -> list[int]:
    """Return the versions of the changesets that a query finds."""
    return [row["version"] for row in read(client, f"/changesets?{query}")["data"]]


def test_the_list(editor: FlaskClient, commits: list[int]) -> None:
    """The newest changeset comes first, with its author, message, time and last version; pages follow `links.next`."""
    answer = read(editor, "/changesets?limit=2")
    newest = answer["data"][0]
    time = read(editor, "/cities/fresno-ca")["data"]["updated_at"]
    assert newest == {
        "version": commits[2],
        "last_version": commits[2] + 1,
        "author": "curator",
        "message": "Three.",
        "committed_at": time,
        "import_id": None,
    }
    assert answer["meta"] == {"version": commits[2] + 1}
    every = [row["version"] for row in walk(editor, "/changesets?limit=2")]
    assert every == [*reversed(commits), *every[3:]]
    assert every[-1] == 1
    for row in walk(editor, "/changesets"):
        assert read(editor, f"/changesets/{row['version']}")["data"].items() >= row.items()


def test_filters(editor: FlaskClient, commits: list[int]) -> None:
    """Filters by author, time and noun narrow the list, alone and together, and its pages keep them."""
    first, second, third = commits
    assert versions(editor, "author=other") == [second]
    assert versions(editor, "kinds=organizations&limit=2") == [third, second]
    assert versions(editor, "kinds=organizations&author=curator") == [third]
    assert versions(editor, "author=nobody") == versions(editor, "import_id=none") == []
    time = read(editor, f"/changesets/{second}")["data"]["committed_at"]
    assert versions(editor, f"committed_at__gte={time}")[-1] in {first, second}
    later = versions(editor, f"committed_at__gt={time}")
    assert later in ([third], [])
    assert {*later, *versions(editor, f"committed_at__lte={time}&limit=500")} == {*versions(editor, "limit=500")}
    assert versions(editor, "committed_at__lt=2000-01-01T00:00:00Z") == []
    page = read(editor, "/changesets?author=curator&limit=1")
    following = page["links"]["next"].removeprefix("http://localhost")
    assert [row["version"] for row in read(editor, following)["data"]] == [first]
    cursor = following.partition("cursor=")[2]
    assert brief(editor.get(f"/changesets?author=other&cursor={cursor}"))[1] == "invalid-cursor"


@pytest.mark.parametrize(
    ("query", "parameter", "suggestion"),
    [
        ("committed_at__gte=yesterday", "committed_at__gte", None),
        ("kinds=citys", "kinds", "cities"),
        ("kind=cities", "kind", "kinds"),
        ("limit=0", "limit", None),
        ("autor=x", "autor", "author"),
    ],
)
def test_wrong_filters(routing_client: FlaskClient, query: str, parameter: str, suggestion: str | None) -> None:
    """A parameter that is wrong is a 400 that says what would have worked."""
    status, name, (item,) = brief(routing_client.get(f"/changesets?{query}"))
    assert (status, name, item["parameter"], item.get("suggestion")) == (400, "invalid-query", parameter, suggestion)


def test_effects(editor: FlaskClient) -> None:
    """Created, updated, deleted and derived changes are told apart; those of a record that stays have their differences."""
    editor.post("/cities", json=city("a-zz"))
    cited = read(editor, "/citations?subject_id=los-angeles-ca&field=/name")["data"][0]
    rows: list[Json] = [
        {"op": "create", "kind": "cities", "document": FRESNO},
        {"op": "delete", "kind": "cities", "id": "a-zz", "if_match": "*"},
        {"op": "patch", "kind": "citations", "id": cited["id"], "if_match": "*", "document": {"basis": "inferred"}},
    ]
    answer = editor.post("/changesets", json={"operations": rows})
    assert answer.status_code == 200, answer.get_json()
    changes = {row["id"]: row for row in read(editor, f"/changesets/{answer.get_json()['meta']['commit']}")["data"]["changes"]}
    effects: dict[str, tuple[str, Any]] = {id: (row["effect"], row["differences"]) for id, row in changes.items()}
    bases = read(editor, "/cities/los-angeles-ca")["data"]["basis"]
    assert effects == {
        "fresno-ca": ("created", None),
        "a-zz": ("deleted", None),
        cited["id"]: ("updated", [{"pointer": "/basis", "before": cited["basis"], "after": "inferred"}]),
        "los-angeles-ca": (
            "derived",
            [
                {
                    "pointer": "/basis",
                    "before": {name: basis for name, basis in bases.items() if name != "/name"},
                    "after": bases,
                }
            ],
        ),
    }


def test_a_version_leads_to_its_commit(editor: FlaskClient, commits: list[int]) -> None:
    """A version within a commit is a 303 to it, and one that does not exist a 404."""
    answer = editor.get(f"/changesets/{commits[2] + 1}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"http://localhost/changesets/{commits[2]}")
    for version in (commits[2] + 2, EPOCH + 1):
        assert brief(editor.get(f"/changesets/{version}"))[0] == 404
