"""Queries that must find a text, and queries that must not, on both databases."""

from pathlib import Path

import pytest
import yaml

from api.db.database import Database
from api.ledger.index import fulltext, words
from api.ledger.index.engine import Nouns
from api.ledger.index.entries import IndexEntry
from api.resources.initiatives import initiatives
from api.schema.canonical import Content

PAIRS = [
    (claim, str(query), text, side == "match")
    for claim, sides in yaml.safe_load(Path(__file__).with_name("pairs.yaml").read_text()).items()
    for side, pairs in sides.items()
    for query, text in pairs
]
# What was typed, and a name that it completes to or not.
COMPLETIONS = [
    ("wifi", "Wi-Fi", True),
    ("wi-f", "Wi-Fi", True),
    ("wi-f", "Wifi", True),
    ("alen", "Coeur d'Alene", True),
    ("ohar", "O\u00b4Hare", True),
    ("st", "Saint Paul", True),
    ("st", "Stockton", True),
    ("saint p", "St. Paul", True),
    ("st. p", "Saint Paul", True),
    ("moun", "Mt. Vernon", True),
    ("東京", "東京都", True),
    ("lod", "Łódź", True),
    ("911", "9-1-1 center", True),
    ("st s", "Main St Station", True),
    ("main st", "Main St.", True),
    ("wifi-e", "Wi-Fi-enabled", True),
    ("sain", "Stockton", False),
    ("sain", "Main St.", False),
    ("fi-wi", "Wifi", False),
    ("lene", "Coeur d'Alene", False),
]


def content(title: str) -> Content:
    """Return a document with a title."""
    return {"title": title, "summary": None, "aliases": []}


def found(database: Database, lookups: list[fulltext.Lookup], titles: list[str]) -> list[set[int]]:
    """Return for each lookup the places of the titles that it finds; the index is left as it was."""
    with database.writing() as session:
        engine = fulltext.engine_of(session)
        engine.clear(session)
        fulltext.replace(session, initiatives, [], {n: content(title) for n, title in enumerate(titles)})
        answers = [set(session.scalars(engine.versions(lookup.condition()))) for lookup in lookups]
        session.rollback()
    return answers


def test_pairs(database: Database) -> None:
    """Each query of the table finds its text, or does not, in the index of words and in the sets of words."""
    dialect, nouns = database.engine.dialect.name, Nouns((initiatives.name,))
    searches = [words.parse(query) for _, query, _, _ in PAIRS]
    lookups = [fulltext.matching(fulltext.term_query(search), nouns, dialect) for search in searches]
    answers = found(database, lookups, [text for _, _, text, _ in PAIRS])
    assert [pair for n, pair in enumerate(PAIRS) if (n in answers[n]) != pair[3]] == []
    for search, (claim, query, text, matches) in zip(searches, PAIRS, strict=True):
        if search.is_of_words:
            stems = IndexEntry.of(initiatives, content(text)).words
            wanted, unwanted = ({form[0][0] for form in forms} for forms in (search.positive, search.negative))
            assert (wanted <= stems and not unwanted & stems) == matches, (claim, query, text)


def test_completions(database: Database) -> None:
    """A typed text completes a name in each of its spellings."""
    dialect, nouns = database.engine.dialect.name, Nouns((initiatives.name,))
    lookups = [fulltext.prefixed(typed, nouns, dialect) for typed, _, _ in COMPLETIONS]
    answers = found(database, lookups, [name for _, name, _ in COMPLETIONS])
    assert [row for n, row in enumerate(COMPLETIONS) if (n in answers[n]) != row[2]] == []


@pytest.mark.parametrize("dialect", fulltext.ENGINES)
def test_forms_in_a_query(dialect: str) -> None:
    """Only a compound or an abbreviation has a second form: any other query is as short as it was."""
    query = fulltext.term_query(words.parse("open data"))
    (text, *more) = fulltext.matching(query, Nouns((initiatives.name,)), dialect).texts
    assert not any("OR" in part or "|" in part for part in (text, *more))
