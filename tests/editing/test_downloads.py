"""Downloads of the API are imported as they are, with the members that other records decide."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from tests.support.answers import ANY
from tests.support.databases import head
from tests.support.files import load, said, write
from tests.support.records import nouns

PRIORITY, SURVEY = "cybersecurity", "digital-cities-2024"
SET = "`surveys` is set by other records, to "


@nouns
@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_a_download_is_imported(own_client: FlaskClient, database: Database, tmp_path: Path, resource: Any, form: str) -> None:
    """A list of each noun in each format is imported without a change by hand, and changes nothing."""
    before = head(database)
    download = own_client.get(f"/{resource.name}.{form}?limit=100").get_data()
    result = load(database, write(tmp_path, f"{resource.name}.{form}", download))
    assert (said(result, tmp_path), set(result.statuses), head(database)) == ([], {"unchanged"}, before)


def test_an_edited_derived_member_is_refused(own_client: FlaskClient, database: Database, tmp_path: Path) -> None:
    """A derived member with another value is an edit that cannot be carried out: it is a fault, and nothing is written."""
    document = own_client.get(f"/priorities/{PRIORITY}").get_json()["data"]
    for name, value in (("edited", []), ("text", "x"), ("missing", None)):
        record = {**document, "name": name, "surveys": value}
        (line,) = said(load(database, write(tmp_path, "priorities.json", [record])), tmp_path)
        assert line.startswith(f'priorities.json:1: surveys: {SET}[{{"survey": "{SURVEY}", "listed": 1}}]; leave it out')
    assert own_client.get(f"/priorities/{PRIORITY}").get_json()["data"] == document


def test_a_derived_member_that_others_changed(curator: FlaskClient, database: Database, tmp_path: Path) -> None:
    """A derived member that is as it was exported is no edit, also if other records have changed it since."""
    document = curator.get(f"/priorities/{PRIORITY}").get_json()["data"]
    assert curator.patch(f"/surveys/{SURVEY}", json={"priorities": []}, headers=ANY).status_code == 200
    result = load(database, write(tmp_path, "priorities.json", [{**document, "description": "New."}]))
    assert (result.faults, dict(result.statuses)) == ([], {"updated": 1})
    after = curator.get(f"/priorities/{PRIORITY}").get_json()["data"]
    assert (after["description"], after["surveys"]) == ("New.", [])
    # The control: without the version, the file does not tell when it was exported.
    del document["version"]
    (line,) = said(load(database, write(tmp_path, "priorities.json", [document])), tmp_path)
    assert line.startswith(f"priorities.json:1: surveys: {SET}[]; leave it out")


@pytest.mark.parametrize(("listed", "is_refused"), [(1, False), (2, True)])
def test_new_records_that_decide_each_other(
    own_client: FlaskClient, database: Database, tmp_path: Path, listed: int, *, is_refused: bool
) -> None:
    """A derived member of a new record is compared with what the whole import makes of it."""
    survey = {**own_client.get(f"/surveys/{SURVEY}").get_json()["data"], "id": "zz", "name": "Z", "priorities": ["zz"]}
    priority = {"id": "zz", "name": "Z", "description": "Z.", "surveys": [{"survey": "zz", "listed": listed}]}
    write(
        tmp_path,
        "surveys.json",
        [{name: survey[name] for name in survey if name not in {"attributions", "basis", "version", "updated_at"}}],
    )
    write(tmp_path, "priorities.ndjson", json.dumps(priority))
    assert bool(said(load(database, tmp_path), tmp_path)) == is_refused
    assert own_client.get("/priorities/zz").status_code == (404 if is_refused else 200)
