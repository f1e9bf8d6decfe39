"""Files over HTTP: a table as people have it becomes a proposal, or a refusal with the place of each fault."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.db.database import Database
from api.endpoints.proposals.imports import FORMS, MOST_ROWS, MOST_SHEETS, READING
from tests.support.answers import ANY, Json, brief, read, version
from tests.support.applications import curating, serving
from tests.support.databases import without_temporary_tables
from tests.support.workbooks import xlsx

TYPES = {form: name for name, form in FORMS.items()}
CSV = "City;State;Country\nFresno;CA;US\nSeattle;WA;US\n"
READ = "cities.csv: separated by semicolons"


@pytest.fixture
def intern(own_client: FlaskClient, database: Database) -> FlaskClient:
    """A client that may propose."""
    return curating(own_client, database, "propose", name="intern")


@pytest.fixture
def reviewer(intern: FlaskClient, database: Database) -> FlaskClient:
    """A client that may publish proposals."""
    return curating(intern.application.test_client(), database, "publish", name="reviewer")


def send(client: FlaskClient, content: str | bytes, form: str = "csv", query: str = "noun=cities") -> tuple[int, Json]:
    """Send a file; return the status and the body."""
    answer = client.post(f"/imports?{query}", data=content, content_type=TYPES[form])
    return answer.status_code, answer.get_json()


def test_from_a_sheet_to_published_records(intern: FlaskClient, reviewer: FlaskClient) -> None:
    """A sheet with names of people becomes a proposal of what differs; nothing changes before another key publishes it."""
    before = version(intern)
    status, made = send(intern, CSV)
    assert (status, version(intern), made["unchanged"], made["data"]["author"]) == (201, before, 1, "intern")
    assert READ in made["notes"]
    assert [(row["kind"], row["id"], row["status"]) for row in made["changes"]] == [("cities", "fresno-ca", "created")]
    path = f"/proposals/{made['data']['id']}"
    shown = read(reviewer, path)
    assert (shown["changes"], shown["problem"]) == (made["changes"], None)
    assert reviewer.post(f"{path}/publish").status_code == 200
    assert read(intern, "/cities/fresno-ca")["data"]["name"] == "Fresno"
    # Once more, there is nothing to propose.
    assert send(intern, CSV)[1] | {"data": None, "changes": [], "unchanged": 2} == send(intern, CSV)[1]
    assert len(read(intern, "/proposals")["data"]) == 1


def test_refusals_name_parameters(intern: FlaskClient) -> None:
    """What the command line says of its options is said of the parameters, but for an option that is none."""
    _, body = send(intern, "City;Stat\nFresno;CA\n")
    hint = "the column `Stat` is no member of cities: `columns=Stat=state` names its member, and `columns=Stat=` leaves it out"
    assert body["errors"][0]["detail"] == f"cities.csv, row 1: {hint}"
    _, body = send(intern, CSV, query="noun=cities&set=mayor=Ada&columns=Ort=nothing&fill_down=The+State")
    assert [(item["parameter"], item["detail"]) for item in body["errors"]] == [
        ("columns", "columns=Ort=nothing: no table has a member `nothing`."),
        ("set", "set=mayor: no table has such a member."),
        ("fill_down", "fill_down=The State: no table has such a column."),
    ]
    _, body = send(intern, "id,version,summary\nseattle-wa,1,A.\nfresno-ca,1,A.\n")
    assert "`--overwrite`" in body["errors"][0]["detail"]


def test_nobody_is_overwritten(intern: FlaskClient, reviewer: FlaskClient, database: Database) -> None:
    """What somebody writes between the import and the publication is kept: the publication is a 412."""
    status, made = send(intern, "id,summary\nseattle-wa,From the file.\n")
    assert (status, [row["pointer"] for row in made["changes"][0]["differences"]]) == (201, ["/summary"])
    writer = curating(intern.application.test_client(), database)
    writer.patch("/cities/seattle-wa", json={"state_capital": True}, headers=ANY)
    path = f"/proposals/{made['data']['id']}"
    assert read(reviewer, path)["problem"] == "precondition-failed"
    assert brief(reviewer.post(f"{path}/publish"))[:2] == (412, "precondition-failed")
    assert read(intern, "/cities/seattle-wa")["data"]["state_capital"] is True


def test_every_form(intern: FlaskClient, tmp_path: Path) -> None:
    """CSV, NDJSON and workbooks become the same proposal; a workbook's sheet can be named for its noun."""
    sheet = xlsx(tmp_path / "book.xlsx", {"Cities": [["City", "State", "Country"], ["Fresno", "CA", "US"]]})
    record = {"id": "fresno-ca", "name": "Fresno", "state": "CA", "country": "US"}
    answers = [
        send(intern, "City,State,Country\nFresno,CA,US\n"),
        send(intern, sheet.read_bytes(), "xlsx", ""),
        send(intern, json.dumps(record), "ndjson"),
        send(intern, "Ort,X,Country\nFresno,CA,US\n", "csv", "noun=cities&columns=Ort=name&columns=X=state"),
    ]
    assert [status for status, _ in answers] == [201] * 4
    assert [body["changes"] for _, body in answers] == [answers[0][1]["changes"]] * 4


