"""The pages of changesets: the form that filters their list, its conditions in words, and what a changeset did."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from api.html.addresses import Address
from api.html.lists import Chip, Choice
from api.html.texts import day_of, minute_of, number
from api.ledger.changesets import Effect
from api.resources import RESOURCES
from api.schema.choices import label_of
from api.schema.fields import instant
from api.schema.operators import TYPES, split

# What a changeset did to records, in the order in which pages tell it, with a sentence where the word does not say enough.
EFFECTS = {
    Effect.CREATED: "",
    Effect.UPDATED: "",
    Effect.DELETED: "",
    Effect.ERASED: "Their former documents were deleted for good.",
    Effect.DERIVED: "These changed only because records that they depend on did.",
}
# The filters in words. Forms have days, which begin and end in UTC.
CONDITIONS = {
    "author": "by {}",
    "kinds": "that changed {}",
    "committed_at__gt": "after {}",
    "committed_at__gte": "since {}",
    "committed_at__lt": "before {}",
    "committed_at__lte": "until {}",
    "import_id": "of the import {}",
}
DAYS = {"committed_at__gt": "T23:59:59.999999Z", "committed_at__lte": "T23:59:59.999999Z"}
DAYS |= {"committed_at__gte": "T00:00:00Z", "committed_at__lt": "T00:00:00Z"}


def written(name: str, value: str) -> str:
    """Return a value that a form sent as programs write it: a day as a time."""
    return value + DAYS[name] if name in DAYS and re.fullmatch(r"\d{4}-\d\d-\d\d", value) else value


def form(address: Address) -> Sequence[Choice]:
    """Return the fields of the form."""
    given = dict(address.arguments)
    nouns = [(noun.name, label_of(noun.name)) for noun in RESOURCES]
    kinds = given.get("kinds", "")
    if kinds and kinds not in dict(nouns):
        nouns.append((kinds, _nouns(kinds)))
    days = [("committed_at__gte", "From day (UTC)"), ("committed_at__lte", "To day (UTC)")]
    return [
        Choice("author", "Who", given.get("author", ""), choices=False),
        Choice("kinds", "Records", kinds, nouns),
        *(Choice(name, label, given.get(name, "")[:10], choices=False, type="date") for name, label in days),
        Choice("import_id", "Import", given.get("import_id", ""), choices=False),
    ]


def chips(address: Address) -> Iterator[Chip]:
    """Yield the conditions of the list in words."""
    for name, value in address.arguments:
        if name in CONDITIONS:
            said = _time(name, value) if name in DAYS else _nouns(value) if name == "kinds" else value
            yield Chip(CONDITIONS[name].format(said), str(address.without(name, "cursor")))


def _nouns(text: str) -> str:
    return " or ".join(split(text))


def _time(name: str, value: str) -> str:
    moment = instant(TYPES["instant"].read(value))
    return day_of(moment) if value.endswith(DAYS[name]) else minute_of(moment)


def counted(effects: Iterable[Effect]) -> str:
    """Return the number of records by what was done to them, such as `3 created, 1 updated`."""
    counts = Counter(effects)
    return ", ".join(f"{number(counts[effect])} {effect}" for effect in EFFECTS if counts[effect])
