"""Ids of records that a file has none for: one rule for each noun."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.ledger.index.folding import fold
from api.schema.canonical import Content

# Characters of an id that is made, so that a title of many words does not make one that nobody can read.
MOST = 100


def slug(text: str) -> str:
    """Return a text as part of an id: lower-case ASCII letters and digits, with hyphens between words."""
    return "-".join(re.findall("[a-z0-9]+", fold(text).replace("'", "").replace("-", " ")))


def _place(content: Content) -> Sequence[Any]:
    if content.get("paragraph") is not None:
        return f"p{content['paragraph']}", f"s{content.get('sentence')}"
    locator = content.get("locator") or {}
    return locator.get("record"), locator.get("column")


# The values that each noun's ids are made of; one of them that is missing makes no id.
RULES: Mapping[str, Callable[[Content], Sequence[Any]]] = {
    "surveys": lambda c: (c.get("name"), c.get("year")),
    "cities": lambda c: (c.get("name"), c.get("state") or c.get("country")),
    "awards": lambda c: (c.get("survey"), c.get("city")),
    "initiatives": lambda c: (c.get("city"), c.get("title")),
    "priorities": lambda c: (c.get("name"),),
    "organizations": lambda c: (*([c["city"]] if c.get("city") else []), c.get("name")),
    "sources": lambda c: (c.get("label"),),
    "citations": lambda c: (c.get("subject_kind"), c.get("subject_id"), c.get("field"), *_place(c)),
}


def made(noun: str, content: Content) -> str | None:
    """Return the id of a record by the rule of its noun; None if a value for it is missing."""
    values = [None if value is None else slug(str(value)) for value in RULES[noun](content)]
    if not values or not all(values):
        return None
    id = "-".join(str(value) for value in values)
    return id if len(id) <= MOST else id[: MOST + 1].rpartition("-")[0]