def test_faults_and_questions_have_their_places(intern: FlaskClient) -> None:
    """A refusal names the row and the column of each fault and of each question, and says what was read as what."""
    status, body = send(
        intern,
        "Name;State;Country;Summary;Population\nFresno;CA;US;;1\nSan Dieg;CALI;US;;x\n",
        query="noun=cities&columns=Population=",
    )
    assert status == 422
    assert {item["code"] for item in body["errors"]} == {"invalid-value"}
    assert all(item["detail"].startswith("cities.csv, row 3, column State: ") for item in body["errors"])
    assert READ in body["notes"]
    status, body = send(
        intern, "Survey;City;Category;Rank\nDigital Cities Survey 2024;San Dego;500,000 or more;1\n", query="noun=awards"
    )
    assert (status, [item["code"] for item in body["errors"]][:1]) == (422, ["question"])
    assert "`san-diego-ca`" in body["errors"][0]["detail"]
    assert read(intern, "/proposals")["data"] == []


WRONG = [
    ("text/csv", "", b"", 400, "invalid-query"),
    ("text/csv", "noun=mayors", b"", 400, "invalid-query"),
    ("text/csv", "noun=cities&columns=x", b"id\nx-ca", 400, "invalid-query"),
    ("text/csv", "noun=cities&columns=id=nothing", b"id\nx-ca", 400, "invalid-query"),
    ("text/csv", "noun=cities&fill_down=Nothing", b"id\nx-ca", 400, "invalid-query"),
    ("text/csv", "noun=cities&encoding=punycode", b"id\nx-ca", 400, "invalid-query"),
    ("text/csv", "noun=cities&encoding=utf-16", b"id,name\nx-ca,X\n", 422, "invalid-body"),
    ("text/csv", "noun=cities&encoding=shift_jis", b"id,name\nx-ca,\xff\n", 422, "invalid-body"),
    ("text/csv", "noun=cities", b"", 422, "invalid-body"),
    ("text/csv", "noun=cities", b"\x00\xff" * 400, 422, "invalid-body"),
    ("text/csv", "noun=cities", b"id,name\n" + b"x,y\n" * MOST_ROWS, 422, "invalid-body"),
    ("text/csv", "noun=cities", b",".join([b"column"] * 100_000), 422, "invalid-body"),
    ("text/csv", "noun=cities", b" " * 1_000_001, 413, "content-too-large"),
    (TYPES["xlsx"], "", b"PK\x03\x04", 422, "invalid-body"),
    (TYPES["ods"], "noun=cities", b"id\nx-ca", 422, "invalid-body"),
    (TYPES["ndjson"], "noun=cities", b"{}\n" * 4_000, 422, "invalid-body"),
    (TYPES["ndjson"], "noun=cities", b"[" * 100_000, 422, "invalid-body"),
    (TYPES["ndjson"], "noun=initiatives.metrics", b"{}", 422, "invalid-body"),
    ("application/zip", "noun=cities", b"PK", 415, "unsupported-media-type"),
]


@pytest.mark.parametrize(
    ("type", "query", "body", "status", "name"), WRONG, ids=[f"{row[0][-4:]}-{n}" for n, row in enumerate(WRONG)]
)
def test_hostile_files_are_refused(  # noqa: PLR0913, PLR0917 - a request and its answer
    intern: FlaskClient, type: str, query: str, body: bytes, status: int, name: str
) -> None:
    """Whatever is sent, the refusal is small and says why, and nothing is stored."""
    answer = intern.post(f"/imports?{query}", data=body, content_type=type)
    assert brief(answer)[:2] == (status, name)
    assert len(answer.get_data()) < 100_000
    assert "/tmp" not in answer.get_data(as_text=True)  # noqa: S108 - what must not be told
    assert read(intern, "/proposals")["data"] == []


