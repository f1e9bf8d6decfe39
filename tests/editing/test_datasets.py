"""Data sets as sources: their citations locate values, and anyone with the data set can check them."""

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger.factcheck import MISMATCHED, findings
from api.resources.sources import Source
from api.schema.datasets import value_sha256
from tests.support.answers import ANY, Json, brief

SET: Json = {"id": "zz-set", "label": "A data set", "type": "dataset", "language": "en", "licence": "CC-BY-4.0"}
TEXT = "industry-insider-digital-cities-2024-part-1"
VALUE: Json = {
    "id": "zz",
    "subject_kind": "cities",
    "subject_id": "boston-ma",
    "field": "/country",
    "source": "zz-set",
    "locator": {"record": "4930956", "column": "country"},
    "value_sha256": value_sha256("US"),
    "basis": "external",
}
SENTENCE: Json = {"paragraph": 1, "sentence": 1, "sentence_sha256": "0" * 64}


@pytest.fixture
def cited(editor: FlaskClient) -> FlaskClient:
    """A client of an application with a data set and a citation of one of its values."""
    assert editor.post("/sources", json=SET).status_code == 201
    assert editor.post("/citations", json=VALUE).status_code == 201
    return editor


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"locator": None}, "/locator"),
        ({"value_sha256": None}, "/locator"),
        (SENTENCE, "/locator"),
        ({**SENTENCE, "locator": None, "value_sha256": None}, "/locator"),
        ({"source": TEXT}, "/paragraph"),
        ({"locator": {"record": "1"}}, "/locator/column"),
        ({"locator": "4930956"}, "/locator"),
        ({"locator": {"record": "1", "column": "c", "row": 1}}, "/locator/row"),
    ],
)
def test_the_source_decides_the_form(cited: FlaskClient, changes: Json, pointer: str) -> None:
    """A citation of a data set has a locator and a value, one of a text a sentence: another is a 422 that names the member."""
    status, name, (item,) = brief(cited.post("/citations", json={**VALUE, "id": "zz-2", "field": "/name", **changes}))
    assert (status, name, item["pointer"]) == (422, "invalid-body", pointer)


def test_a_value_is_served_found_and_cited_once(cited: FlaskClient) -> None:
    """A locator is served as it was sent, filters find it, a patch changes a part of it, and the same one again is a 409."""
    nulls = {"paragraph": None, "sentence": None, "sentence_sha256": None}
    served = cited.get("/citations/zz").get_json()["data"]
    assert {name: served[name] for name in {**VALUE, **nulls}} == {**VALUE, **nulls}
    for query in ("locator.record=4930956&locator.column=country", "locator.column=country&basis=external", "source=zz-set"):
        assert cited.get(f"/citations?{query}&fields=id").get_json()["data"] == [{"id": "zz"}]
    twin = {**VALUE, "id": "zz-2"}
    assert brief(cited.post("/citations", json=twin))[:2] == (409, "conflict")
    assert cited.post("/citations", json={**twin, "locator": {"record": "4930956", "column": "code"}}).status_code == 201
    patched = cited.patch("/citations/zz", json={"locator": {"column": "alpha"}}, headers=ANY)
    assert patched.get_json()["data"]["locator"] == {"record": "4930956", "column": "alpha"}


def test_a_source_keeps_its_form(cited: FlaskClient) -> None:
    """A source that is cited cannot become a data set, or a text, and a data set has no hash of a text."""
    text = cited.patch("/sources/zz-set", json={"type": "list", "text_sha256": "0" * 64}, headers=ANY)
    data = cited.patch(f"/sources/{TEXT}", json={"type": "dataset", "text_sha256": None}, headers=ANY)
    for answer in (text, data):
        status, _, items = brief(answer)
        assert (status, {item["pointer"] for item in items}) == (422, {"/type"})
    status, _, (item,) = brief(cited.patch("/sources/zz-set", json={"text_sha256": "0" * 64}, headers=ANY))
    assert (status, item["pointer"]) == (422, "/text_sha256")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"4930956": {"country": "US", "latitude": 42.35843}}', []),
        ("id,country\n4930956,US\n", []),
        ('{"4930956": {"country": "CA"}}', ["citations/zz: 4930956, country: the value has another fingerprint"]),
        ("id,country\n1,US\n", ["citations/zz: 4930956, country: the data set has no such value"]),
    ],
)
@pytest.mark.usefixtures("cited")
def test_values_are_checked(database: Database, text: str, faults: list[str]) -> None:
    """With the data set at hand, each cited value must be there with its fingerprint."""
    with database.reading() as session:
        source = session.get_one(Source, "zz-set")
        assert [line for section, line in findings(session, source, text, []) if section is MISMATCHED] == faults


def test_numbers_are_compared_as_written(cited: FlaskClient, database: Database) -> None:
    """A number of a JSON file is compared as its digits stand there."""
    latitude = {"field": "/name", "locator": {"record": "1", "column": "latitude"}, "value_sha256": value_sha256("42.30")}
    assert cited.patch("/citations/zz", json=latitude, headers=ANY).status_code == 200
    with database.reading() as session:
        source = session.get_one(Source, "zz-set")
        for text, expected in (('{"1": {"latitude": 42.30}}', 0), ('{"1": {"latitude": 42.3}}', 1)):
            assert sum(section is MISMATCHED for section, _ in findings(session, source, text, [])) == expected
