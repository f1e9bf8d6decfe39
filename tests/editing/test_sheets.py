"""Files in shapes that people have: each is read with the command and the report that `tests/files/reports/` has of it."""

import csv
import shlex
from pathlib import Path

import pytest

from api.db.database import Database
from api.editing import exports
from api.editing.sheets import grids
from api.resources import BY_NAME
from api.settings import Settings
from tests.support.applications import serving
from tests.support.files import contents, load, said, write
from tests.support.workbooks import FILES, make

REPORTS = sorted((FILES / "reports").glob("*.txt"))


def report(settings: Settings, arguments: str) -> str:
    """Return all that a command prints, and its status unless that is 0."""
    with serving(settings) as app:
        done = app.test_cli_runner().invoke(args=["data", *shlex.split(arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output + (f"[status {done.exit_code}]\n" if done.exit_code else "")


@pytest.mark.parametrize("name", [path.stem for path in REPORTS])
def test_each_shape_is_read(settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says what was read as what, and asks about all that is not certain, each with its place and its fix."""
    monkeypatch.chdir(FILES)
    command, _, expected = (FILES / "reports" / f"{name}.txt").read_text("utf-8").partition("\n")
    assert report(settings, command.removeprefix("$ data ")) == expected


def test_a_list_has_a_table_of_its_own(database: Database, tmp_path: Path) -> None:
    """Rows of a list make the list of their record; a fault of an item has the place of its row; others keep their lists."""
    write(tmp_path, "initiatives.csv", "id,city,title\nboston-ma-a,boston-ma,A\nboston-ma-b,boston-ma,B\n")
    path = write(
        tmp_path, "initiatives.partners.csv", "id,Organization,Role\nA,AWS,builder\nboston-ma-a,GovAI Coalition,member\n"
    )
    assert load(database, tmp_path).statuses == {"created": 2}
    partners = [
        {"organization": "amazon-web-services", "role": "builder"},
        {"organization": "govai-coalition", "role": "member"},
    ]
    assert [record["partners"] for record in contents(database, path)] == [partners]
    write(tmp_path, "initiatives.partners.csv", "id,organization,role\nboston-ma-b,aws,builder\nboston-ma-b,aws,\n")
    assert said(load(database, tmp_path), tmp_path) == [
        (
            "initiatives.partners.csv, row 3, column role: `role`: Field may not be null. "
            "(allowed: leader, coordinator, builder, funder, partner, member)"
        )
    ]
    write(tmp_path, "initiatives.partners.csv", "id,organization,role\nboston-ma-a,,\n")
    assert load(database, tmp_path).statuses == {"updated": 1, "unchanged": 1}
    assert contents(database, path) == [{"id": "boston-ma-a", "partners": []}]


def test_a_reference_can_be_an_id_of_a_reconciliation(database: Database, tmp_path: Path) -> None:
    """The ids that a reconciliation gives, with their nouns, are references."""
    path = write(tmp_path, "initiatives.csv", "id,city,title\nboston-ma-a,cities/boston-ma,A\n")
    assert contents(database, path) == [{"id": "boston-ma-a", "city": "boston-ma", "title": "A"}]


def test_exports_have_tables_of_lists(database: Database, tmp_path: Path) -> None:
    """An exported list of objects is in a table of its own, so that a spreadsheet shows no JSON."""
    exports.export(database, tmp_path, "csv", [BY_NAME["initiatives"]])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "initiatives.csv",
        "initiatives.metrics.csv",
        "initiatives.partners.csv",
    ]
    with (tmp_path / "initiatives.metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 10
    assert {*rows[0]} == {"id", *BY_NAME["initiatives"].tables["metrics"], "version", "updated_at"}


def test_numbers_of_yaml_are_texts_where_texts_are_needed(database: Database, tmp_path: Path) -> None:
    """A year in YAML is a date, also within a list, and `true` is still no text."""
    text = "- {id: boston-ma-a, city: boston-ma, title: 311, started: 2024, metrics: [{name: N, kind: count, value: 5, unit: u, as_of: 2024}]}\n"
    assert load(database, write(tmp_path, "initiatives.yaml", text)).faults == []
    wrong = write(tmp_path, "initiatives.yaml", "- {id: boston-ma-a, started: true}\n")
    (fault,) = said(load(database, wrong), tmp_path)
    assert fault.startswith("initiatives.yaml:1: started: `started`: Not a valid string.")


def test_the_workbooks_are_those_of_the_script(tmp_path: Path) -> None:
    """`python -m tests.support.workbooks` makes the workbooks in `tests/files/` again, cell by cell."""
    for made in make(tmp_path):
        first, second = (
            [(grid.sheet, grid.merged, list(grid.rows)) for grid in grids.workbook(path, tmp_path)]
            for path in (made, FILES / made.name)
        )
        assert first == second


def test_a_comma_is_a_question_where_it_may_begin_decimals(database: Database, tmp_path: Path) -> None:
    """`12,345` between semicolons can be twelve and a third; the controls: between commas, and with two commas, it is thousands."""
    columns = ["id", "name", "kind", "value", "unit"]
    for separator, value, expected in ((";", "12,345", None), (";", "1,234,567", 1234567), (",", '"12,345"', 12345)):
        rows = [columns, ["los-angeles-ca-myla311", "Calls", "count", value, "calls"]]
        path = write(tmp_path, "initiatives.metrics.csv", "".join(separator.join(row) + "\n" for row in rows))
        if expected is None:
            (fault,) = said(load(database, path, dry_run=True), tmp_path)
            assert fault.endswith("`12,345`: is it `12345` or `12.345`? Write the number without the comma.")
        else:
            (record,) = contents(database, path)
            assert [metric["value"] for metric in record["metrics"]] == [expected]
