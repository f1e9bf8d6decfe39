"""A request that is sent again is answered again, and not carried out again."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from tests.support.answers import brief
from tests.support.records import FRESNO


def test_the_same_request_again(editor: FlaskClient) -> None:
    """Under one key a request is carried out once, and answered alike; another request under it is a 422."""
    key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first, second = (editor.post("/cities", json=FRESNO, headers=key) for _ in range(2))
    assert (second.status_code, second.get_data()) == (first.status_code, first.get_data())
    kept = {"Location", "ETag", "Content-Type", "Cache-Control"}
    assert {k: v for k, v in second.headers if k in kept} == {k: v for k, v in first.headers if k in kept}
    assert (first.headers.get("Idempotent-Replayed"), second.headers["Idempotent-Replayed"]) == (None, "true")
    other = editor.post("/cities", json={**FRESNO, "name": "Other"}, headers=key)
    assert brief(other)[:2] == (422, "idempotency-mismatch")
    bare = editor.post("/cities", json=FRESNO, headers={"Idempotency-Key": key["Idempotency-Key"].strip('"')})
    assert bare.get_data() == first.get_data()
    deleted = [editor.delete("/cities/fresno-ca", headers={"If-Match": "*", "Idempotency-Key": "d"}) for _ in range(2)]
    assert [(answer.status_code, answer.get_data(), "Content-Type" in answer.headers) for answer in deleted] == [
        (204, b"", False)
    ] * 2


def test_a_refusal_is_remembered(editor: FlaskClient) -> None:
    """What was refused is refused again under its key, though it would pass now; without it, it passes."""
    key, body = {"Idempotency-Key": "a"}, {**FRESNO, "id": "oakland-ca", "name": "San Diego"}
    first = editor.post("/cities", json=body, headers=key)
    assert first.status_code == 409
    editor.patch("/cities/san-diego-ca", json={"name": "Sun Diego"}, headers={"If-Match": "*"})
    assert editor.post("/cities", json=body, headers=key).get_data() == first.get_data()
    assert editor.post("/cities", json=body).status_code == 201


def test_a_day_later_it_is_forgotten(editor: FlaskClient, database: Database) -> None:
    """An answer is kept for 24 hours."""
    key = {"Idempotency-Key": "a"}
    editor.post("/cities", json=FRESNO, headers=key)
    with database.writing() as session:
        session.execute(text("update idempotency_keys set created_at = '2020-01-01 00:00:00'"))
    assert editor.post("/cities", json=FRESNO, headers=key).status_code == 409


@pytest.mark.parametrize("written", ["", '""', "é", "a b", "x" * 256])
def test_idempotency_key_that_is_none(refused: FlaskClient, written: str) -> None:
    """A key that is none is a 400, of a dry run, too, and nothing is written."""
    for path in ("/cities", "/cities?dry_run=true"):
        response = refused.post(path, json=FRESNO, headers={"Idempotency-Key": written})
        assert brief(response)[:2] == (400, "bad-request")
    assert refused.get("/cities/fresno-ca").status_code == 404
