"""Names as people write them find their records, and similar ones are candidates."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger.index.matching import Candidate, Directory, Entry, key_of
from api.ledger.index.states import split_city
from api.resources import BY_NAME, RESOURCES

BOSTON = Candidate("boston-ma", "Boston, US, MA", 1.0, exact=True)


def match(session: Session, noun: str, text: str, hints: Mapping[str, Any] | None = None) -> list[Candidate]:
    """Return the records of a noun that a text can mean."""
    return Directory.of(session, BY_NAME[noun]).match(text, hints)


@pytest.mark.parametrize("text", ["Boston", "boston ", "Boston, Mass.", "Boston (MA)", "BOSTON, Massachusetts", "Bostón MA"])
def test_a_city_is_found_by_name_and_state(database: Database, text: str) -> None:
    """Case, accents and the spelling of the state make no difference."""
    with database.reading() as session:
        assert match(session, "cities", text) == [BOSTON]


def test_aliases_are_names(database: Database) -> None:
    """An alias finds its record."""
    with database.reading() as session:
        assert [row.id for row in match(session, "cities", "LA")] == ["los-angeles-ca"]
        assert [row.id for row in match(session, "organizations", "aws")] == ["amazon-web-services"]


def test_similar_names_are_candidates(database: Database) -> None:
    """A typing error, or another state, is no match, but the record is a candidate, with its score below 1."""
    with database.reading() as session:
        for text in ("Bostn", "Boston, Texas"):
            (candidate,) = match(session, "cities", text)
            assert (candidate.id, candidate.exact, candidate.score < 1) == ("boston-ma", False, True)
        assert match(session, "cities", "Springfield") == []
        assert match(session, "cities", "Boston", {"state": "TX"})[0].exact is False


def test_records_of_one_name_are_told_apart() -> None:
    """Without a hint, all records of a name are exact; a hint leaves one."""
    cities = Directory(BY_NAME["cities"])
    for state in ("OR", "ME"):
        cities.add(Entry(f"portland-{state.lower()}", ("Portland",), {"state": state, "country": "US"}))
    assert [row.id for row in cities.match("Portland")] == ["portland-or", "portland-me"]
    assert [row.id for row in cities.match("Portland, Maine")] == ["portland-me"]
    assert [row.id for row in cities.match("Portland", {"state": "OR"})] == ["portland-or"]
    assert cities.with_key({"name": "Portland", "state": "ME"}) == [cities.by_id["portland-me"]]


def test_each_noun_has_a_key() -> None:
    """What tells records apart is read from the tables, so that a new noun has a key, too."""
    assert {noun.name: key_of(noun) for noun in RESOURCES if noun.name != "citations"} == {
        "surveys": ("name", "year"),
        "cities": ("country", "state", "name"),
        "awards": ("survey", "category", "city"),
        "initiatives": ("city", "title"),
        "priorities": ("name",),
        "organizations": ("name", "city"),
        "sources": ("label",),
    }


@pytest.mark.parametrize(
    ("text", "city"),
    [
        ("St. Paul, Minn.", ("St. Paul", "MN")),
        ("Washington, D.C.", ("Washington", "DC")),
        ("Winston-Salem, N.C.", ("Winston-Salem", "NC")),
        ("Kansas City", ("Kansas City", None)),
        ("Oklahoma City, Okla.", ("Oklahoma City", "OK")),
        ("Paris, France", ("Paris, France", None)),
    ],
)
def test_states_behind_cities(text: str, city: tuple[str, str | None]) -> None:
    """The state behind a city is read in all its spellings, and nothing else is taken for one."""
    assert split_city(text) == city
