"""Copies whose records were erased, and whose past was trimmed, on the server."""

from pathlib import Path

import pytest
from werkzeug import Request, Response

from api.ledger import retention
from tests.support.answers import ANY
from tests.support.copies import city, write
from tests.support.databases import SQLITE_FIRST
from tests.support.lengths import late
from tests.support.mirrors import Copy, PythonCopy, is_equal, on_sqlite
from tests.support.watched import Answer, Watched

SECRET = "Unmistakable."  # noqa: S105 - what is to be erased
# The cities are so few that their top node is a bucket.
PATH = "/digest/cities"


def erase(server: Watched, id: str) -> int:
    """Erase the past of a city."""
    with server.database.writing() as session:
        return retention.erase(session, "cities", id)


@SQLITE_FIRST
@pytest.mark.parametrize("lives", [True, False])
def test_erased(server: Watched, copy: Copy, *, lives: bool) -> None:
    """A copy that has an erased document deletes it, whether the record lives on or not, and is equal to the server again."""
    write(server.curator, "a-zz")
    server.curator.patch("/cities/a-zz", json={"summary": SECRET}, headers=ANY)
    copy.mirror(server.address)
    assert copy.records()["cities", "a-zz"]["summary"] == SECRET
    if lives:
        server.curator.patch("/cities/a-zz", json={"summary": "Corrected."}, headers=ANY)
    else:
        server.curator.delete("/cities/a-zz", headers=ANY)
    assert erase(server, "a-zz") == 2
    server.paths()
    copy.mirror(server.address, limit=1)
    assert "/snapshot" not in server.paths()
    assert is_equal(server, copy)
    assert ("cities", "a-zz") in copy.records() or not lives
    assert SECRET not in str(copy.records())
    if isinstance(copy, PythonCopy):
        assert SECRET.encode() not in copy.file.read_bytes()


@on_sqlite
def test_deleted_text_stays_in_the_file_without_care(server: Watched, tmp_path: Path) -> None:
    """The control: by SQLite's default a deleted document stays in the file."""
    ids = [f"{letter}-zz" for letter in "abcdefghij"]
    for id in ids:
        assert server.curator.post("/cities", json=city(id, summary=SECRET * 50)).status_code == 201
    copy = PythonCopy(tmp_path / "copy.sqlite3")
    copy.store.db.execute("pragma secure_delete = off")
    copy.mirror(server.address)
    for id in ids:
        server.curator.delete(f"/cities/{id}", headers=ANY)
    copy.mirror(server.address)
    assert SECRET not in str(copy.records())
    assert SECRET.encode() in copy.file.read_bytes()
    copy.store.db.close()


@on_sqlite
@pytest.mark.parametrize("copy", ["python", late("javascript")], indirect=True)
def test_erased_while_it_is_proved(server: Watched, copy: Copy) -> None:
    """If a document that a copy needs for its proof is erased meanwhile, the copy keeps what it has, follows on and is proved."""
    write(server.curator, "a-zz")
    server.curator.patch("/cities/a-zz", json={"summary": SECRET}, headers=ANY)
    copy.mirror(server.address)
    # A record too many, in the bucket of the one that is erased, makes the copy ask for both.
    copy.put({("cities", "n-zz"): "{}"})
    statuses: list[int] = []

    def fault(request: Request, answer: Answer) -> Response:
        """Erase what is about to be asked for, once."""
        if request.path != PATH:
            return answer()
        if not statuses:
            server.curator.patch("/cities/a-zz", json={"summary": "Corrected."}, headers=ANY)
            assert erase(server, "a-zz") == 2
        response = answer()
        statuses.append(response.status_code)
        return response

    server.curator.patch("/cities/boston-ma", json={"summary": "Other."}, headers=ANY)
    server.fault = fault
    server.paths()
    copy.mirror(server.address)
    assert statuses == [410, 200]
    assert server.paths() == ["/changes", "/digest", PATH] * 2
    assert is_equal(server, copy)
