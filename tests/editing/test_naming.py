"""Names that records cannot have in common, in any alphabet."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from api.db.database import Database
from api.schema import names
from tests.support.answers import brief
from tests.support.databases import counted
from tests.support.lengths import examples

ANY = {"If-Match": "*"}
ORGANIZATION = {"type": "company"}


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("Permit Desk", "PERMIT  desk"),
        ("Permit Desk", "\uff30ermit Desk"),
        ("\uff30ermit Desk", "permit desk"),
        ("Straße 1", "STRASSE 1"),
        ("Kelvin 1", "\u212aelvin 1"),
        ("\u0130zmir", "i\u0307zmir"),
        ("東京カメラ", "東京ｶﾒﾗ"),
    ],
)
@pytest.mark.parametrize("city", [None, "boston-ma"])
def test_names_that_look_alike_are_the_same(curator: FlaskClient, stored: str, sent: str, city: str | None) -> None:
    """A name in any alphabet that differs in case, width or form is refused, also if the rest of the key is null.

    The control: another city may have an organization of that name.
    """
    first, second = ({**ORGANIZATION, "city": city, "id": f"zz-{n}", "name": name} for n, name in enumerate((stored, sent)))
    assert curator.post("/organizations", json=first).status_code == 201
    status, _, (item,) = brief(curator.post("/organizations", json=second))
    assert (status, item["code"], item["records"]) == (409, "not-unique", [{"kind": "organizations", "id": "zz-0"}])
    assert curator.post("/organizations", json={**second, "city": "seattle-wa"}).status_code == 201
    status, _, (item,) = brief(curator.patch("/organizations/zz-1", json={"city": city}, headers=ANY))
    assert (status, item["code"]) == (409, "not-unique")


NAMES = st.text(st.sampled_from("aAbBßẞkK\u212a\uff4bé "), min_size=1, max_size=3)


def canonical(text: str) -> str | None:
    """Return the name that is stored for a text; None if it is refused."""
    try:
        return names.canonical(text)
    except ValueError:
        return None


@given(texts=st.lists(NAMES, min_size=2, max_size=5))
@limits(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changeset_with_names(curator: FlaskClient, texts: list[str]) -> None:
    """Whatever their alphabet, records of one changeset are accepted exactly if no two names have the same key."""
    called = [name for text in texts if (name := canonical(text))]
    rows: list[dict[str, Any]] = [
        {"op": "create", "kind": "organizations", "document": {**ORGANIZATION, "id": f"zz-{n}", "name": name}}
        for n, name in enumerate(called)
    ]
    if rows:
        answer = curator.post("/changesets?dry_run=true", json={"operations": rows})
        assert answer.status_code == (200 if len(set(map(names.key, called))) == len(called) else 409)


def test_a_new_name_is_not_compared_with_all_others(curator: FlaskClient) -> None:
    """The statements of a new initiative are the same for the first one of a city and for one after 300 others."""
    document = {"city": "boston-ma", "summary": None}
    numbers = []
    for count in (0, 300):
        rows = [
            {"op": "create", "kind": "initiatives", "document": {**document, "id": f"zz-{n}", "title": f"Title {n}"}}
            for n in range(count)
        ]
        assert not rows or curator.post("/changesets", json={"operations": rows}).status_code == 200
        served: Database = curator.application.extensions["database"]
        body = {**document, "id": f"zz-one-{count}", "title": f"One {count}"}
        with counted(served) as executed:
            assert curator.post("/initiatives", json=body).status_code == 201
        numbers.append(len(executed))
    assert numbers[0] == numbers[1] <= 10
