"""The links of facets: from a list that conditions on related records narrow, and from a search by a body."""

import json
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.answers import Json
from tests.support.lengths import Sample
from tests.support.worlds import BASE, Place


def values(answer: Json, name: str) -> list[Json]:
    """Return the values of a facet."""
    rows: list[Json] = answer["facets"][name]["values"]
    return rows


def ids(answer: Json) -> list[str]:
    """Return the ids of a page."""
    return [row["id"] for row in answer["data"]]


@pytest.mark.parametrize(
    "narrowed",
    [
        "award.rank=1&award.category={0}",
        'filter={{"award.rank":[1],"award.category":["{0}"]}}',
        'award.rank=1&filter={{"award.category":["{0}"]}}',
        'award.category={0},{1}&filter={{"award.category":["{0}"]}}',
        'filter={{"and":[{{"award.category":["{0}"]}},{{"award.category":["{1}"]}}]}}',
    ],
)
def test_links_of_a_selected_value(places: list[Place], sample: Sample, narrowed: str) -> None:
    """To add a selected value keeps the list, and to remove it keeps the others with what else is asked of their award."""
    for place in sample(places, 2):
        keys = sorted({row["category"] for row in place.world.all("awards") if row["category"]})
        for pair in sample([*pairwise(keys)], 3):
            list_ = place.ask(f"/cities?{narrowed.format(*pair)}&facets=award.category&limit=500")
            chosen = [row for row in values(list_, "award.category") if row["selected"]]
            assert {row["value"] for row in chosen} <= {*pair}
            assert chosen
            assert [ids(place.ask(row["add"])) for row in chosen] == [ids(list_)] * len(chosen)


def test_a_condition_changes_in_its_place(places: list[Place], sample: Sample) -> None:
    """Another value joins a selected one where this stands: a condition on the same award stays one on the same award."""
    for place in sample(places, 2):
        keys = sorted({row["category"] for row in place.world.all("awards") if row["category"]})
        both = {json.dumps({"award.rank": [1], "award.category": [key]}): key for key in keys}
        for expression, key in both.items():
            list_ = place.ask(f"/cities?filter={expression}&facets=award.category&limit=500")
            for row in values(list_, "award.category"):
                if not row["selected"] and row["value"] is not None:
                    wanted = {"award.rank": [1], "award.category": [key, row["value"]]}
                    assert ids(place.ask(row["add"])) == ids(place.ask(f"/cities?filter={json.dumps(wanted)}&limit=500"))


def follow(client: FlaskClient, address: str, body: Json) -> Json:
    """Return the answer to a link of a search, which is sent with the body of the search."""
    response = client.post(address.removeprefix(BASE), json=body)
    answer: Json = response.get_json()
    assert response.status_code == 200, answer
    return answer


@pytest.mark.parametrize(
    "body",
    [
        {"city.state": ["CA"], "status": ["in_operation", "completed"]},
        {"and": [{"status": ["in_operation", "completed"]}, {"not": {"priority": ["cybersecurity"]}}]},
        {"status__isnull": True},
    ],
)
@pytest.mark.parametrize("parameters", ["", "status=completed&"])
def test_links_of_a_search(client: FlaskClient, body: Json, parameters: str) -> None:
    """A search keeps its body: a facet chooses by parameters alone, and each link leads to the number that it states."""
    answer = follow(client, f"/initiatives/search?{parameters}facets=status&limit=0", body)
    rows = values(answer, "status")
    total = follow(client, "/initiatives/search?limit=0", body)["page"]["total"]
    assert sum(row["count"] for row in rows) == total > 0
    assert {row["value"] for row in rows if row["selected"]} == ({"completed"} if parameters else set())
    for row in rows:
        kept = {"completed"} if parameters and row["value"] is not None else set()
        added, removed = (follow(client, row[name], body) for name in ("add", "remove"))
        count = {each["value"]: each["count"] for each in rows}
        assert added["page"]["total"] == sum(count[value] for value in {row["value"], *kept})
        assert {each["value"] for each in values(added, "status") if each["selected"]} == {row["value"], *kept}
        rest = kept - {row["value"]} if row["value"] is not None else {*(["completed"] if parameters else [])}
        assert removed["page"]["total"] == (sum(count[value] for value in rest) if rest else total)


def test_a_facet_of_a_body(client: FlaskClient) -> None:
    """The body narrows a facet, too, so a value that it leaves out is not offered."""
    answer: dict[str, Any] = follow(client, "/initiatives/search?facets=status&limit=0", {"status": ["completed"]})
    assert [(row["value"], row["selected"]) for row in values(answer, "status")] == [("completed", False)]
