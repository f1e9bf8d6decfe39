"""Differences in words: two documents of a noun, member by member, in the order and the words of its pages."""

from typing import Any

import pytest

from api.html.differences import differences
from api.html.values import Reader
from api.resources import BY_NAME
from api.schema.resource import Resource
from tests.support.markup import Page
from tests.support.records import nouns

NAMES = {
    ("priorities", "cybersecurity"): "Cybersecurity",
    ("priorities", "broadband"): "Broadband",
    ("cities", "boston-ma"): "Boston",
    ("cities", "el-paso-tx"): "El Paso",
}
GRANT = {"name": "Grant", "kind": "money", "value": 38_700_000, "unit": "USD", "qualifier": None, "direction": None}
GRANT |= {"period": None, "as_of": "2024-07"}
CATEGORY = {"category": "500000-or-more", "name": "500,000 or more", "min_population": 500_000, "max_population": None}
CATEGORY |= {"also_competing": ["boston-ma"]}
CITATION = {"subject_kind": "cities", "subject_id": "boston-ma", "basis": "stated", "field": "/name"}


def said(noun: str, before: Any, after: Any) -> dict[str, str]:
    """Return the differences of two documents as texts."""
    rows = differences(Reader(NAMES), BY_NAME[noun], before, after)
    return {row.label: " ".join(Page(str(row.said)).text.split()) for row in rows}


@pytest.mark.parametrize(
    ("noun", "before", "after", "words"),
    [
        ("awards", {"rank": 3}, {"rank": 2}, {"Rank": "from 3 to 2"}),
        ("awards", {"rank": None}, {"rank": 2}, {"Rank": "set to 2"}),
        ("awards", {"rank": 3}, {"rank": None}, {"Rank": "no longer known, before: 3"}),
        ("awards", {"tied": False}, {"tied": True}, {"Tied": "from No to Yes"}),
        ("awards", {"city": "el-paso-tx"}, {"city": "boston-ma"}, {"City": "from El Paso to Boston"}),
        ("awards", {"rank": 3, "version": 1, "updated_at": "a"}, {"rank": 3, "version": 2, "updated_at": "b"}, {}),
        ("initiatives", {"started": "2023"}, {"started": "2024-07?"}, {"Started": "from 2023 to July 2024 (uncertain)"}),
        ("initiatives", {"status": "draft"}, {"status": "in_operation"}, {"Status": "from Draft to In operation"}),
        (
            "initiatives",
            {"priorities": ["broadband"]},
            {"priorities": ["cybersecurity"]},
            {"Priorities": "added Cybersecurity, removed Broadband"},
        ),
        (
            "initiatives",
            {"aliases": ["A", "B"], "priorities": None},
            {"aliases": ["A", "B", "C", "D", "E"], "priorities": ["broadband"]},
            {"Priorities": "added Broadband", "Aliases": "added C, D and E"},
        ),
        ("initiatives", {"aliases": ["A", "B"]}, {"aliases": ["B", "A"]}, {"Aliases": "now in this order: B and A"}),
        (
            "initiatives",
            {"metrics": [GRANT]},
            {"metrics": [GRANT | {"value": 40_000_000, "qualifier": "about"}]},
            {"Metrics": "Grant: from $38.7 million (as of July 2024) to about $40 million (as of July 2024)"},
        ),
        (
            "cities",
            {"identifiers": [{"scheme": "geonames", "value": "1"}]},
            {"identifiers": [{"scheme": "gnis", "value": "2"}, {"scheme": "viaf", "value": "3"}]},
            {"Identifiers": "added gnis, 2; viaf, 3; removed geonames, 1"},
        ),
        (
            "initiatives",
            {"metrics": [GRANT, GRANT | {"name": "Fee"}]},
            {"metrics": [GRANT]},
            {"Metrics": "removed Fee: $38.7 million (as of July 2024)"},
        ),
        (
            "surveys",
            {"categories": [CATEGORY]},
            {"categories": [CATEGORY | {"min_population": 400_000, "also_competing": ["boston-ma", "el-paso-tx"]}]},
            {"Categories": "500,000 or more: min population from 500,000 to 400,000, also competing added El Paso"},
        ),
        ("cities", {"summary": "By the blue sea."}, {"summary": "By the calm sea."}, {"Summary": "By the blue calm sea."}),
        ("cities", {"summary": "By the sea."}, {"summary": "In hills."}, {"Summary": "from By the sea. to In hills."}),
        (
            "cities",
            {"location": {"latitude": 1, "longitude": 2}},
            {"location": {"latitude": 1.5, "longitude": 2}},
            {"Location": "from 1, 2 to 1.5, 2"},
        ),
        (
            "cities",
            {"basis": {"/name": "inferred", "/state": "editorial"}},
            {"basis": {"/name": "editorial", "/summary": "inferred"}},
            {
                "How it is known": "Name: from inferred to editorial; State: no longer editorial; Summary: now inferred",
            },
        ),
        (
            "citations",
            CITATION,
            CITATION | {"subject_id": "el-paso-tx", "basis": "inferred", "field": "/aliases/0"},
            {
                "About": "from Boston to El Paso",
                "Fact": "from Name to Aliases, number 1",
                "How it is known": "from Stated to Inferred",
            },
        ),
    ],
)
def test_differences(noun: str, before: Any, after: Any, words: dict[str, str]) -> None:
    """Values, references, dates, figures, texts, lists and objects are compared in the words of a record's page."""
    assert said(noun, before, after) == words


def test_words_of_a_text() -> None:
    """Of a text, the words that went and those that came are marked, and everything is escaped."""
    (row,) = differences(Reader({}), BY_NAME["cities"], {"summary": "A <b>blue</b> sea of it"}, {"summary": "A <i> sea of it"})
    assert str(row.said).strip() == "A <del>&lt;b&gt;blue&lt;/b&gt;</del> <ins>&lt;i&gt;</ins> sea of it"


@pytest.mark.parametrize("before", [{}, None])
def test_records_that_come_and_go(before: Any) -> None:
    """A record that is new, or gone, has each of its facts, and nothing that is empty or that others decide."""
    record: Any = {"id": "a", "name": "A", "state": "TX", "summary": None, "aliases": [], "basis": {"/name": "inferred"}}
    assert said("cities", before, record) == said("cities", record, before) == {"Name": "A", "State": "TX"}


@pytest.mark.parametrize("other", ["text", 7, [7], ["a"], [{"a": 1}], {"a": 1}, True])
@nouns
def test_shapes_of_former_releases(resource: Resource, other: Any) -> None:
    """Whatever shape a former release gave to a member, also to one that is no more, it has words."""
    before = dict.fromkeys([*resource.members, "former"], other)
    after = dict.fromkeys(before)
    for sides in ((before, after), (after, before)):
        rows = [*differences(Reader({}), resource, *sides)]
        assert len(rows) == len({*before} - {"version", "updated_at"})
