"""Files of records: what is written is read back, and what is wrong is said with its file and its line."""

import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import select, text

from api.db.database import Database
from api.editing import transfer
from api.editing.file_formats import FILE_FORMATS, FileError, value_of
from api.editing.files import records_of
from api.editing.inputs import members
from api.ledger import models
from api.ledger.models import CURRENT, Revision
from api.ledger.verify import verify
from api.resources import BY_NAME, RESOURCES
from api.resources.cities import CitySchema
from api.schema.formats import cell
from api.settings import ROOT, Settings
from tests.support import oracle
from tests.support.applications import serving
from tests.support.databases import Store, opened, publishing, upgrade

SEEDS = ROOT / "seeds" / "digital-cities-2024"
forms = pytest.mark.parametrize("form", FILE_FORMATS)


@pytest.fixture(scope="module")
def bare(store: Store) -> Settings:
    """A migrated database without any record."""
    settings = store.empty()
    upgrade(settings)
    with opened(settings) as database, publishing(database) as session:
        oracle.clear(session)
    return settings


@pytest.fixture
def empty(store: Store, bare: Settings) -> Iterator[Database]:
    """A copy of it."""
    with opened(store.copy(bare)) as database:
        yield database


def hashes(database: Database) -> dict[tuple[str, str], str | None]:
    """Return the hash of every published document."""
    with database.reading() as session:
        return {(row.kind, row.id): row.hash for row in session.scalars(select(Revision).where(*CURRENT))}


def head(database: Database) -> int:
    """Return the version that a dataset is at."""
    with database.reading() as session:
        return session.scalars(select(models.Head.version)).one()


def load(database: Database, *paths: Path, dry_run: bool = False) -> transfer.Imported:
    """Import files."""
    files, ids, faults = transfer.read(paths)
    found = transfer.load(database, files, ids, dry_run=dry_run or bool(faults))
    found.faults[:0] = faults
    return found


def said(found: transfer.Imported, folder: Path) -> list[str]:
    """Return the faults, without the folder."""
    return [str(fault).removeprefix(f"{folder}/") for fault in found.faults]


@forms
def test_what_is_exported_is_imported(database: Database, empty: Database, tmp_path: Path, form: str) -> None:
    """All that there is, written and read in any form, is the same documents, to the hash, in one commit."""
    counts = transfer.export(database, tmp_path / "out", form)
    assert {path.name: count for path, count in counts.items()} == {
        f"{row.name}.{form}": sum(kind == row.name for kind, _ in hashes(database)) for row in RESOURCES
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in counts)
    before = head(empty)
    found = load(empty, tmp_path / "out")
    assert (found.faults, dict(found.statuses)) == ([], {"created": 603})
    assert hashes(empty) == hashes(database)
    with empty.reading() as session:
        assert list(verify(session)) == []
        assert {row.commit_version for row in session.scalars(select(Revision).where(*CURRENT))} == {before + 1}
    assert (load(empty, tmp_path / "out").statuses, head(empty)) == ({"unchanged": 603}, before + 603)


