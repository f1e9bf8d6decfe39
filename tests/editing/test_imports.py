"""Large imports: rehearsed as a whole, published in pieces that others can write between, and resumed after an interruption."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from api.db.database import Database
from api.db.turns import turn
from api.editing import exports
from api.editing.imports import CHUNK, FIRST_PIECE, ONE_COMMIT, SAMPLE
from api.ledger import changesets
from api.ledger.models import Revision
from api.ledger.verify import verify
from api.resources import BY_NAME
from tests.support.databases import SQLITE_FIRST, head, publishing, without_temporary_tables
from tests.support.files import city, load, said, write

MANY = ONE_COMMIT + 50


def many(folder: Path, *last: dict[str, Any]) -> Path:
    """Write a file with more cities than one commit takes, and some more records at its end."""
    rows = [*(city(f"city-{number}-ca") for number in range(MANY)), *last]
    return write(folder, "cities.ndjson", "".join(json.dumps(row) + "\n" for row in rows))


def commits(database: Database, after: int) -> list[int]:
    """Return the number of revisions of each commit after a version."""
    statement = select(func.count()).where(Revision.version > after).group_by(Revision.commit_version)
    with database.reading() as session:
        return list(session.scalars(statement.order_by(Revision.commit_version)))


@SQLITE_FIRST
def test_a_large_import_is_published_in_pieces(database: Database, tmp_path: Path) -> None:
    """Its commits are small, together they have all records under one import id, and the data verifies."""
    before = head(database)
    imported = load(database, many(tmp_path), import_id="one")
    assert (imported.faults, dict(imported.statuses), imported.version) == ([], {"created": MANY}, before + MANY)
    sizes = commits(database, before)
    assert (sizes[0], sum(sizes), max(sizes) <= CHUNK) == (FIRST_PIECE, MANY, True)
    with database.reading() as session:
        assert list(verify(session)) == []
        assert len(changesets.of_import(session, "one")) == len(sizes)


@SQLITE_FIRST
def test_many_deletions_are_pieces_of_an_import(database: Database, tmp_path: Path) -> None:
    """A small file that deletes more records than one commit takes is an import in pieces, whose id is told."""
    documents = [city(f"city-{number}-ca") for number in range(MANY)]
    load(database, write(tmp_path, "cities.json", documents), atomic=True)
    with database.reading() as session:
        kept = session.scalars(select(Revision.document).where(Revision.kind == "cities", Revision.superseded.is_(None)))
        rows = [json.loads(text or "") for text in kept]
    path = write(tmp_path, "cities.json", [row for row in rows if not row["id"].startswith("city-")])
    before, warnings = head(database), list[str]()
    imported = load(database, path, delete_missing=True, overwrite=True, warn=warnings.append)
    assert (imported.faults, dict(imported.statuses)) == ([], {"unchanged": 6, "deleted": MANY})
    assert imported.import_id is not None
    assert f"--import-id {imported.import_id}." in warnings[-1]
    with database.reading() as session:
        assert len(changesets.of_import(session, imported.import_id)) == len(commits(database, before)) > 1


@SQLITE_FIRST
def test_an_atomic_import_is_one_commit(database: Database, tmp_path: Path) -> None:
    """Before it begins, it says how long others will wait."""
    before, warnings = head(database), list[str]()
    assert load(database, many(tmp_path), atomic=True, warn=warnings.append).faults == []
    assert commits(database, before) == [MANY]
    assert [line.rstrip(".").rpartition(" ")[2] for line in warnings] == ["seconds"]


@SQLITE_FIRST
def test_an_atomic_import_is_one_commit_even_if_its_beginning_is_not_valid_alone(database: Database, tmp_path: Path) -> None:
    """Two cities swap their names, and the second is beyond the sample that is written first."""
    load(database, write(tmp_path, "cities.json", [city("first-ca", name="First"), city("last-ca", name="Last")]))
    before, warnings = head(database), list[str]()
    rows = [city("first-ca", name="Last"), *(city(f"city-{n}-ca") for n in range(MANY)), city("last-ca", name="First")]
    rows[3 * SAMPLE], rows[-1] = rows[-1], rows[3 * SAMPLE]
    path = write(tmp_path, "cities.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    steps = Counter[str]()
    told: Any = {"warn": warnings.append, "progress": lambda step, count: steps.update({step: count})}
    assert load(database, path, atomic=True, **told).faults == []
    assert commits(database, before) == [len(rows)]
    assert [line.rstrip(".").rpartition(" ")[2] for line in warnings] == ["seconds"]
    assert steps == {"write": len(rows), "publish": len(rows)}


def test_a_large_import_with_a_fault_writes_nothing(database: Database, tmp_path: Path) -> None:
    """All faults are found before the first piece, those of the last record and those between records, and nothing is noted."""
    before = head(database)
    path = many(tmp_path, city("last-ca", state="ca"), city("other-ca", name="City 3 ca"), city("third-ca", country=None))
    faults = said(load(database, path), tmp_path)
    assert [fault.partition(": ")[0] for fault in faults] == [f"cities.ndjson:{MANY + 1}", f"cities.ndjson:{MANY + 3}"]
    with database.reading() as session:
        assert session.scalar(text("select count(*) from cities where id like 'city-%'")) == 0
        assert session.scalar(text("select count(*) from ledger_dirty")) == 0
    assert head(database) == before


@SQLITE_FIRST
def test_a_rehearsal_leaves_the_data_alone(database: Database, tmp_path: Path) -> None:
    """A dry run of many records writes nothing, and others write while it runs, which a dry run of few does not let them."""
    answers = list[int]()

    def write_meanwhile(step: str, _count: int) -> None:
        if step == "write" and not answers:
            with publishing(database) as session:
                session.execute(text("update cities set summary = 'Meanwhile.' where id = 'boston-ma'"))
            answers.append(head(database))

    before = head(database)
    imported = load(database, many(tmp_path), dry_run=True, progress=write_meanwhile)
    assert (imported.faults, dict(imported.statuses)) == ([], {"created": MANY})
    assert answers == [before + 1] == [head(database)]


@SQLITE_FIRST
def test_a_record_waits_for_what_it_refers_to(database: Database, tmp_path: Path) -> None:
    """The first record of a file refers to its last one: it is published after that, and the pieces stay small."""
    rows = [{"id": f"org-{number}", "name": f"Organization {number}"} for number in range(MANY)]
    rows[0]["parent"] = f"org-{MANY - 1}"
    before = head(database)
    path = write(tmp_path, "organizations.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    imported = load(database, path)
    assert (imported.faults, dict(imported.statuses)) == ([], {"created": MANY})
    sizes = commits(database, before)
    assert (sizes[0], sizes[-1], sum(sizes)) == (FIRST_PIECE - 1, 1, MANY)


@pytest.mark.slow
def test_pieces_grow_for_records_that_need_each_other(database: Database, tmp_path: Path) -> None:
    """Each city takes the name of the next one, and the last that of the first, so none can be published before another."""
    load(database, many(tmp_path))
    before = head(database)
    names = [f"city-{number}-ca" for number in range(MANY)]
    names[:CHUNK] = [*names[1:CHUNK], names[0]]
    rows = [city(f"city-{number}-ca", name=name) for number, name in enumerate(names)]
    path = write(tmp_path, "cities.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    assert load(database, path).faults == []
    assert commits(database, before) == [CHUNK]


@SQLITE_FIRST
def test_a_conflict_holds_up_no_other_record(database: Database, tmp_path: Path) -> None:
    """What others write between the pieces refuses the record that they wrote, and all others are published in small pieces."""
    path = many(tmp_path, {**city("boston-ma", name="Boston", summary="Ours."), "version": version_of(database, "boston-ma")})
    told = list[str]()

    def write_meanwhile(step: str, _count: int) -> None:
        if step == "publish" and not told:
            told.append(step)
            with publishing(database) as session:
                session.execute(text("update cities set summary = 'Meanwhile.' where id = 'boston-ma'"))

    before = head(database)
    imported = load(database, path, progress=write_meanwhile)
    assert ["Meanwhile." in fault for fault in said(imported, tmp_path)] == [True]
    assert (dict(imported.statuses), imported.version) == ({"created": MANY}, head(database))
    assert (sum(sizes := commits(database, before)), max(sizes) <= CHUNK) == (MANY + 1, True)


def version_of(database: Database, id: str) -> int | None:
    """Return the version of a city."""
    with database.reading() as session:
        return session.scalar(select(func.max(Revision.version)).where(Revision.kind == "cities", Revision.id == id))


@SQLITE_FIRST
def test_an_interrupted_import_goes_on(database: Database, tmp_path: Path) -> None:
    """After an interruption the same import publishes the rest: no record twice."""
    before, path = head(database), many(tmp_path)

    def interrupt(step: str, _count: int) -> None:
        if step == "publish":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(database, path, progress=interrupt)
    assert commits(database, before) == [FIRST_PIECE]
    again = load(database, path)
    assert dict(again.statuses) == {"unchanged": FIRST_PIECE, "created": MANY - FIRST_PIECE}
    assert head(database) == before + MANY


def test_missing_records_are_deleted_if_asked(database: Database, tmp_path: Path) -> None:
    """`delete_missing` deletes what is in no file; what others refer to, or changed since the export, is a fault."""
    load(database, write(tmp_path, "cities.json", [city("a-ca"), city("b-ca")]))
    with database.reading() as session:
        documents = session.scalars(select(Revision.document).where(Revision.kind == "cities", Revision.superseded.is_(None)))
        rows = [json.loads(document or "") for document in documents]
    path = write(tmp_path, "cities.json", [row for row in rows if row["id"] not in {"a-ca", "b-ca"}])
    assert dict(load(database, path).statuses) == {"unchanged": 6}
    newest = max(row["version"] for row in rows if row["id"] not in {"a-ca", "b-ca"})
    assert [fault.partition(", and")[0] for fault in said(load(database, path, delete_missing=True), tmp_path)] == [
        f"cities.json: the city `{id}` is in no file" for id in ("a-ca", "b-ca")
    ]
    assert newest < head(database)
    lines = list[str]()
    result = load(database, path, delete_missing=True, overwrite=True, report=lines.append)
    assert (result.faults, dict(result.statuses)) == ([], {"unchanged": 6, "deleted": 2})
    assert [line.removeprefix(f"{tmp_path}/") for line in lines if line.endswith("deleted")] == [
        "cities.json: a-ca: deleted",
        "cities.json: b-ca: deleted",
    ]
    path = write(tmp_path, "cities.json", [row for row in rows if row["id"] not in {"a-ca", "b-ca", "boston-ma"}])
    (fault,) = said(load(database, path, delete_missing=True, overwrite=True), tmp_path)
    assert fault.startswith("cities.json: id: The city `boston-ma` is referred to")


@SQLITE_FIRST
def test_a_file_without_records_deletes_nothing(database: Database, tmp_path: Path) -> None:
    """An empty file would delete all records of its noun; the control: a file with one of them deletes the others."""
    path = write(tmp_path, "citations.ndjson", "")
    assert said(load(database, path, delete_missing=True), tmp_path) == [
        "citations.ndjson: it has no record, and `--delete-missing` would delete all citations"
    ]
    with database.reading() as session:
        first = session.scalar(select(Revision.document).where(Revision.kind == "citations").order_by(Revision.version))
    result = load(database, write(tmp_path, "citations.ndjson", first or ""), delete_missing=True)
    assert (result.faults, result.statuses["unchanged"], result.statuses["deleted"] > 1) == ([], 1, True)


@SQLITE_FIRST
def test_a_table_of_a_list_deletes_no_record(database: Database, tmp_path: Path) -> None:
    """The identifiers of one organization do not say that there is no other one."""
    load(database, write(tmp_path, "organizations.json", [{"id": "a-org", "name": "A"}, {"id": "b-org", "name": "B"}]))
    path = write(tmp_path, "organizations.identifiers.csv", "id,scheme,value\na-org,wikidata,Q1\n")
    result = load(database, path, delete_missing=True)
    assert (result.faults, dict(result.statuses)) == ([], {"updated": 1})


@SQLITE_FIRST
def test_missing_records_are_deleted_before_their_parents(database: Database, tmp_path: Path) -> None:
    """More records than are checked at once, whose parents come first by their ids, are deleted, and in small pieces."""
    rows = [{"id": f"org-{number:04}", "name": f"Organization {number}"} for number in range(MANY)]
    for number in range(MANY // 2):
        rows[-1 - number]["parent"] = f"org-{number:04}"
    (kept,) = exports.export(database, tmp_path, "yaml", [BY_NAME["organizations"]])
    load(database, write(tmp_path, "organizations.ndjson", "".join(json.dumps(row) + "\n" for row in rows)))
    before = head(database)
    result = load(database, kept, delete_missing=True, overwrite=True)
    assert (result.faults, result.statuses["deleted"]) == ([], MANY)
    assert max(commits(database, before)) <= CHUNK


@SQLITE_FIRST
def test_a_missing_record_of_the_newest_commit_is_deleted(database: Database, tmp_path: Path) -> None:
    """If the newest record is taken out of an exported file, others of its commit tell that the file is as new."""
    load(database, write(tmp_path, "cities.json", [city("a-ca"), city("b-ca")]))
    with database.reading() as session:
        documents = session.scalars(select(Revision.document).where(Revision.kind == "cities", Revision.superseded.is_(None)))
        rows = [json.loads(document or "") for document in documents]
    path = write(tmp_path, "cities.json", [row for row in rows if row["id"] != "b-ca"])
    result = load(database, path, delete_missing=True)
    assert (result.faults, dict(result.statuses)) == ([], {"unchanged": len(rows) - 1, "deleted": 1})


def test_one_report_has_shapes_and_references(database: Database, tmp_path: Path) -> None:
    """A record with a wrong member also gets a fault for each record that it refers to in vain, and for nothing else."""
    row = {"id": "i", "city": "bostn-ma", "title": 5, "summary": "S", "priorities": ["cybersecurity", "nothing"]}
    faults = said(load(database, write(tmp_path, "initiatives.json", [row])), tmp_path)
    assert [fault.partition("; ")[0] for fault in faults] == [
        "initiatives.json:1: city: There is no city `bostn-ma`",
        "initiatives.json:1: priorities/1: There is no priority `nothing`.",
        "initiatives.json:1: title: `title`: Not a valid string.",
    ]


@pytest.fixture
def held(database: Database) -> Iterator[list[str]]:
    """The turn, held by somebody; the list is for what the next one is told."""
    with turn(database, "Ada  Lovelace, since noon", lambda _line: None):
        yield []


def test_a_second_import_learns_who_is_importing(database: Database, held: list[str]) -> None:
    """Who would wait is told whose turn it is, and can leave; the control: afterwards nobody has to wait."""

    def leave(holder: str) -> None:
        held.append(holder)
        raise InterruptedError

    with pytest.raises(InterruptedError), turn(database, "Grace", leave):
        pass
    assert held == ["Ada Lovelace, since noon"]


def test_the_turn_ends_with_its_holder(database: Database) -> None:
    """After an import, also one that failed, the next one is told of nobody."""
    told = list[str]()
    for name in ("Ada", "Grace", "Hedy"):
        with suppress(ZeroDivisionError), turn(database, name, told.append):
            raise ZeroDivisionError
    assert told == []


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
@pytest.mark.slow
def test_a_role_that_may_not_rehearse_learns_which_privilege_it_lacks(database: Database, tmp_path: Path) -> None:
    """The rehearsal of a large import needs temporary tables; the control: the role that has the privilege imports."""
    weak, name = Database(without_temporary_tables(database)), database.settings.sqlalchemy_url.database
    try:
        with pytest.raises(PermissionError, match=f"grant it TEMPORARY on the database {name}"):
            load(weak, many(tmp_path))
        with database.writing() as session:
            session.execute(text(f"grant temporary on database {name} to weak_{name}"))
        assert load(weak, many(tmp_path)).faults == []
    finally:
        weak.engine.dispose()