def test_a_workbook_with_too_many_rows(intern: FlaskClient, tmp_path: Path) -> None:
    """A small workbook with very many rows is refused by their number in all sheets together."""
    rows = [["Name", "State", "Country"], *([f"City {n}", "CA", "US"] for n in range(MOST_ROWS // 2 + 1))]
    book = xlsx(tmp_path / "many.xlsx", {"A": rows, "B": rows}).read_bytes()
    status, body = send(intern, book, "xlsx")
    assert (status, [item["code"] for item in body["errors"]]) == (422, ["wrong-number"])


def test_a_workbook_with_too_many_sheets(intern: FlaskClient, tmp_path: Path) -> None:
    """At most 20 sheets may have records; others do not count."""
    sheets = {f"S{n}": [["Name", "State", "Country"], [f"City {n}", "CA", "US"]] for n in range(MOST_SHEETS + 1)}
    status, body = send(intern, xlsx(tmp_path / "many.xlsx", sheets).read_bytes(), "xlsx")
    assert (status, body["errors"][0]["detail"]) == (422, "cities.xlsx: more than 20 sheets have records: divide it")
    sheets = {name: rows if name in {"S0", "S20"} else [["Remarks"]] for name, rows in sheets.items()}
    status, body = send(intern, xlsx(tmp_path / "few.xlsx", sheets).read_bytes(), "xlsx")
    assert (status, [row["id"] for row in body["changes"]]) == (201, ["city-0-ca", "city-20-ca"])


def test_a_proposal_has_at_most_1000_records(intern: FlaskClient) -> None:
    """A file that would change more records than a changeset may is refused as a whole."""
    lines = "".join(f"City {n},CA,US\n" for n in range(1_001))
    status, body = send(intern, f"Name,State,Country\n{lines}")
    assert (status, [item["code"] for item in body["errors"]]) == (422, ["wrong-number"])


def test_repeated_and_dry_runs(intern: FlaskClient, reviewer: FlaskClient) -> None:
    """Under one `Idempotency-Key` a file is one proposal, with one answer, also once it is published; a dry run stores nothing."""
    assert send(intern, CSV, query="noun=cities&dry_run=true")[0] == 201
    assert read(intern, "/proposals")["data"] == []
    headers = {"Idempotency-Key": "a"}

    def send_again(content: str = CSV) -> TestResponse:
        return intern.post("/imports?noun=cities&message=Why", data=content, content_type="text/csv", headers=headers)

    answers = [send_again() for _ in range(2)]
    (row,) = read(intern, "/proposals")["data"]
    assert reviewer.post(f"/proposals/{row['id']}/publish").status_code == 200
    answers.append(send_again())
    assert [(answer.status_code, answer.get_data()) for answer in answers] == [(201, answers[0].get_data())] * 3
    assert (row["message"], answers[2].headers["Idempotent-Replayed"]) == ("Why", "true")
    assert brief(send_again("id\nseattle-wa\n"))[:2] == (422, "idempotency-mismatch")


@pytest.fixture
def blocked(intern: FlaskClient, database: Database) -> Iterator[FlaskClient]:
    """A client, while another writer holds the ledger's lock."""
    read(intern, "/proposals")
    with database.writing() as session:
        session.connection().exec_driver_sql("update ledger_head set one = 1")
        yield intern


def test_a_file_is_read_while_others_write(blocked: FlaskClient) -> None:
    """Faults are found without the ledger's lock: with it, the answer would be a 503."""
    assert send(blocked, "Name,State,Country\nFresno,CALI,US\n")[0] == 422


def test_one_file_at_a_time(intern: FlaskClient) -> None:
    """While a process reads a file, it refuses another one with a 503: each may take 200 MB; afterwards it takes it."""
    with READING:
        assert send(intern, CSV)[0] == 503
    assert send(intern, CSV)[0] == 201


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_role_without_temporary_tables(database: Database) -> None:
    """Without the privilege that the check of a file needs, the answer is a 503 that names it; the control: with it, a 201."""
    with serving(without_temporary_tables(database)) as app:
        client = curating(app.test_client(), database, "propose", name="intern")
        refused = client.post("/imports?noun=cities", data=CSV, content_type="text/csv")
        assert (refused.status_code, "temporary tables" in refused.get_json()["detail"]) == (503, True)
        with database.writing() as session:
            name = database.settings.sqlalchemy_url.database
            session.execute(text(f"grant temporary on database {name} to weak_{name}"))
        assert send(client, CSV)[0] == 201