@forms
def test_a_world_of_odd_texts_comes_back(  # noqa: PLR0913, PLR0917 - fixtures
    store: Store, bare: Settings, empty: Database, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nulls, ties, quotes, line ends, right-to-left and whatever people type comes back from a file in any form."""
    # The random cities are not called by their states.
    monkeypatch.setattr(CitySchema, "rules", ())
    with opened(store.copy(bare)) as world:
        oracle.fill(world, 1)
        tidy(world)
        transfer.export(world, tmp_path / "out", form)
        assert load(empty, tmp_path / "out").faults == []
        # A random survey counts its priorities with gaps, which its list of them does not have.
        kept, there = ({key: hash for key, hash in hashes(one).items() if key[0] != "priorities"} for one in (empty, world))
        assert kept == there


def tidy(database: Database) -> None:
    """Give a random world what only records that are sent must have."""
    with publishing(database) as session:
        for row in RESOURCES:
            for name, field in members(row.schema).items():
                if field.required and name in {"name", "title", "summary", "description"}:
                    session.execute(text(f"update {row.name} set {name} = {name} || ' x ' || id"))
        for table, column in (("survey_categories", "name"), ("initiative_metrics", "name"), ("initiative_metrics", "unit")):
            session.execute(text(f"update {table} set {column} = {column} || ' x'"))
        for table in ("cities", "organizations", "awards", "sources", "surveys"):
            session.execute(text(f"update {table} set summary = null where summary = ''"))


def test_seeds_change_nothing(database: Database) -> None:
    """The seeds are files of records: imported, they leave everything as it is, without a version."""
    before = head(database)
    found = load(database, SEEDS)
    assert (found.faults, dict(found.statuses), head(database)) == ([], {"unchanged": 603}, before)


def write(folder: Path, name: str, content: Any) -> Path:
    """Write a file."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def city(id: str, **more: Any) -> dict[str, Any]:
    """Return a city."""
    return {"id": id, "name": id, "state": id[-2:].upper(), "country": "US", **more}


def test_upsert(database: Database, tmp_path: Path) -> None:
    """What is new is created, what differs is updated, what does not is left alone."""
    seattle = next(row for row in yaml.safe_load((SEEDS / "cities.yaml").read_text("utf-8")) if row["id"] == "seattle-wa")
    rows = [
        {**seattle, "summary": "By a sound."},
        city("fresno-ca"),
        *(record.content for record in records_of(SEEDS / "cities.yaml") if record.content["id"] == "boston-ma"),
    ]
    before = head(database)
    found = load(database, write(tmp_path, "cities.json", rows))
    assert (found.faults, dict(found.statuses)) == ([], {"updated": 1, "created": 1, "unchanged": 1})
    assert head(database) == before + 2


def test_references_go_to_any_file_and_back(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records refer to those of later files and of later pieces of the same file."""
    monkeypatch.setattr(transfer, "CHUNK", 2)
    own = {"city": "fresno-ca", "summary": "S", "status": "pilot"}
    rows = [
        {"id": f"fresno-ca-{n}", "title": str(n), "parent": f"fresno-ca-{n + 1}" if n < 6 else None, **own} for n in range(7)
    ]
    write(tmp_path, "initiatives.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path, "cities.yaml", [city("fresno-ca")])
    write(tmp_path, "awards.json", [{"id": "a", "survey": "s", "category": "c", "city": "fresno-ca", "rank": 1}])
    write(
        tmp_path,
        "surveys.json",
        [
            {
                "id": "s",
                "name": "S",
                "year": 2020,
                "year_basis": "stated",
                "conducted_by": "e-republic",
                "categories": [{"category": "c", "name": "C"}],
            }
        ],
    )
    found = load(database, tmp_path)
    assert (found.faults, dict(found.statuses)) == ([], {"created": 10})


YAML = """
- id: fresno-ca
  name: Fresno
  state: CA
  country: US

- id: oakland-ca
  nam: Oakland
  state: WA
  country: US
"""
BROKEN = {
    "cities.yaml": (YAML, ["cities.yaml:7: nam: `nam` is not a member here; did you mean `name`? (allowed: id, name, state, country, state_capital, summary)", "cities.yaml:7: name: `name` is missing."]),
    "cities.json": ('[\n {"id": "a-ca", "name": "A", "state": "ca", "country": "US"},\n {"id": "b-wa",\n  "name": 5, "state": "WA", "country": "US"}\n]', ["cities.json:2: state: `state`: String does not match expected pattern. ({'pattern': '^[A-Z]{2}$'})", "cities.json:3: name: `name`: Not a valid string."]),
    "priorities.ndjson": ('{"id": "a", "name": "A", "description": "D", "surveys": []}\n\n{"id": "b", "name": "Cybersecurity", "description": "D"}\n', ["priorities.ndjson:1: surveys: `surveys` is set by other records; leave it out. (allowed: id, name, description)", "priorities.ndjson:3: name: `name` is that of the priority `cybersecurity`."]),
    "initiatives.csv": ('id,city,title,summary,status,metrics\r\na,boston-ma,T,S,pilot,\r\nb,bostn-ma,"T\r\n2",S,pilot,[1]\r\nc,boston-ma,T3,S,piloted,\r\n', ["initiatives.csv:3: metrics/0: `metrics/0` is an object.", "initiatives.csv:5: status: `status`: Must be one of: planned, draft, pilot, in_progress, in_operation, completed; did you mean `pilot`? (allowed: planned, draft, pilot, in_progress, in_operation, completed)"]),
    "sources.json": ('{"data": [{"id": "a", "title": "T", "type": "article", "language": "en", "text_sha256": "0"}]}', ["sources.json:1: text_sha256: `text_sha256`: String does not match expected pattern. ({'pattern': '^[0-9a-f]{64}$'})"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_wrong_rows(database: Database, tmp_path: Path, name: str) -> None:
    """Each wrong row is said with its file, line, field and cure, all at once, and nothing is written."""
    content, expected = BROKEN[name]
    before = head(database)
    assert said(load(database, write(tmp_path, name, content)), tmp_path) == expected
    assert head(database) == before


def test_wrong_together(database: Database, tmp_path: Path) -> None:
    """What is wrong with rows only together, or with what is there, is said of each, in every file, beside the others."""
    own = {"summary": "S", "status": "pilot"}
    write(
        tmp_path,
        "initiatives.json",
        [
            {"id": "a", "city": "bostn-ma", "title": "T", **own},
            {"id": "b", "city": "los-angeles-ca", "title": "MyLA311", **own},
        ],
    )
    write(tmp_path, "cities.json", [city("a-ca", name="San Diego"), city("b-ca", name=5)])
    assert sorted(said(load(database, tmp_path), tmp_path)) == [
        "cities.json:1: name: `country` and `state` and `name` are those of the city `san-diego-ca`.",
        "cities.json:1: name: `name`: Not a valid string.",
        "initiatives.json:1: city: There is no city `bostn-ma`; did you mean `boston-ma`?",
        "initiatives.json:1: title: `city` and `title` are those of the initiative `los-angeles-ca-myla311`.",
    ]


FILES = [
    ("cities.yaml", "- [", "cities.yaml:2: did not find expected node content"),
    ("cities.yaml", "- {id: a, id: b}", "cities.yaml:1: the key 'id' occurs twice"),
    ("cities.yaml", "id: a", "cities.yaml:1: a file of records is a list"),
    ("cities.yaml", b"- id: \xff", "cities.yaml:1: the file is not in UTF-8"),
    ("cities.json", "[{}", "cities.json:1: the records of a list are separated by one comma each"),
    ("cities.json", "[\n{},\n]", "cities.json:3: the records of a list are separated by one comma each"),
    ("cities.json", '[{"a": 1, "a": 2}]', "cities.json:1: a key occurs twice"),
    ("cities.json", '[{"a": NaN}]', "cities.json:1: NaN is not a number of JSON"),
    ("cities.json", "[{}] x", "cities.json:1: the file goes on after the end of the list"),
    ("cities.json", "5", "cities.json:1: a file of records is a list, or an object whose `data` is one"),
    ("cities.json", "[" * 100_000, "cities.json:1: it is nested too deeply"),
    ("cities.ndjson", "{}\n{", "cities.ndjson:2: Expecting property name enclosed in double quotes at character 1"),
    ("cities.csv", "id,id\na,b\n", "cities.csv:1: a column occurs twice"),
    ("cities.csv", "id,name\na\n", "cities.csv:2: the header has 2 cells, and this row 1"),
    ("cities.csv", 'id,name\na,"b\n', "cities.csv:2: unexpected end of data"),
    ("citys.json", "[]", "citys.json:1: a file is named for its noun, and 'citys' is not a noun; did you mean cities.json?"),
    ("cities.txt", "", "cities.txt:1: a file of records ends with .yaml, .json, .ndjson, .csv"),
]


@pytest.mark.parametrize(("name", "content", "expected"), FILES)
def test_files_that_are_none(tmp_path: Path, name: str, content: str | bytes, expected: str) -> None:
    """A file that can't be read says where and why."""
    _, _, faults = transfer.read([write(tmp_path, name, content)])
    assert [str(fault).removeprefix(f"{tmp_path}/") for fault in faults] == [expected]


def test_yaml_has_the_types_of_json(tmp_path: Path) -> None:
    """What looks like a date, or like a word for yes or no, is a text; numbers, true, false and null are those of JSON."""
    text = "- {a: NO, b: 2024-07-31, c: 2024-07, d: 12:30, e: 0x1f, f: 1_000, g: 007, h: 2024, i: -1.5, j: true, k: null, l: ~, m: .nan}"
    (record,) = records_of(write(tmp_path, "cities.yaml", text))
    assert list(record.content.values()) == [
        "NO",
        "2024-07-31",
        "2024-07",
        "12:30",
        "0x1f",
        "1_000",
        "007",
        2024,
        -1.5,
        True,
        None,
        None,
        ".nan",
    ]


def test_an_id_twice(tmp_path: Path) -> None:
    """An id is in one file once."""
    paths = [write(tmp_path, "cities.json", [city("a-ca"), city("a-ca")]), write(tmp_path, "cities.yaml", [city("a-ca")])]
    _, _, faults = transfer.read(paths)
    assert [(fault.file.name, fault.line, fault.field) for fault in faults] == [
        ("cities.json", 1, "id"),
        ("cities.yaml", 1, "id"),
    ]


def test_dry_run(database: Database, tmp_path: Path) -> None:
    """A dry run finds the same and leaves nothing."""
    before, path = hashes(database), write(tmp_path, "cities.json", [city("fresno-ca")])
    dry = load(database, path, dry_run=True)
    assert (dict(dry.statuses), hashes(database)) == ({"created": 1}, before)
    assert load(database, path).version == dry.version


def test_an_export_is_one_state(database: Database, tmp_path: Path) -> None:
    """What is written while an export runs is in none of its files; the control: it is in the next export's."""

    def interfere(_step: str, _count: int) -> None:
        if not done:
            done.append(1)
            with publishing(database) as session:
                session.execute(text("update initiatives set title = title || '!'"))

    done: list[int] = []
    folder = tmp_path / "out"
    transfer.export(database, folder, "ndjson", RESOURCES, interfere)
    assert '!"' not in (folder / "initiatives.ndjson").read_text("utf-8")
    transfer.export(database, folder, "ndjson")
    assert '!"' in (folder / "initiatives.ndjson").read_text("utf-8")


def test_a_failed_export_leaves_the_old_files(database: Database, tmp_path: Path) -> None:
    """When an export fails half-way, all files are what they were, and nothing else is there."""
    transfer.export(database, tmp_path, "json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = iter(range(100))

    def fail(_step: str, _count: int) -> None:
        if next(calls) == 20:
            raise OSError("no space")

    with publishing(database) as session:
        session.execute(text("update surveys set summary = 'Other.'"))
    with pytest.raises(OSError, match="no space"):
        transfer.export(database, tmp_path, "json", RESOURCES, fail)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@given(values=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1)))
def test_lists_of_texts_come_back(values: list[str]) -> None:
    """Whatever the texts of a list, its cell is read as that list."""
    field = members(BY_NAME["initiatives"].schema)["awards"]
    assert value_of(cell(values), field) == values


@pytest.mark.parametrize("form", FILE_FORMATS)
@given(
    title=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    value=st.decimals(-(10**9), 10**9, places=6),
)
@limits(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_and_number_comes_back(tmp_path_factory: pytest.TempPathFactory, form: str, title: str, value: Any) -> None:
    """Whatever a text and a number are, a file holds them."""
    noun = BY_NAME["initiatives"]
    metric = {"name": title, "value": float(value), "unit": "x", "qualifier": "exactly", "as_of": None}
    names = members(noun.schema)
    content = {
        **dict.fromkeys(names),
        "id": "a",
        "title": title,
        "awards": [],
        "priorities": [title],
        "partners": [],
        "metrics": [metric],
    }
    path = tmp_path_factory.mktemp("any") / f"initiatives.{form}"
    path.write_text("".join(FILE_FORMATS[form].write([content], noun)), encoding="utf-8", newline="")
    (record,) = records_of(path)
    assert json.loads(json.dumps(record.content, default=float)) == content


def test_reading_stops_at_what_is_broken(tmp_path: Path) -> None:
    """Records before a broken line are read; what is behind it is not guessed at."""
    path = write(tmp_path, "cities.ndjson", '{"id": "a"}\n{')
    records = records_of(path)
    assert next(records).content == {"id": "a"}
    with pytest.raises(FileError):
        next(records)


# --- the command line


def run(settings: Settings, *arguments: str) -> Result:
    """Run a command as a shell would, on no terminal."""
    with serving(settings) as app:
        return app.test_cli_runner().invoke(args=["data", *arguments])


def test_commands(settings: Settings, tmp_path: Path) -> None:
    """On no terminal the commands say what they do in plain lines; the message is kept with the commit."""
    out = run(settings, "export", str(tmp_path / "out"), "--format", "csv", "--noun", "cities", "--noun", "awards")
    assert (out.exit_code, out.output.splitlines()) == (0, [f"{tmp_path}/out/cities.csv: 6", f"{tmp_path}/out/awards.csv: 4"])
    write(tmp_path, "cities.json", [city("fresno-ca")])
    into = run(settings, "import", str(tmp_path / "cities.json"), str(tmp_path / "out"), "--message", "Fresno joins.")
    assert (into.exit_code, into.output.splitlines()) == (
        0,
        ["Records read: 11, from 3 files.", "Records: 1 created, 0 updated, 10 unchanged; the dataset is at version 604."],
    )
    with opened(settings) as database, database.reading() as session:
        assert session.scalars(select(Revision.reason).where(Revision.id == "fresno-ca")).one() == "Fresno joins."
    shutil.rmtree(tmp_path / "out")
    write(tmp_path, "cities.json", [city("fresno-ca", name=5)])
    wrong = run(settings, "import", str(tmp_path / "cities.json"))
    assert wrong.exit_code == 1
    assert wrong.stderr.splitlines() == [
        f"{tmp_path}/cities.json:1: name: `name`: Not a valid string.",
        "Error: faults: 1; nothing was written",
    ]
    dry = run(settings, "import", str(SEEDS), "--dry-run")
    assert (
        dry.output.splitlines()[-1] == "Records: 0 created, 0 updated, 603 unchanged; this was a dry run: nothing was written."
    )


def test_spreadsheets_read_what_is_exported(database: Database, tmp_path: Path) -> None:
    """An exported CSV is the one that the API streams, but for what the ledger adds."""
    transfer.export(database, tmp_path, "csv")
    with (tmp_path / "initiatives.csv").open(encoding="utf-8", newline="") as file:
        rows: Sequence[dict[str, str]] = list(csv.DictReader(file))
    with serving(replace(database.settings)) as app:
        streamed = app.test_client().get("/initiatives.csv?sort=id").get_data(as_text=True)
    expected = list(csv.DictReader(streamed.splitlines(keepends=True)))
    assert rows == [{name: row[name] for name in rows[0]} for row in expected]
