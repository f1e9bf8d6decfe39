"""Forms: a record that is shown in one and sent unchanged stays as it is; what is entered is read, or left to be explained."""

import json

import pytest
from flask.testing import FlaskClient

from api.editing.inputs import MAX_ITEMS, example_of, sendable
from api.html import forms
from api.resources import BY_NAME, RESOURCES
from api.schema.resource import Resource
from tests.support.answers import walk
from tests.support.records import nouns


@nouns
def test_records_come_back(client: FlaskClient, resource: Resource) -> None:
    """Every published record, and the example of each noun, is the same after it was shown in a form."""
    for document in [example_of(resource), *(sendable(resource, row) for row in walk(client, f"/{resource.name}?limit=500"))]:
        texts = forms.texts_of(resource, document)
        assert forms.entered(resource, texts).document == document
        shown = [
            control for section in forms.sections(resource, texts, {}, more=False) for row in section.rows for control in row
        ]
        assert texts.items() <= {control.name: control.text for control in shown}.items()


NUMBERS = {
    "": None,
    "12": 12,
    "1.5": 1.5,
    "-3": -3,
    "+5": 5,
    "007": 7,
    "1e3": 1000,
    "0.000001": 0.000001,
    "9007199254740993": 9007199254740993,
}
# Words, other digits, and what a number of JSON or of Python would round.
NO_NUMBERS = ("twelve", "NaN", "1_000", "\uff11", "1,5", "1e999", "0.12345678901234567890", "123456789012.1234567", "1" * 400)


@pytest.mark.parametrize(("text", "read"), [*NUMBERS.items(), *((text, text) for text in NO_NUMBERS)])
def test_numbers(text: str, read: object) -> None:
    """A number is read exactly; any other text stays as it is, so that the API can say what is wrong with it."""
    document = forms.entered(BY_NAME["initiatives"], {"metrics-0-name": "x", "metrics-0-value": text}).document
    assert json.loads(json.dumps(document["metrics"][0]["value"])) == read


def test_rows() -> None:
    """Rows that are left blank are no items, and what is wrong with an item is said in the row where it was entered."""
    texts = {"metrics-0-name": "", "metrics-3-name": " Visits ", "metrics-7-name": "Cost", "aliases": "One\r\n\r\n Two \n"}
    entered = forms.entered(BY_NAME["initiatives"], texts)
    assert [row["name"] for row in entered.document["metrics"]] == ["Visits", "Cost"]
    assert entered.document["aliases"] == ["One", "Two"]
    assert entered.input_at("/metrics/1/value") == "metrics-7-value"
    assert entered.input_at("/metrics/9/value") == "metrics"
    assert entered.input_at("/nothing") == ""
    rows = {
        more: len(section.rows)
        for more in (False, True)
        for section in forms.sections(BY_NAME["initiatives"], {"metrics-1-name": "A", "metrics-4-name": ""}, {}, more=more)
        if section.name == "metrics"
    }
    assert rows == {False: 2 + forms.BLANK_ROWS, True: 5 + forms.BLANK_ROWS}


def test_numbers_of_rows() -> None:
    """A row with any number is shown, without thousands of rows before it."""
    (metrics,) = [
        section
        for section in forms.sections(BY_NAME["initiatives"], {"metrics-9999-name": "A"}, {}, more=False)
        if section.name == "metrics"
    ]
    assert len(metrics.rows) == MAX_ITEMS + forms.BLANK_ROWS + 1
    assert metrics.rows[-1][0].name.startswith("metrics-9999-")


def test_every_member_has_an_input() -> None:
    """Each member of each noun that can be sent has a label, a description, and an input or rows."""
    for resource in RESOURCES:
        for section in forms.sections(resource, {}, {}, more=False):
            assert section.rows
            assert section.label
            assert section.hint
