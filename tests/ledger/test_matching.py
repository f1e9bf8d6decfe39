"""Names as people write them find their records, and similar ones are candidates."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger.index.matching import Candidate, Directory, Entry, key_of
from api.ledger.index.states import split_city
from api.resources import BY_NAME, RESOURCES

BOSTON = Candidate("boston-ma", "Boston, US, MA", 1.0, exact=True)


def match(session: Session, noun: str, text: str, hints: Mapping[str, Any] | None = None) -> list[Candidate]:
    """Return the records of a noun that a text can mean."""
    return Directory.of(session, BY_NAME[noun]).match(text, hints)


@pytest.mark.parametrize(
    "text", ["Boston", "boston ", "Boston, Mass.", "Boston (MA)", "BOSTON, Massachusetts", "Bostón MA", "boston ma"]
)
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


# Real names, each in five other spellings: errors, abbreviations, other spaces, and another order of the words.
MISSPELT = {
    "boston-ma": "Bostn|Botson|Bosston|Boston City|Bosten",
    "los-angeles-ca": "Los Angelas|LosAngeles|Los Angles|Angeles, Los|Las Angeles",
    "sacramento-ca": "Sacremento|Sacrmento|Sacramneto|City of Sacramento|Sacto",
    "san-diego-ca": "San Deigo|SanDiego|S. Diego|Sandiago|Diego, San",
    "san-jose-ca": "San José|San Jse|Snn Jose|S Jose|Jose San",
    "seattle-wa": "Seatle|Seattel|Seattlle|Saettle|City of Seattle",
    "amazon-web-services": "Amazon Web Svcs|Amazon Webservices|Amzon Web Services|Amazon Web Services, Inc.|Amazon Web Servces",
    "california-public-utilities-commission": "Calif. Public Utilities Comm.|California Public Utility Commission"
    "|Public Utilities Commission|CA Public Utilities Commission|Public Utilities Commission of California",
    "center-for-digital-government": "Centre for Digital Government|Center for Digital Govt|The Center for Digital Government"
    "|Digital Government Center|Ctr. for Digital Government",
    "e-republic": "eRepublic|E Republic|e-Republic|e.Repulic|e.Republic Inc.",
    "govai-coalition": "Gov AI Coalition|GovAI Coaltion|The GovAI Coalition|Government AI Coalition|GovAI Coalision",
    "industry-insider-california": "Industry Insider|Industry Insider - Calif.|Industy Insider California"
    "|Industry Insider (California)|California Industry Insider",
    "sacramento-ca-data-and-analytics-office": "Data & Analytics Office|Office of Data and Analytics|Data Analytics Office"
    "|Data and Analytics Ofc|Data and Analitics Office",
    "san-diego-ca-chief-information-officer": "San Diego CIO Office|Chief Information Officer, San Diego"
    "|San Diego Chief Info Officer|San Diego Cheif Information Officer|Chief Information Officer",
    "san-diego-ca-city-clerk": "San Diego Clerk|City Clerk of San Diego|San Diego City Clrek|City Clerk, San Diego|S.D. City Clerk",
    "san-jose-ca-city-government": "San Jose City|City of San José|City of Snn Jose|San Jose, City of|Ctiy of San Jose",
}


def test_misspelt_names(database: Database) -> None:
    """Of 80 other spellings of all cities and organizations, all but an abbreviation find their record first."""
    with database.reading() as session:
        directories = [Directory.of(session, BY_NAME[noun]) for noun in ("cities", "organizations")]
    missed = []
    for id, texts in MISSPELT.items():
        (directory,) = (one for one in directories if id in one.by_id)
        missed += [text for text in texts.split("|") if [row.id for row in directory.match(text)][:1] != [id]]
    assert missed == ["Sacto"]


@pytest.mark.parametrize("text", ["San Antonio", "Salem", "Oracle", "Office of the Mayor", "Police Department"])
def test_other_names_are_no_candidates(database: Database, text: str) -> None:
    """A name that only shares words or letters with a record finds nothing."""
    with database.reading() as session:
        assert [*match(session, "cities", text), *match(session, "organizations", text)] == []


def test_records_of_one_name_are_told_apart() -> None:
    """Without a hint, all records of a name are exact; a hint leaves one."""
    cities = Directory(BY_NAME["cities"])
    for state in ("OR", "ME"):
        cities.add(Entry(f"portland-{state.lower()}", ("Portland",), {"state": state, "country": "US"}))
    assert [row.id for row in cities.match("Portland")] == ["portland-or", "portland-me"]
    assert [row.id for row in cities.match("Portland, Maine")] == ["portland-me"]
    assert [row.id for row in cities.match("Portland", {"state": "OR"})] == ["portland-or"]
    assert cities.with_key({"name": "Portland", "state": "ME"}) == [cities.by_id["portland-me"]]


def test_signs_alone_are_names_as_they_are() -> None:
    """Of names without a letter or a digit only the same one is the same, and no such text is like a name with letters."""
    organizations = Directory(BY_NAME["organizations"])
    for id, name in (("chk", "!!!"), ("q", "?"), ("a", "A")):
        organizations.add(Entry(id, (name,), {"city": None}))
    assert [(row.id, row.exact) for row in organizations.match("!!!")] == [("chk", True)]
    assert [organizations.match(text) for text in (",", "", " ", "-")] == [[]] * 4


def test_namesakes_are_in_the_order_of_their_ids(database: Database) -> None:
    """The order does not depend on the database, nor on the times of writing."""
    with database.writing() as session:
        for id in ("portland-or", "portland-me"):
            state = id[-2:].upper()
            values = {"id": id, "state": state}
            session.execute(
                text("insert into cities (id, name, state, country) values (:id, 'Portland', :state, 'US')"), values
            )
        assert [row.id for row in match(session, "cities", "Portland")] == ["portland-me", "portland-or"]


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
        ("portland me", ("portland", "ME")),
        ("Portland me", ("Portland me", None)),
        ("kansas city", ("kansas city", None)),
    ],
)
def test_states_behind_cities(text: str, city: tuple[str, str | None]) -> None:
    """The state behind a city is read in all its spellings, and nothing else is taken for one."""
    assert split_city(text) == city
