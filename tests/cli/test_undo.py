"""`data revert`, `data merge` and `data rename` on the command line."""

import getpass
from pathlib import Path

from flask.testing import FlaskClient

from tests.support.answers import read
from tests.support.files import write
from tests.support.processes import Run
from tests.support.records import FRESNO


def test_merge_rename_and_revert(run: Run, curator: FlaskClient) -> None:
    """Each command says what it changed, with author and message; a dry run says the same and writes nothing."""
    for city in (FRESNO, {**FRESNO, "id": "fresno-2-ca", "name": "Fresno City"}):
        curator.post("/cities", json=city)
    curator.post("/organizations", json={"id": "zz", "name": "Z", "type": "company", "city": "fresno-2-ca"})
    merge = ("data", "merge", "cities", "fresno-2-ca", "fresno-ca", "--message", "Twice.")
    told = ["cities/fresno-2-ca: deleted, and leads to fresno-ca", "organizations/zz: updated"]
    assert run(*merge, "--dry-run") == (0, [*told, "Records: 2; this was a dry run: nothing was written."])
    assert curator.get("/cities/fresno-2-ca").status_code == 200
    status, lines = run(*merge)
    merged = read(curator, "/changesets?limit=1")["data"][0]
    assert (status, lines) == (0, [*told, f"Records: 2; the dataset is at version {merged['last_version']}."])
    assert (merged["author"], merged["message"]) == (getpass.getuser(), "Twice.")
    assert run("data", "rename", "cities", "fresno-ca", "fresno-us-ca")[1][:2] == [
        "cities/fresno-ca: deleted, and leads to fresno-us-ca",
        "cities/fresno-us-ca: created",
    ]
    renamed = read(curator, "/changesets?limit=1")["data"][0]["version"]
    assert curator.get("/cities/fresno-2-ca").headers["Location"] == "http://localhost/cities/fresno-us-ca"
    status, lines = run("data", "revert", merged["version"])
    assert (status, lines[-1]) == (1, "Error: faults: 1; nothing was written")
    assert f"in changeset {renamed}" in lines[0]
    for version in (renamed, merged["version"]):
        assert run("data", "revert", version, "--author", "Ann")[0] == 0
    assert read(curator, "/organizations/zz")["data"]["city"] == "fresno-2-ca"
    last = read(curator, "/changesets?limit=1")["data"][0]
    assert (last["author"], last["message"]) == ("Ann", f"Reverts changeset {merged['version']}.")


def test_what_cannot_be_undone(run: Run, curator: FlaskClient) -> None:
    """A command without exactly one thing to undo, or with one that does not exist, ends with one line."""
    assert curator
    for arguments, line in (
        (("revert",), "Error: Name either a VERSION or an import."),
        (("revert", "1", "--import", "x"), "Error: Name either a VERSION or an import."),
        (("revert", "2"), "Error: No changeset begins with version 2; the changeset of that version begins with 1."),
        (("revert", "99999"), "Error: No changeset begins with version 99999."),
        (("revert", "--import", "x"), "Error: There is no import x."),
        (("merge", "cities", "boston-ma", "boston-ma"), "Error: Both ids are the same."),
        (("rename", "cities", "boston-ma", "boston-ma"), "Error: Both ids are the same."),
        (("merge", "cities", "nowhere-ca", "boston-ma"), "Error: faults: 1; nothing was written"),
    ):
        status, lines = run("data", *arguments)
        assert (status > 0, lines[-1]) == (True, line)


def test_a_small_import_can_belong_to_a_larger_one(run: Run, curator: FlaskClient, tmp_path: Path) -> None:
    """What is left of an interrupted import may be little: it has the id that is named, and is reverted with the rest."""
    for number in (1, 2):
        path = write(tmp_path, "organizations.json", [{"id": f"org-{number}", "name": f"Organization {number}"}])
        assert run("data", "import", path, "--import-id", "parts")[0] == 0
    assert [row["import_id"] for row in read(curator, "/changesets?limit=2")["data"]] == ["parts", "parts"]
    status, lines = run("data", "revert", "--import", "parts")
    assert (status, lines[:2]) == (0, ["organizations/org-1: deleted", "organizations/org-2: deleted"])
