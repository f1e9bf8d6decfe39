"""What records are called whose name does not tell them apart, such as editions of a survey, and those without a name."""

from collections.abc import Mapping
from typing import Any

from api.schema.canonical import Content


def edition(document: Content) -> str:
    """Return the name and the year of an edition: `Digital Cities Survey 2024`."""
    return f"{document['name']} {document['year']}"


def award(document: Content, *, survey: Content, city: Content) -> str:
    """Return a placing in words: `2nd, Digital Cities Survey 2024, 500,000 or more population: Los Angeles, CA`."""
    rank, category = document["rank"], document["category"]
    placing = document["placement"] if rank is None else _ordinal(rank)
    categories = {row["category"]: row["name"] for row in survey["categories"]}
    winner = ", ".join(filter(None, [city["name"], city["state"]]))
    return f"{placing}, {edition(survey)}, {categories.get(category, category)}: {winner}"


def place(citation: Mapping[str, Any]) -> str:
    """Return where a source has what supports a fact: `paragraph 10, sentence 2`."""
    if citation["paragraph"] is not None:
        return f"paragraph {citation['paragraph']}, sentence {citation['sentence']}"
    locator = citation["locator"] or {}
    return f"record {locator.get('record')}, column {locator.get('column')}"


def citation(document: Content, *, source: Content) -> str:
    """Return the place that supports a fact, and its source: `Paragraph 10, sentence 2 of Article on California cities`."""
    where = place(document)
    return f"{where[0].upper()}{where[1:]} of {source['label']}"


def _ordinal(number: int) -> str:
    """Return the place in an order that a number stands for: `1st`, `12th`, `23rd`."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
