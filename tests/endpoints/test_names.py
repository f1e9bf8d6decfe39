"""Names that are sent, by every route and in every noun."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from marshmallow import Schema, fields

from api.db.database import Database
from api.editing.inputs import example_of, members
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import Name
from tests.support.answers import ANY, brief
from tests.support.databases import SQLITE_FIRST
from tests.support.files import load, said, write
from tests.support.records import FRESNO

PARTS: dict[str, dict[str, Any]] = {
    "metrics": {"name": "n", "value": 1, "unit": "u", "kind": "count"},
    "categories": {"category": "all", "name": "All"},
}


def names_of(schema: type[Schema]) -> list[str]:
    """Return pointers to the members of a record and of its parts that are names."""
    pointers = []
    for name, field in members(schema).items():
        if isinstance(field, Name):
            pointers.append(f"/{name}")
        elif isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
            pointers += [f"/{name}/0/{below}" for below, part in field.inner.schema.fields.items() if isinstance(part, Name)]
    return pointers


EVERY = [(noun.name, pointer) for noun in RESOURCES for pointer in names_of(noun.schema)]


def body(noun: str, pointer: str, value: str) -> dict[str, Any]:
    """Return a record with a name."""
    record, (_, member, *below) = example_of(BY_NAME[noun]), pointer.split("/")
    return {**record, member: [{**PARTS[member], below[1]: value}] if below else value}


@pytest.mark.parametrize(("noun", "pointer"), EVERY)
def test_every_name_is_canonical(curator: FlaskClient, noun: str, pointer: str) -> None:
    """A name of any noun is stored in its canonical form, and refused with the place and the character if it has none."""
    answer = curator.post(f"/{noun}?dry_run=true", json=body(noun, pointer, " Can\u0303on   Vista\u00a0"))
    assert answer.status_code == 201
    assert '"Cañon Vista"' in json.dumps(answer.get_json(), ensure_ascii=False)
    for text, character in (("a\u202eb", "U+202E"), ("a\nb", "U+000A"), ("\u200b", "U+200B"), ("\x1bb", "U+001B")):
        status, name, (item,) = brief(curator.post(f"/{noun}", json=body(noun, pointer, text)))
        assert (status, name, item["pointer"]) == (422, "invalid-body", pointer)
        assert character in item["detail"]


def test_names_are_one_by_every_route(curator: FlaskClient, database: Database, tmp_path: Path) -> None:
    """Two spellings of a name are stored as one by every route; prose keeps its line breaks."""
    assert curator.post("/cities", json={**FRESNO, "name": "Cañon Vista", "summary": "A.\nB."}).status_code == 201
    twin = {**FRESNO, "id": "zz-ca", "name": "Can\u0303on  Vista"}
    operation = {"op": "create", "kind": "cities", "document": twin}
    for answer in (
        curator.post("/cities", json=twin),
        curator.put("/cities/zz-ca", json=twin),
        curator.patch("/cities/san-diego-ca", json={"name": twin["name"]}, headers=ANY),
        curator.post("/changesets", json={"operations": [operation]}),
    ):
        assert brief(answer)[:2] == (409, "conflict")
    assert len(said(load(database, write(tmp_path, "cities.json", [twin])), tmp_path)) == 1
    assert curator.patch("/cities/fresno-ca", json={"name": "Cañon Vista "}, headers=ANY).status_code == 200
    assert curator.get("/cities/fresno-ca").get_json()["data"]["name"] == "Cañon Vista"


TWINS: dict[str, tuple[str, dict[str, Any]]] = {
    "surveys": ("name", {"id": "zz", "year": 2024, "conducted_by": "e-republic"}),
    "cities": ("name", {"id": "zz-ca", "state": "CA", "country": "US"}),
    "initiatives": ("title", {"id": "zz", "city": "los-angeles-ca", "summary": "S.", "status": "pilot"}),
    "priorities": ("name", {"id": "zz", "description": "D."}),
    "organizations": ("name", {"id": "zz", "type": "company"}),
}
# A name of each noun that is published, with the members of its twin.
NAMES = {
    "surveys": "Digital Cities Survey",
    "cities": "San Diego",
    "initiatives": "MyLA311",
    "priorities": "Cybersecurity",
    "organizations": "e.Republic",
}


def wide(name: str) -> str:
    """Return a name in full-width letters."""
    return "".join(chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in name)


@SQLITE_FIRST
@pytest.mark.parametrize("spelling", [str.upper, str.lower, wide], ids=["upper", "lower", "wide"])
@pytest.mark.parametrize("noun", TWINS)
def test_a_name_is_unique_in_every_spelling(
    curator: FlaskClient, database: Database, tmp_path: Path, noun: str, spelling: Callable[[str], str]
) -> None:
    """A name that differs only in case or width is that of the other record, by every route; another name is free."""
    member, members = TWINS[noun]
    (other,) = (row for row in curator.get(f"/{noun}?limit=100").get_json()["data"] if row[member] == NAMES[noun])
    twin = {**members, member: spelling(NAMES[noun])}
    for answer in (
        curator.post(f"/{noun}", json=twin),
        curator.put(f"/{noun}/{twin['id']}", json=twin),
        curator.post("/changesets", json={"operations": [{"op": "create", "kind": noun, "document": twin}]}),
    ):
        status, name, (item,) = brief(answer)
        assert (status, name, item["code"], item["records"]) == (
            409,
            "conflict",
            "not-unique",
            [{"kind": noun, "id": other["id"]}],
        )
    assert len(said(load(database, write(tmp_path, f"{noun}.json", [twin])), tmp_path)) == 1
    free = {**twin, member: f"{twin[member]} 2"}
    both = [free, {**free, "id": f"{free['id']}-2", member: free[member].swapcase()}]
    assert len(said(load(database, write(tmp_path, f"{noun}.json", both)), tmp_path)) == 1
    assert curator.post(f"/{noun}", json=free).status_code == 201
    assert curator.patch(f"/{noun}/{free['id']}", json={member: twin[member]}, headers=ANY).status_code == 409
    assert curator.patch(f"/{noun}/{other['id']}", json={member: spelling(NAMES[noun])}, headers=ANY).status_code == 200


def test_names_of_another_key_are_free(curator: FlaskClient) -> None:
    """The same name in another state is another city, and metrics of one initiative have names of their own."""
    assert curator.post("/cities", json={"id": "zz-nv", "name": "SAN DIEGO", "state": "NV", "country": "US"}).status_code == 201
    metrics = [{**PARTS["metrics"], "name": name} for name in ("Users", "USERS")]
    answer = curator.patch("/initiatives/los-angeles-ca-data-lake", json={"metrics": metrics}, headers=ANY)
    status, _, (item,) = brief(answer)
    assert (status, item["pointer"], item["code"]) == (422, "/metrics/1/name", "named-twice")
