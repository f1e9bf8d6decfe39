"""The records that initiatives refer to: cities, priorities, organizations, and the awards of 25 surveys."""

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from api.db.database import Database
from api.db.types import Base
from api.ledger import publish
from api.resources.awards import Award
from api.resources.cities import City
from api.resources.organizations import Organization, OrganizationType
from api.resources.priorities import Priority
from api.resources.surveys import Survey, SurveyCategory, SurveyPriority, SurveyState
from bench.dataset.vocabulary import (
    CATEGORIES,
    ENDINGS,
    MORE_PRIORITIES,
    STATES,
    STEMS,
    WeightedChoice,
    invented_words,
    slug,
    zipf,
)

YEARS = range(2000, 2025)
CITIES, ORGANIZATIONS, PLACES = 1_000, 300, 10


@dataclass(frozen=True)
class References:
    """The ids that initiatives can refer to: cities by state, awards by city and year, priorities and organizations."""

    cities: Mapping[str, WeightedChoice]
    states: WeightedChoice
    awards: Mapping[tuple[str, int], str]
    priorities: WeightedChoice
    organizations: WeightedChoice


def populate(database: Database, size: int, chance: random.Random) -> References:
    """Write and publish the records that `size` initiatives refer to; return their ids."""
    states = {entry[:2]: float(entry[2:]) for entry in STATES.split()}
    further = WeightedChoice(states, chance).some(min(CITIES, max(len(states), size // 10)) - len(states))
    cities = [row for state, count in Counter([*states, *further]).items() for row in _cities(state, count, chance)]
    priorities = [
        {"id": slug(name), "name": name, "description": f"Work on {name.lower()}."} for name in MORE_PRIORITIES.split(", ")
    ]
    types = WeightedChoice(zipf([type.value for type in OrganizationType if type is not OrganizationType.CITY_OFFICE]), chance)
    organizations = [
        {"id": slug(name), "name": f"{name.title()} Systems", "type": types.one()} for name in invented_words(ORGANIZATIONS)
    ]
    with database.writing() as session:
        seeded = list(session.scalars(select(SurveyPriority.priority_id).order_by(SurveyPriority.listed)))
        ranked = [*seeded, *(row["id"] for row in priorities)]
        rows = list(_surveys(cities, ranked, organizations[0]["id"], chance))
        session.execute(insert(City), cities)
        session.execute(insert(Priority), priorities)
        session.execute(insert(Organization), organizations)
        for model in (Survey, SurveyState, SurveyCategory, SurveyPriority, Award):
            session.execute(insert(model), [row for row_model, row in rows if row_model is model])
        publish.publish(session, reason="generated")
    by_state = defaultdict(list)
    for city in cities:
        by_state[city["state"]].append(city["id"])
    awards = [row for model, row in rows if model is Award]
    return References(
        cities={state: WeightedChoice(zipf(ids, shift=2), chance) for state, ids in by_state.items()},
        states=WeightedChoice(states, chance),
        awards={(row["city_id"], int(row["survey_id"][-4:])): row["id"] for row in awards},
        priorities=WeightedChoice(zipf(ranked, shift=2), chance),
        organizations=WeightedChoice(zipf([row["id"] for row in organizations]), chance),
    )


def _cities(state: str, count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    for stem, ending in chance.sample(list(itertools.product(STEMS.split(), ENDINGS.split())), count):
        name = stem + ending
        yield {"id": f"{slug(name)}-{state.lower()}", "name": name, "state": state, "country": "US"}


def _surveys(
    cities: Sequence[Mapping[str, Any]], priorities: Sequence[str], conductor: str, chance: random.Random
) -> Iterator[tuple[type[Base], dict[str, Any]]]:
    """Yield the rows of a survey of every year, with its parts and awards: (model, row)."""
    for year in YEARS:
        id = f"city-technology-{year}"
        ranked = chance.sample(priorities, 10)
        recognized: Counter[str] = Counter()
        for position, (category, low) in enumerate(CATEGORIES):
            # A city stays in its category.
            candidates = cities[position :: len(CATEGORIES)]
            yield (
                SurveyCategory,
                {"survey_id": id, "category": category, "position": position, "name": category, "min_population": low},
            )
            for rank, city in enumerate(chance.sample(candidates, min(PLACES, len(candidates))), 1):
                recognized[city["state"]] += 1
                placing = {"survey_id": id, "category": category, "city_id": city["id"], "rank": rank, "tied": False}
                yield Award, {"id": f"{id}-{city['id']}", **placing}
        yield (
            Survey,
            {
                "id": id,
                "name": "City Technology Survey",
                "year": year,
                "conducted_by_id": conductor,
                "cities_recognized": recognized.total(),
            },
        )
        for state, count in recognized.items():
            yield SurveyState, {"survey_id": id, "state": state, "cities_recognized": count}
        for listed, priority in enumerate(ranked, 1):
            yield SurveyPriority, {"survey_id": id, "priority_id": priority, "listed": listed}
