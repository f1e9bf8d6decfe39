"""Numbers at the edges: the same ones are taken on both databases, and the others are refused at once."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from marshmallow import fields, validate
from sqlalchemy import text

from api.editing.inputs import example_of, members
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import MAX_INTEGER, Whole
from api.settings import Settings
from tests.support.answers import brief
from tests.support.applications import curating, serving
from tests.support.databases import SQLITE_FIRST, Store, publishing
from tests.support.lengths import examples

# One part of each noun with a number, and the part's other required members.
PARTS: dict[str, dict[str, Any]] = {
    "states": {"state": "CA", "cities_recognized": 1},
    "categories": {"category": "all", "name": "All", "min_population": None, "max_population": None},
}
# Members that limit each other are omitted, except the one under test.
FREE: dict[str, Any] = {"part": None, "parts": None}


def whole_members() -> Iterator[tuple[str, str, str]]:
    """Yield noun, list (empty for the record itself) and name of each member that is a whole number."""
    for resource in RESOURCES:
        for name, field in members(resource.schema).items():
            if isinstance(field, Whole):
                yield resource.name, "", name
            elif isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
                yield from (
                    (resource.name, name, below) for below, part in field.inner.schema.fields.items() if isinstance(part, Whole)
                )


def bounds(noun: str, part: str, name: str) -> tuple[int, int]:
    """Return the least and the greatest value of a member."""
    fields: Any = members(BY_NAME[noun].schema)
    field = fields[part].inner.schema.fields[name] if part else fields[name]
    limits = next(row for row in field.validators if isinstance(row, validate.Range))
    return limits.min, limits.max


def body(noun: str, part: str, name: str, written: str) -> str:
    """Return a record as JSON in which a member has a number as it is written."""
    record: dict[str, Any] = {
        **example_of(BY_NAME[noun]),
        **{name: value for name, value in FREE.items() if name in members(BY_NAME[noun].schema)},
    }
    if part:
        record[part] = [{**PARTS[part], name: "NUMBER"}]
    else:
        record[name] = "NUMBER"
    return json.dumps(record).replace('"NUMBER"', written)


@pytest.fixture(scope="module")
def writer(store: Store, migrated: Settings) -> Iterator[FlaskClient]:
    """A client with an admin key."""
    with serving(replace(store.copy(migrated), write_limit="1000000/minute")) as app:
        client = curating(app.test_client(), app.extensions["database"], "admin")
        # No other award has one of the ranks at the edges, which would have to be tied.
        with publishing(app.extensions["database"]) as session:
            session.execute(text("update awards set rank = rank + 1000"))
        yield client


def post(client: FlaskClient, path: str, text: str) -> Any:
    """Send JSON as it is written."""
    return client.post(path, data=text, content_type="application/json")


@SQLITE_FIRST
@pytest.mark.parametrize(("noun", "part", "name"), list(whole_members()))
def test_whole_numbers_at_their_edges(writer: FlaskClient, noun: str, part: str, name: str) -> None:
    """A whole number within its bounds is stored as sent; one beyond is a 422 that names the bounds."""
    low, high = bounds(noun, part, name)
    assert high in {MAX_INTEGER, 9999}
    for value in (low, low + 1, 2**31 - 1, 2**31, 2**32, high - 1, high):
        if value > high:
            continue
        answer = post(writer, f"/{noun}?dry_run=true", body(noun, part, name, str(value)))
        assert (value, answer.status_code) == (value, 201), answer.get_json()
        data = answer.get_json()["data"]
        assert (data[part][0] if part else data)[name] == value
    for value in (low - 1, high + 1, -high, 2**63, 10**30):
        _, problem, (item,) = brief(post(writer, f"/{noun}?dry_run=true", body(noun, part, name, str(value))))
        assert (value, problem, item["pointer"]) == (value, "invalid-body", f"/{part}/0/{name}" if part else f"/{name}")
        assert item["allowed"] == {"minimum": low, "maximum": high}


HOPELESS = ["1e999999999", "-1e999999999", "1E+99999999999999999999", "1e-99999999999999999999", "1e400", "1e-400", "9" * 5_000, "0." + "1" * 5_000]  # fmt: skip
PLACES = [
    ("/initiatives", '{"metrics": [{"name": "n", "value": %s, "unit": "u", "kind": "count"}]}'),
    ("/citations", '{"id": "a", "paragraph": %s}'),
    ("/surveys", '{"id": "a", "year": %s}'),
    ("/cities", '{"id": "a", "zz": [{"b": %s}]}'),
    ("/cities", "%s"),
    ("/changesets", '{"operations": [{"op": "delete", "kind": "cities", "id": "a", "if_match": %s}]}'),
    ("/changesets", '{"operations": [{"op": "create", "kind": "surveys", "document": {"id": "a", "year": %s}}]}'),
    ("/changesets", '{"message": %s, "operations": []}'),
    ("/cities/search", '{"version__gt": %s}'),
    ("/initiatives/search", '{"metric.value": [1, %s]}'),
    ("/keys", '{"name": %s}'),
    ("/webhooks", '{"url": %s}'),
]


@pytest.mark.parametrize("written", HOPELESS, ids=lambda text: text[:24])
@pytest.mark.parametrize(("path", "template"), PLACES)
def test_numbers_that_nothing_can_hold(writer: FlaskClient, path: str, template: str, written: str) -> None:
    """A number with a huge exponent or thousands of digits is refused at once and briefly, anywhere in JSON."""
    begun = time.process_time()
    response = post(writer, path, template % written)
    assert time.process_time() - begun < 1
    assert brief(response)[0] in {400, 422}
    assert len(response.get_data()) < 20_000


@hypothesis_settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
@example("0.000001")
@example("9007199254740991")
@example("9007199254.740991")
@example("1e15")
@example("-0")
def test_decimals(writer: FlaskClient, written: str) -> None:
    """A decimal is returned as the same number, or is refused: accepted ones have at most 6 fraction digits."""
    metric = '{"name": "n", "value": %s, "unit": "u", "kind": "count"}' % written  # noqa: UP031 - braces
    record = '{"id": "zz", "city": "boston-ma", "title": "T", "summary": "S", "status": "pilot", "metrics": [%s]}' % metric  # noqa: UP031
    answer = post(writer, "/initiatives?dry_run=true", record)
    if answer.status_code == 201:
        (row,) = answer.get_json()["data"]["metrics"]
        assert row["value"] == float(written)
        assert round(float(written), 6) == float(written)
    else:
        assert brief(answer)[0] in {400, 422}


def test_great_numbers_are_read_like_others(editor: FlaskClient) -> None:
    """Lists filter and sort by numbers above 32 bits, and pages continue after them."""
    for number, paragraph in enumerate((2**31, MAX_INTEGER, 2**40)):
        record = {**example_of(BY_NAME["citations"]), "id": f"zz-{number}", "paragraph": paragraph}
        assert editor.post("/citations", json=record).status_code == 201
    pages, path = [], "/citations?paragraph__gte=2147483648&sort=paragraph&limit=1"
    while path:
        answer = editor.get(path).get_json()
        pages += [row["paragraph"] for row in answer["data"]]
        path = answer["links"]["next"]
    assert pages == [2**31, 2**40, MAX_INTEGER]
    assert editor.get(f"/citations?paragraph={MAX_INTEGER}").get_json()["page"]["total"] == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"])
def test_a_null_character_in_a_path(writer: FlaskClient, method: str) -> None:
    """No path has a null character: a 404 for every method, at every place of every path."""
    for rule in writer.application.url_map.iter_rules():
        if method not in (rule.methods or ()) or "int" in rule.rule:
            continue
        path = re.sub("<[^>]+>", "%00", rule.rule)
        for address in {path, f"{rule.rule.split('<')[0]}%00", f"{path}?as_of=1"}:
            if "%00" in address:
                status = writer.open(address, method=method).status_code
                assert (address, status) in {(address, 404), (address, 405)}
