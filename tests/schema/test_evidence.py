"""Evidence: which facts of a record need a citation, and which have none."""

import pytest

from api.resources import BY_NAME, RESOURCES
from api.schema.evidence import uncited, unjudged
from api.schema.resource import Resource

SURVEY = {
    "id": "a-1",
    "name": "A",
    "cities_recognized": 0,
    "summary": None,
    "states": [],
    "categories": [{"name": "C", "min_population": 0, "max_population": None}, {"name": "D"}],
}


@pytest.mark.parametrize(
    ("cited", "expected"),
    [
        ([], ["/name", "/cities_recognized", "/categories"]),
        (["/name", "/cities_recognized", "/categories"], []),
        (["/name", "/cities_recognized", "/categories/0"], ["/categories/1"]),
        (["/name", "/cities_recognized", "/categories/0/name", "/categories/1"], ["/categories/0/min_population"]),
        (["/name", "/cities_recognized", "/categories/0", "/categories/10", "/id"], ["/categories/1"]),
    ],
)
def test_uncited(cited: list[str], expected: list[str]) -> None:
    """Zero is a fact, and null, empty lists and ids are none; a citation covers what is in its list or object, and no more."""
    assert list(uncited(BY_NAME["surveys"], SURVEY, cited)) == expected


def test_unjudged() -> None:
    """Each item of a judged list needs a citation of its own, and a list that is not judged does not."""
    content = {"priorities": ["a", "b"]}
    assert list(unjudged(BY_NAME["initiatives"], content, ["/priorities", "/priorities/1"])) == ["/priorities/0"]
    assert list(unjudged(BY_NAME["surveys"], content, [])) == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_declared_members_are_facts(resource: Resource) -> None:
    """The members that a noun declares about citations are members that curators set."""
    assert {*resource.unsourced, *resource.judged} <= set(resource.facts)
