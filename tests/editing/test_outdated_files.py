"""Files whose records others changed after the export."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from api.db.database import Database
from api.editing import exports
from api.editing.changes import checked
from api.editing.file_formats import FILE_FORMATS
from api.editing.files import FileRecord, records_of
from api.editing.operations import JOIN, Operation, Refused
from api.editing.writer import Writer
from api.ledger.models import Revision
from api.ledger.verify import verify
from api.resources import BY_NAME
from tests.support.databases import SQLITE_FIRST, head, publishing
from tests.support.files import edit_csv, load, said, write
from tests.support.lengths import few

CITIES, SEATTLE, BOSTON = BY_NAME["cities"], "seattle-wa", "boston-ma"


def exported(database: Database, folder: Path, form: str = "csv") -> Path:
    """Export the cities; returns the file."""
    (path,) = exports.export(database, folder, form, [CITIES])
    return path


def edit(path: Path, id: str, **members: Any) -> None:
    """Change a record of a file, as a curator does."""
    text = FILE_FORMATS[path.suffix[1:]].write
    if text is None:
        edit_csv(path, id, **members)
        return
    rows = [json.loads(json.dumps(record.content, default=float)) for record in records_of(path)]
    next(row for row in rows if row["id"] == id).update(members)
    path.write_text("".join(text(rows, CITIES)), encoding="utf-8", newline="")


def colleague(database: Database, id: str, **members: Any) -> int:
    """Change a record, as a colleague does meanwhile; returns the version."""
    with publishing(database) as session:
        session.execute(update(CITIES.model).where(CITIES.model.id == id).values(**members))
    return head(database)


def moment(database: Database, version: int) -> str:
    """Return when a version was made, as faults say it."""
    with database.reading() as session:
        changed_at = session.scalars(select(Revision.changed_at).where(Revision.version == version)).one()
    return f" on {changed_at:%Y-%m-%d at %H:%M} UTC"


def city(database: Database, id: str) -> dict[str, Any]:
    """Return a published city."""
    with database.reading() as session:
        statement = select(Revision.document).where(Revision.kind == "cities", Revision.id == id, Revision.superseded.is_(None))
        content: dict[str, Any] = json.loads(session.scalars(statement).one() or "{}")
    return content


@SQLITE_FIRST
@pytest.mark.parametrize("form", few(("yaml", "json", "ndjson", "csv"), "csv"))
@pytest.mark.parametrize("replace", [False, True], ids=["merge", "replace"])
def test_only_edits_are_written(database: Database, tmp_path: Path, form: str, replace: bool) -> None:  # noqa: FBT001 - a parameter
    """What a colleague changed since the export stays: in other records, and in other members of an edited record."""
    path = exported(database, tmp_path, form)
    colleague(database, BOSTON, summary="Theirs.")
    colleague(database, SEATTLE, summary="Theirs.")
    edit(path, SEATTLE, state_capital=True)
    result = load(database, path.parent, replace=replace)
    assert (result.faults, dict(result.statuses)) == ([], {"unchanged": 5, "updated": 1})
    assert city(database, BOSTON)["summary"] == city(database, SEATTLE)["summary"] == "Theirs."
    assert city(database, SEATTLE)["state_capital"] is True
    with database.reading() as session:
        assert list(verify(session)) == []


def test_control_without_versions_the_file_wins(database: Database, tmp_path: Path) -> None:
    """The control: a file that does not tell what was exported, or that shall win, undoes what a colleague did."""
    path = exported(database, tmp_path)
    colleague(database, BOSTON, summary="Theirs.")
    assert load(database, path, overwrite=True).statuses == {"unchanged": 5, "updated": 1}
    assert city(database, BOSTON)["summary"] != "Theirs."
    colleague(database, BOSTON, summary="Theirs.")
    edit(path, BOSTON, version=None)
    assert load(database, path).statuses == {"unchanged": 5, "updated": 1}
    assert city(database, BOSTON)["summary"] != "Theirs."


def test_the_same_member_is_refused(database: Database, tmp_path: Path) -> None:
    """If the file and a colleague changed the same member, the import names record, member, values and version."""
    path = exported(database, tmp_path)
    was = city(database, SEATTLE)["summary"]
    version = colleague(database, SEATTLE, summary="Theirs.")
    after = colleague(database, SEATTLE, state_capital=True)
    edit(path, SEATTLE, summary="Mine.")
    assert said(load(database, path), tmp_path) == [
        (
            f"cities.csv, row 7, column summary: The city `seattle-wa` was changed in version {version}{moment(database, version)} "
            f'after the file was exported, from {json.dumps(was)} to "Theirs."; the file has "Mine.". To keep the change, write its value into the file; to undo it, '
            "import with `--overwrite`."
        )
    ]
    assert head(database) == after
    edit(path, SEATTLE, summary="Theirs.")
    assert (load(database, path).faults, head(database)) == ([], after)


def test_an_import_can_be_repeated(database: Database, tmp_path: Path) -> None:
    """The same file again changes nothing, though its versions are those of before."""
    path = exported(database, tmp_path)
    edit(path, SEATTLE, summary="Mine.")
    assert load(database, path).statuses == {"unchanged": 5, "updated": 1}
    assert load(database, path).statuses == {"unchanged": 6}


def test_a_deleted_record_stays_deleted(database: Database, tmp_path: Path) -> None:
    """A record that a colleague deleted is not created again, unless the file says that it is new."""
    load(database, write(tmp_path, "cities.json", [{"id": "a-ca", "name": "A", "state": "CA", "country": "US"}]))
    path = exported(database, tmp_path)
    with publishing(database) as session:
        session.execute(text("delete from cities where id = 'a-ca'"))
    version = head(database)
    assert said(load(database, path), tmp_path) == [
        (
            f"cities.csv, row 2, column version: The city `a-ca` was deleted in version {version}{moment(database, version)} "
            "after the file was exported. To create it again, leave out its `version`, or import with `--overwrite`."
        )
    ]
    edit(path, "a-ca", version=None)
    assert load(database, path).statuses == {"created": 1, "unchanged": 6}


@pytest.mark.parametrize(
    "members",
    [{"version": 10**9}, {"version": 1}, {"updated_at": "2020-01-31T12:00:00.000Z"}],
    ids=["future", "of another record", "of another time"],
)
def test_another_history_is_refused(database: Database, tmp_path: Path, members: dict[str, Any]) -> None:
    """A file of a state that was lost in a restore is no base of an edit; a record without an edit is no fault."""
    path = exported(database, tmp_path)
    edit(path, SEATTLE, **members)
    assert load(database, path).statuses == {"unchanged": 6}
    edit(path, SEATTLE, summary="Mine.")
    assert said(load(database, path), tmp_path) == [
        (
            "cities.csv, row 7, column version: The city `seattle-wa` has changed, and the version that the file has of it is not in this data, "
            "which was restored, or is not that of the file. Export again, or import with `--overwrite`."
        )
    ]


@pytest.mark.parametrize(("version", "updated_at"), [("x", None), (True, None), (1.5, None), (1, "today"), (1, 5)])
def test_a_malformed_version_is_refused(database: Database, tmp_path: Path, version: object, updated_at: object) -> None:
    """What no export wrote as a version is a fault of the record."""
    path = write(tmp_path, "cities.json", [{"id": SEATTLE, "version": version, "updated_at": updated_at}])
    assert [(fault.line, fault.field) for fault in load(database, path).faults] == [(1, "version")]


def test_what_pandas_makes_of_a_version(database: Database, tmp_path: Path) -> None:
    """A version with the decimals that a column with an empty cell gets is read."""
    path = exported(database, tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [f"{row['id']},{row['version']}.0\n" for row in rows]
    assert load(database, write(tmp_path, "cities.csv", f"id,version\n{''.join(lines)}")).statuses == {"unchanged": 6}


def test_a_file_of_the_api_is_an_export(database: Database, tmp_path: Path) -> None:
    """A record as the API serves it has the members that tell what was exported."""
    record = city(database, SEATTLE)
    colleague(database, SEATTLE, summary="Theirs.")
    records: list[FileRecord] = []
    path = write(tmp_path, "cities.json", {"data": [record]})
    records += records_of(path)
    assert (records[0].content["version"], load(database, path).statuses) == (record["version"], {"unchanged": 1})


@SQLITE_FIRST
def test_a_record_that_was_merged_since_is_not_made_again(database: Database, tmp_path: Path) -> None:
    """A file from before a merge names the record that stayed, instead of advice that would not help, such as `--overwrite`."""
    rows = [{"id": "acme", "name": "Acme"}, {"id": "acme-inc", "name": "Acme Inc"}]
    load(database, write(tmp_path, "organizations.json", rows))
    (path,) = exports.export(database, tmp_path, "yaml", [BY_NAME["organizations"]])
    with database.writing() as session:
        merge = Operation(verb=JOIN, resource=BY_NAME["organizations"], id="acme", into="acme-inc")
        writer = Writer(session)
        writer.apply(checked([merge], Refused()))
        version = writer.publish(reason=None, author=None).before + 1
    for overwrite in (False, True):
        (fault,) = said(load(database, path, overwrite=overwrite), tmp_path)
        assert fault.partition(": ")[2] == (
            f"id: The id `acme` leads to the organization `acme-inc` since version {version}. Write `acme-inc` instead, or revert "
            f"the changeset {version} if the two are not the same."
        )
