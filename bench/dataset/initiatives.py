"""Random initiatives: the same ones for the same number, because every choice comes from one seeded generator."""

import itertools
import random

from api.schema.canonical import Content
from bench.dataset.vocabulary import (
    COMMON,
    KINDS,
    METRICS,
    QUALIFIERS,
    ROLES,
    STATUSES,
    WeightedChoice,
    invented_words,
    slug,
    zipf,
)
from bench.dataset.world import References

HAS_PARENT = 0.03


class InitiativeGenerator:
    """Makes the documents of initiatives, year by year, without `version` and `updated_at`."""

    def __init__(self, references: References, chance: random.Random) -> None:
        """Prepare the weighted choices."""
        self.references, self.chance = references, chance
        self.words = WeightedChoice(zipf([*COMMON.split(), *invented_words(5_000)], shift=4), chance)
        self.statuses, self.roles, self.qualifiers = (WeightedChoice(w, chance) for w in (STATUSES, ROLES, QUALIFIERS))
        self.ids: set[str] = set()
        self.newest: dict[str, str] = {}

    def year(self, year: int, count: int) -> list[Content]:
        """Return `count` initiatives ordered by id, as one publication orders them."""
        return sorted((self._initiative(year) for _ in range(count)), key=lambda content: str(content["id"]))

    def _initiative(self, year: int) -> Content:
        chance, references = self.chance, self.references
        city = references.cities[references.states.one()].one()
        title, id = self._title(city)
        award = references.awards.get((city, year))
        parent = self.newest.get(city) if chance.random() < HAS_PARENT else None
        self.newest[city] = id
        draw = chance.random()
        return {
            "id": id,
            # Nothing is cited.
            "attributions": [],
            "basis": {},
            "city": city,
            "title": title,
            "summary": " ".join(self.words.some(chance.randint(10, 25))).capitalize() + ".",
            "status": self.statuses.one(),
            "evolving": None,
            "started": None if draw < 1 / 3 else str(year) if draw < 1 / 2 else f"{year}-{chance.randint(1, 12):02}",
            "parent": parent,
            "awards": [award] if award and chance.random() < 1 / 2 else [],
            "priorities": list(dict.fromkeys(references.priorities.some(chance.randint(1, 3)))),
            "partners": [
                {"organization": organization, "role": self.roles.one()}
                for organization in dict.fromkeys(references.organizations.some(chance.randint(0, 2)))
            ],
            "metrics": [self._metric(name, year) for name in chance.sample(list(METRICS), chance.randint(0, 2))],
            "aliases": [],
            "incomplete": [],
        }

    def _title(self, city: str) -> tuple[str, str]:
        """Return a title that is new in its city, and the id made from it."""
        title = " ".join(dict.fromkeys(self.words.some(self.chance.randint(2, 6)))).capitalize()
        tries = itertools.chain([title], (f"{title} {number}" for number in itertools.count(2)))
        title, id = next((text, id) for text in tries if (id := f"{city}-{slug(text)}".strip("-")) not in self.ids)
        self.ids.add(id)
        return title, id

    def _metric(self, name: str, year: int) -> Content:
        unit, chance = METRICS[name], self.chance
        value = chance.randint(1, 200) / 2 if unit == "percent" else int(10 ** chance.uniform(1, 7))
        return {
            "name": name,
            "kind": KINDS.get(unit, "count"),
            "value": int(value) if value == int(value) else value,
            "unit": unit,
            "qualifier": self.qualifiers.one(),
            "direction": None,
            "period": None,
            "as_of": str(year) if chance.random() < 1 / 2 else None,
        }
