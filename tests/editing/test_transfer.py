"""Import and export: what is written is read back, all of it or nothing."""

import errno
import json
from pathlib import Path

import pytest
import yaml
from sqlalchemy import select, text

from api.db.database import Database
from api.editing import exports, imports
from api.editing.file_formats import WRITTEN
from api.editing.files import names_of, records_of
from api.editing.inputs import members
from api.ledger.models import CURRENT, Revision
from api.ledger.verify import verify
from api.resources import RESOURCES
from api.resources.cities import CitySchema
from api.schema.fields import Name
from api.settings import Settings
from tests.support import oracle
from tests.support.databases import Store, head, opened, publishing
from tests.support.editions import SEEDED, seeded
from tests.support.files import SEEDS, city, load, said, write
from tests.support.lengths import late

# Every form with SQLite, and one with PostgreSQL: a file is read and written outside of the database.
forms = pytest.mark.parametrize(
    ("store", "form"),
    [("sqlite", "csv"), *(late("sqlite", form) for form in WRITTEN if form != "csv"), late("postgresql", "ndjson")],
    indirect=["store"],
)


def hashes(database: Database) -> dict[tuple[str, str], str | None]:
    """Return the hash of every published document."""
    with database.reading() as session:
        return {(row.kind, row.id): row.hash for row in session.scalars(select(Revision).where(*CURRENT))}


@forms
def test_what_is_exported_is_imported(database: Database, empty: Database, tmp_path: Path, form: str) -> None:
    """All that there is, written and read in any form, is the same documents, to the hash, in one commit."""
    counts = exports.export(database, tmp_path / "out", form)
    assert {path.name: count for path, count in counts.items()} == {
        f"{row.name}.{form}": sum(kind == row.name for kind, _ in hashes(database)) for row in RESOURCES
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        name for row in RESOURCES for name in names_of(row, form)
    )
    before = head(empty)
    # The records were deleted there.
    imported = load(empty, tmp_path / "out", overwrite=True)
    assert (imported.faults, dict(imported.statuses)) == ([], {"created": SEEDED})
    assert hashes(empty) == hashes(database)
    with empty.reading() as session:
        assert list(verify(session)) == []
        assert {row.commit_version for row in session.scalars(select(Revision).where(*CURRENT))} == {before + 1}
    assert (load(empty, tmp_path / "out").statuses, head(empty)) == ({"unchanged": SEEDED}, before + SEEDED)


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
        exports.export(world, tmp_path / "out", form)
        assert load(empty, tmp_path / "out", overwrite=True).faults == []
        # A random survey counts its priorities with gaps, which its list of them does not have.
        kept, there = ({key: hash for key, hash in hashes(one).items() if key[0] != "priorities"} for one in (empty, world))
        assert kept == there


def tidy(database: Database) -> None:
    """Give a random world what only records that are sent must have."""
    with publishing(database) as session:
        for row in RESOURCES:
            for name, field in members(row.schema).items():
                if isinstance(field, Name) or (field.required and name in {"summary", "description"}):
                    # Names are in a canonical form, which odd texts are not.
                    odd = "'x'" if isinstance(field, Name) else f"{name} || ' x '"
                    session.execute(text(f"update {row.name} set {name} = {odd} || id where {name} is not null"))
        session.execute(text("update survey_categories set name = 'x'"))
        session.execute(
            text("update initiative_metrics set name = 'x' || position, unit = case kind when 'money' then 'USD' else 'x' end")
        )
        for table in ("cities", "organizations", "awards", "initiatives", "sources", "surveys"):
            session.execute(text(f"update {table} set summary = null where summary = ''"))
            # A workbook is XML, which has no such character.
            session.execute(text(f"update {table} set summary = replace(summary, :odd, '')"), {"odd": "\uffff"})
        session.execute(text("update awards set tied = null"))
        session.execute(text("update initiatives set parent_id = null"))
        session.execute(text("delete from initiative_awards"))
        number = "(select 1000 + count(*) from citations as other where other.id < citations.id)"
        session.execute(text(f"update citations set field = '/id', sentence = {number} where sentence is not null"))
        session.execute(
            text("update citations set field = '/id', locator_record = id, locator_column = 'c' where sentence is null")
        )


def test_seeds_change_nothing(database: Database, tmp_path: Path) -> None:
    """The seeds are files of records: imported in today's form, they leave everything as it is, without a version."""
    before = head(database)
    for resource in RESOURCES:
        write(tmp_path, f"{resource.name}.json", list(seeded(resource.name).values()))
    imported = load(database, tmp_path)
    assert (imported.faults, dict(imported.statuses), head(database)) == ([], {"unchanged": SEEDED}, before)


