"""Options of `data import` for tables, standard input, folders, and `data template`."""

import csv
from pathlib import Path

import pytest
from click.testing import Result

from api.resources import RESOURCES
from api.settings import Settings
from tests.support.applications import serving
from tests.support.files import write
from tests.support.lengths import few


def run(settings: Settings, *arguments: object, input: str | bytes | None = None) -> Result:
    """Run a command of `data`."""
    with serving(settings) as app:
        return app.test_cli_runner().invoke(args=["data", *map(str, arguments)], input=input)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", "Name;State;Country\nFresno;CA;US\n"),
        ("yaml", "- {id: fresno-ca, name: Fresno, state: CA, country: US}\n"),
    ],
)
def test_standard_input(settings: Settings, form: str, text: str) -> None:
    """`-` reads standard input, whose noun and format are named."""
    done = run(settings, "import", "-", "--noun", "cities", "--format", form, "--dry-run", input=text)
    assert done.output.splitlines()[-1].startswith("Records: 1 created")
    wrong = run(settings, "import", "-", "--noun", "cities", "--format", form, input=text.replace("US", "Narnia"))
    place = "standard input, row 2, column Country" if form == "csv" else "standard input, line 1, country"
    assert wrong.stderr.splitlines()[0].startswith(f"{place}: ")
    assert (run(settings, "import", "-", input=text).exit_code) == 2


def test_a_folder_says_what_it_did_not_take(settings: Settings, tmp_path: Path) -> None:
    """Files that are none of records are listed, and `.yml` and `.CSV` are taken."""
    for name in ("notes.docx", "readme.txt", "logo.png"):
        write(tmp_path, name, "x")
    write(tmp_path, "cities.yml", "- {id: fresno-ca, name: Fresno, state: CA, country: US}\n")
    write(tmp_path, "Priorities.CSV", "Name,Description\nParking,Places for cars.\n")
    done = run(settings, "import", tmp_path, "--dry-run")
    assert done.exit_code == 0
    assert [line.removeprefix(f"Not taken: {tmp_path}/") for line in done.output.splitlines() if "Not taken" in line] == [
        "logo.png",
        "notes.docx",
        "readme.txt",
    ]
    assert done.output.splitlines()[-1].startswith("Records: 2 created")


def test_a_run_without_records_fails(settings: Settings, tmp_path: Path) -> None:
    """A run that took no file, or no record, ends with status 1."""
    write(tmp_path, "logo.png", "x")
    nothing = run(settings, "import", tmp_path)
    assert (nothing.exit_code, nothing.stderr) == (1, "Error: there is no record to import\n")
    assert run(settings, "import", write(tmp_path, "cities.csv", "id,name\n")).exit_code == 1


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_templates(settings: Settings, tmp_path: Path, form: str) -> None:
    """The template of each noun explains each column, and is read as tables without a record and without a complaint."""
    for noun in RESOURCES:
        done = run(settings, "template", noun.name, tmp_path / "out", "--format", form)
        assert done.exit_code == 0, done.output
    again = run(settings, "template", "cities", tmp_path / "out", "--format", form)
    assert (again.exit_code, again.output) == (1, f"Error: {tmp_path}/out/cities.{form}: File exists\n")
    read = run(settings, "import", tmp_path / "out")
    count = len(list((tmp_path / "out").glob("*.csv"))) if form == "csv" else 14
    assert (read.exit_code, read.output) == (1, f"Records read: 0, from {count} files.\nError: there is no record to import\n")


def test_a_template_is_filled_in(settings: Settings, tmp_path: Path) -> None:
    """Records below the names of the columns are read; the explanations above them are not."""
    run(settings, "template", "cities", tmp_path, "--format", "csv")
    path = tmp_path / "cities.csv"
    rows = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    values = {"name": "Fresno", "state": "Calif.", "country": "USA", "location": ""}
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow([values.get(name, "") for name in rows[-1]])
    done = run(settings, "import", path, "--dry-run")
    assert done.output.splitlines()[-5:] == [
        f"{path}, row 6: fresno-ca: created",
        f'{path}, row 6: fresno-ca: country: null -> "US"',
        f'{path}, row 6: fresno-ca: name: null -> "Fresno"',
        f'{path}, row 6: fresno-ca: state: null -> "CA"',
        "Records: 1 created, 0 updated, 0 unchanged; this was a dry run: nothing was written.",
    ]


@pytest.mark.parametrize("form", few(["csv", "xlsx"], "csv"))
def test_what_excel_makes_of_an_export(settings: Settings, tmp_path: Path, form: str) -> None:
    """An export that a spreadsheet saved, with TRUE, FALSE, a byte-order mark and semicolons, changes nothing."""
    run(settings, "export", tmp_path / "out", "--format", form)
    if form == "csv":
        for path in (tmp_path / "out").iterdir():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            excel = {"true": "TRUE", "false": "FALSE"}
            with path.open("w", encoding="utf-8-sig", newline="") as file:
                csv.writer(file, delimiter=";").writerows([excel.get(cell, cell) for cell in row] for row in rows)
    done = run(settings, "import", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    assert ", 0 updated, " in done.output.splitlines()[-1]
    assert "0 created" in done.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("--columns", "Name=nam"), '--columns "Name=nam": no table has a member `nam`'),
        (("--columns", "Name"), "Invalid value for '--columns': 'Name' is not of the form NAME=VALUE"),
        (("--set", "county=US"), "--set county: no table has such a member"),
        (("--fill-down", "Sate"), "--fill-down Sate: no table has such a column"),
        (("--encoding", "utf-9"), "Invalid value: 'utf-9' is not an encoding"),
    ],
)
def test_mistaken_options_are_refused(settings: Settings, tmp_path: Path, option: tuple[str, str], reason: str) -> None:
    """An option that no table has a use for is refused, and nothing is read without it."""
    path = write(tmp_path, "cities.csv", "Name,State,Country\nFresno,CA,US\n")
    wrong = run(settings, "import", path, *option)
    assert (wrong.exit_code, wrong.stderr.splitlines()[-1]) == (2, f"Error: {reason}")


def test_an_encoding_can_be_named(settings: Settings, tmp_path: Path) -> None:
    """A short text in an encoding that its letters do not tell is read as what it is said to be."""
    path = write(tmp_path, "cities.csv", "Name,State,Country\nŁódź,,PL\n".encode("cp1250"))
    done = run(settings, "import", path, "--encoding", "cp1250", "--dry-run")
    assert f"{path}, row 2, id: `lodz-pl`, new" in done.output.splitlines()
