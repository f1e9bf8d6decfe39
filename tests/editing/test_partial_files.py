"""Files that lack some members of their records."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from api.db.database import Database
from api.ledger.models import CURRENT, Revision
from api.ledger.verify import verify
from api.schema.resource import Resource
from tests.support.databases import SQLITE_FIRST, head, publishing
from tests.support.files import load, said, write
from tests.support.records import nouns

# An initiative with an award, priorities and metrics, and with citations of their items.
RICH = "los-angeles-ca-myla311"
LACKING = {
    "initiatives.csv": f"id,summary,started\r\n{RICH},New.,\r\n",
    "initiatives.yaml": f"- id: {RICH}\n  summary: New.\n",
    "initiatives.json": f'[{{"id": "{RICH}", "summary": "New."}}]',
    "initiatives.ndjson": f'{{"id": "{RICH}", "summary": "New."}}\n',
}


def documents(database: Database, kind: str) -> dict[str, dict[str, Any]]:
    """Return the published records of a noun by id, without what the ledger adds."""
    with database.reading() as session:
        rows = session.scalars(select(Revision.document).where(Revision.kind == kind, *CURRENT))
        contents = [json.loads(document or "") for document in rows]
    return {row["id"]: {name: row[name] for name in row if name not in {"version", "updated_at"}} for row in contents}


@SQLITE_FIRST
@pytest.mark.parametrize("name", LACKING)
def test_a_missing_member_is_left_alone(database: Database, tmp_path: Path, name: str) -> None:
    """A file changes the members that it names; lists, awards and citations of the record stay as they were."""
    before = documents(database, "initiatives")
    result = load(database, write(tmp_path, name, LACKING[name]))
    assert (result.faults, dict(result.statuses)) == ([], {"updated": 1})
    assert documents(database, "initiatives") == {**before, RICH: {**before[RICH], "summary": "New."}}
    with database.reading() as session:
        assert list(verify(session)) == []


@nouns
def test_an_id_alone_changes_nothing(database: Database, tmp_path: Path, resource: Resource) -> None:
    """A file with nothing but ids leaves every record of every noun as it is."""
    before = head(database)
    ids = "".join(f"{id}\n" for id in documents(database, resource.name))
    result = load(database, write(tmp_path, f"{resource.name}.csv", f"id\n{ids}"))
    assert (result.faults, set(result.statuses), head(database)) == ([], {"unchanged"}, before)


def test_an_empty_cell_empties_a_member(database: Database, tmp_path: Path) -> None:
    """A member that a file names is what the file says, also if that is nothing."""
    load(database, write(tmp_path, "cities.csv", "id,summary\nseattle-wa,By a sound.\n"))
    assert documents(database, "cities")["seattle-wa"]["summary"] == "By a sound."
    load(database, write(tmp_path, "cities.csv", "id,summary,state_capital\nseattle-wa,,\n"))
    assert documents(database, "cities")["seattle-wa"]["summary"] is None


def test_replace_empties_what_is_missing(database: Database, tmp_path: Path) -> None:
    """With `replace`, a record is what the file says, and must have what is required."""
    load(database, write(tmp_path, "cities.csv", "id,summary\nseattle-wa,By a sound.\n"))
    with publishing(database) as session:
        session.execute(text("delete from citations where subject_id = 'seattle-wa'"))
    before = documents(database, "cities")["seattle-wa"]
    path = write(tmp_path, "cities.csv", "id,name,state,country\nseattle-wa,Seattle,WA,US\n")
    assert load(database, path).statuses == {"unchanged": 1}
    result = load(database, path, replace=True)
    assert (result.faults, dict(result.statuses)) == ([], {"updated": 1})
    kept = {"id", "name", "state", "country", "basis"}
    emptied = {name: before[name] if name in kept else [] if isinstance(before[name], list) else None for name in before}
    assert documents(database, "cities")["seattle-wa"] == emptied
    path = write(tmp_path, "cities.csv", "id,summary\nseattle-wa,S\n")
    faults = load(database, path, replace=True).faults
    assert [(fault.line, fault.field) for fault in faults] == [(2, "country"), (2, "name")]


def test_a_new_record_needs_what_is_required(database: Database, tmp_path: Path) -> None:
    """Only a record that exists may lack members that a record must have."""
    path = write(tmp_path, "cities.csv", "id,name\nseattle-wa,Seattle\nfresno-ca,Fresno\n")
    lacking = ["cities.csv, row 3, country: `country` is missing. (allowed: what matches ^[A-Z]{2}$)"]
    assert said(load(database, path), tmp_path) == lacking


def test_a_dry_run_shows_each_change(database: Database, tmp_path: Path) -> None:
    """A dry run has a line for each new record and for each member with another value, before and after."""
    before = documents(database, "initiatives")[RICH]["summary"]
    rows = f'id,city,title,summary,status\n{RICH},los-angeles-ca,MyLA311,"Two\nlines.",pilot\na,boston-ma,T,S,pilot\n'
    lines: list[str] = []
    load(database, write(tmp_path, "initiatives.csv", rows), dry_run=True, report=lines.append)
    assert [line.removeprefix(f"{tmp_path}/") for line in lines] == [
        f'initiatives.csv, row 2: {RICH}: status: "in_operation" -> "pilot"',
        f'initiatives.csv, row 2: {RICH}: summary: {json.dumps(before)} -> "Two\\nlines."',
        "initiatives.csv, row 3: a: created",
        'initiatives.csv, row 3: a: city: null -> "boston-ma"',
        'initiatives.csv, row 3: a: status: null -> "pilot"',
        'initiatives.csv, row 3: a: summary: null -> "S"',
        'initiatives.csv, row 3: a: title: null -> "T"',
    ]