def test_upsert(database: Database, tmp_path: Path) -> None:
    """What is new is created, what differs is updated, what does not is left alone."""
    seattle = next(row for row in yaml.safe_load((SEEDS / "cities.yaml").read_text("utf-8")) if row["id"] == "seattle-wa")
    rows = [
        {**seattle, "summary": "By a sound."},
        city("fresno-ca"),
        *(record.content for record in records_of(SEEDS / "cities.yaml") if record.content["id"] == "boston-ma"),
    ]
    before = head(database)
    imported = load(database, write(tmp_path, "cities.json", rows))
    assert (imported.faults, dict(imported.statuses)) == ([], {"updated": 1, "created": 1, "unchanged": 1})
    assert head(database) == before + 2


def test_references_go_to_any_file_and_back(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records refer to those of later files and of later pieces of the same file."""
    monkeypatch.setattr(imports, "CHUNK", 2)
    members = {"city": "fresno-ca", "summary": "S", "status": "pilot"}
    rows = [
        {"id": f"fresno-ca-{n}", "title": str(n), "parent": f"fresno-ca-{n + 1}" if n < 6 else None, **members}
        for n in range(7)
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
                "conducted_by": "e-republic",
                "categories": [{"category": "c", "name": "C"}],
            }
        ],
    )
    imported = load(database, tmp_path)
    assert (imported.faults, dict(imported.statuses)) == ([], {"created": 10})


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
    "cities.yaml": (YAML, ["cities.yaml:7: nam: `nam` is not a member here; did you mean `name`? (allowed: id, name, state, country, state_capital, summary, location, aliases, identifiers)", "cities.yaml:7: name: `name` is missing."]),
    "cities.json": ('[\n {"id": "a-ca", "name": "A", "state": "ca", "country": "US"},\n {"id": "b-wa",\n  "name": 5, "state": "WA", "country": "US"}\n]', ["cities.json:2: state: `state`: String does not match expected pattern. (allowed: what matches ^[A-Z0-9]{1,3}$)", "cities.json:3: name: `name`: Not a valid string."]),
    "priorities.ndjson": ('{"id": "a", "name": "A", "description": "D", "surveys": []}\n\n{"id": "b", "name": "Cybersecurity", "description": "D"}\n', ["priorities.ndjson:3: name: `name` is that of the priority `cybersecurity`."]),
    "initiatives.csv": ('id,city,title,summary,status,metrics\r\na,boston-ma,T,S,pilot,\r\nb,bostn-ma,T2,"S\r\n2",pilot,[1]\r\nc,boston-ma,T3,S,piloted,\r\n', ["initiatives.csv, row 3, column city: There is no city `bostn-ma`; did you mean `boston-ma`?", "initiatives.csv, row 3, column metrics: `metrics/0` is an object.", "initiatives.csv, row 4, column status: `piloted`: is it `pilot`? Write one of `planned`, `draft`, `in_development`, `pilot`, `in_operation`, `completed`."]),
    "sources.json": ('{"data": [{"id": "a", "label": "T", "type": "article", "language": "en", "text_sha256": "0"}]}', ["sources.json:1: text_sha256: `text_sha256`: String does not match expected pattern. (allowed: what matches ^[0-9a-f]{64}$)"]),
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
    members = {"summary": "S", "status": "pilot"}
    write(
        tmp_path,
        "initiatives.json",
        [
            {"id": "a", "city": "bostn-ma", "title": "T", **members},
            {"id": "b", "city": "los-angeles-ca", "title": "MyLA311", **members},
        ],
    )
    write(tmp_path, "cities.json", [city("a-ca", name="San Diego"), city("b-ca", name=5)])
    assert sorted(said(load(database, tmp_path), tmp_path)) == [
        "cities.json:1: name: `country` and `state` and `name` are those of the city `san-diego-ca`.",
        "cities.json:1: name: `name`: Not a valid string.",
        "initiatives.json:1: city: There is no city `bostn-ma`; did you mean `boston-ma`?",
        "initiatives.json:1: title: `city` and `title` are those of the initiative `los-angeles-ca-myla311`.",
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
    exports.export(database, folder, "ndjson", RESOURCES, interfere)
    assert '!"' not in (folder / "initiatives.ndjson").read_text("utf-8")
    exports.export(database, folder, "ndjson")
    assert '!"' in (folder / "initiatives.ndjson").read_text("utf-8")


def test_a_failed_export_leaves_the_old_files(database: Database, tmp_path: Path) -> None:
    """When an export fails half-way, all files are what they were, and nothing else is there."""
    exports.export(database, tmp_path, "json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = iter(range(100))

    def fail(_step: str, _count: int) -> None:
        if next(calls) == 20:
            raise OSError(errno.ENOSPC, "no space")

    with publishing(database) as session:
        session.execute(text("update surveys set summary = 'Other.'"))
    with pytest.raises(OSError, match="no space"):
        exports.export(database, tmp_path, "json", RESOURCES, fail)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
