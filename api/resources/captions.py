"""What records are called whose name does not tell them apart: editions of a survey, and awards, which have none."""

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


def _ordinal(number: int) -> str:
    """Return the place in an order that a number stands for: `1st`, `12th`, `23rd`."""
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
