"""Full text: both databases have the same words, the index follows the ledger, and searches match a plain scan."""

import json
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from alembic import command
from hypothesis import HealthCheck, example, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from snowballstemmer.english_stemmer import EnglishStemmer
from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import models, publish, rebuild
from api.ledger.index import entries, fulltext, words
from api.ledger.index.engine import Nouns
from api.ledger.index.words import MAX_WORDS, Forms, Search, TooManyWords
from api.ledger.models import CURRENT, Revision
from api.ledger.verify import verify
from api.resources import RESOURCES
from api.resources.cities import cities
from api.resources.initiatives import initiatives
from api.settings import Settings
from tests.support.applications import serving
from tests.support.databases import SQLITE_FIRST, Store, config, opened, publishing, upgrade
from tests.support.lengths import examples, few

INSERT = "insert into priorities (id, name, description) values (:id, :name, :description)"


def ids(session: Session, versions: Select[int]) -> list[str]:
    """Return the ids of the records of some versions."""
    return list(session.scalars(select(Revision.id).where(Revision.version.in_(versions), *CURRENT).order_by(Revision.id)))


NAMES_OF_NOUNS = tuple(resource.name for resource in RESOURCES if resource.search)
NOUNS = Nouns(NAMES_OF_NOUNS, ())


def matching(session: Session, query: Search, kinds: Nouns = NOUNS) -> Select[int]:
    """Select the versions that a search finds."""
    engine = fulltext.engine_of(session)
    return engine.versions(fulltext.matching(fulltext.term_query(query), kinds, session.get_bind().dialect.name).condition())


def prefixed(session: Session, typed: str) -> Select[int]:
    """Select the versions that a text completes to."""
    return fulltext.engine_of(session).versions(fulltext.prefixed(typed, NOUNS, session.get_bind().dialect.name).condition())


def finds(database: Database, query: str) -> list[str]:
    """Return the ids of the records that a query finds."""
    with database.reading() as session:
        return ids(session, matching(session, words.parse(query)))


def complaints(database: Database) -> list[str]:
    """Return the lines of `verify`."""
    with database.reading() as session:
        return list(verify(session))


@pytest.fixture(scope="module")
def seeded(store: Store, migrated: Settings) -> Iterator[Database]:
    """A database that no test writes to."""
    with opened(store.copy(migrated)) as database:
        yield database


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("San José", ["san", "jose"]),
        ("Cafe\u0301 CAFÉ café", ["cafe"] * 3),
        ("city's city\u2019s cities citys", ["citi"] * 4),
        ("O'Fallon ofallon Hawai\u02bbi hawaii don't", ["o", "fallon", "ofallon", "hawai", "i", "hawaii", "dont"]),
        ("'quoted' James' ''", ["quot", "jame"]),
        ("24-hour, public_private", ["24", "hour", "public", "privat"]),
        ("ﬁber Straße ½ \uff21\uff29 İ", ["fiber", "strass", "1", "2", "ai", "i"]),
        ("東京 ΣΊΣΥΦΟΣ σίσυφος", ["東", "京", "σισυφοσ", "σισυφοσ"]),
        ("digi\u00adtal", ["digit"]),
        ("a\0b \ud800 \udfff!", ["a", "b"]),
        ("x" * 1000, ["x" * words.LETTERS]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Words are runs of letters and digits without case and accents, stemmed; a possessive equals its noun."""
    assert list(words.stems(text)) == expected


def phrases(*written: str) -> tuple[Forms, ...]:
    """Return phrases of words between spaces; a `|` is before their second form."""
    return tuple(tuple(tuple(form.split()) for form in phrase.split("|")) for phrase in written)


@pytest.mark.parametrize(
    ("query", "positive", "negative"),
    [
        ("", [], []),
        (' - "" -"" * () ', [], []),
        ("Cloud services", ["cloud", "servic"], []),
        ('"Cloud services" city', ["cloud servic", "citi"], []),
        ("“cloud services„ «a b» \uff02c d", ["cloud servic", "a b", "c d"], []),
        ('city "cloud services', ["citi", "cloud servic"], []),
        ('-cloud -"open data" x', ["x"], ["cloud", "open data"]),
        ('- cloud --data "a"-b', ["cloud", "a", "b"], ["data"]),
        ("24-hour -public-private", ["24 hour|24hour"], ["public privat|publicpriv"]),
        ("roads/bridges 38.7 2023-2024", ["road bridg", "38 7", "2023 2024"], []),
        ("San Diego's", ["san", "diego"], []),
        ("O'Hare's L.A. $1,234,567", ["o hare|ohar", "la", "1234567"], []),
        ("東京AI", ["東 京 ai"], []),
        ("a AND (b OR NOT c) NEAR/2 title:d* ^e\\", ["a", "and", "b", "or", "not", "c", "near 2", "titl d", "e"], []),
        ("a & b | !c <-> d:*", ["a", "b", "c", "d"], []),
        ("a\0 'b'';--", ["a", "b"], []),
    ],
)
def test_parse(query: str, positive: list[str], negative: list[str]) -> None:
    """A query has words, phrases in any kind of quotes, and terms excluded by a minus; everything else is text."""
    assert words.parse(query) == Search(phrases(*positive), phrases(*negative))


def test_too_many_words() -> None:
    """A query may have the maximum number of words; one more is refused, in any spelling."""
    many = " ".join(string.ascii_lowercase[:16]) + " "
    assert len(words.parse(many * 2).positive) == MAX_WORDS
    for query in (many * 2 + "x", f'"{many * 2}" -x', "x-" * MAX_WORDS + "x"):
        with pytest.raises(TooManyWords):
            words.parse(query)
    with pytest.raises(TooManyWords):
        fulltext.prefixed(many * 2 + "x", NOUNS, "sqlite")


def test_index_follows(database: Database) -> None:
    """Records inserted, changed or deleted by raw SQL are found in their published state only."""
    with database.engine.begin() as connection:
        connection.execute(text(INSERT), {"id": "zz", "name": "Zeppelin fleet", "description": "Über ships."})
    assert finds(database, "zeppelins") == []
    publish.sweep(database)
    assert finds(database, "zeppelins") == finds(database, '"fleets of" fleet') + finds(database, "uber ship") == ["zz"]
    with publishing(database) as session:
        session.execute(text("update priorities set name = 'Balloon fleet' where id = 'zz'"))
    assert (finds(database, "zeppelin"), finds(database, "balloon")) == ([], ["zz"])
    with pytest.raises(ZeroDivisionError), publishing(database) as session:  # noqa: PT012 - the block is what is tested
        session.execute(text("update priorities set name = 'Kite fleet' where id = 'zz'"))
        publish.publish(session)
        raise ZeroDivisionError
    assert (finds(database, "kite"), finds(database, "balloon")) == ([], ["zz"])
    with publishing(database) as session:
        session.execute(text("delete from priorities where id = 'zz'"))
    assert finds(database, "balloon") == []
    with publishing(database) as session:
        session.execute(text(INSERT), {"id": "zz", "name": "Kite", "description": "Again."})
    assert finds(database, "kite") == ["zz"]
    assert complaints(database) == []


def test_every_searched_field_is_found(seeded: Database) -> None:
    """Each noun's own texts, as a phrase of their first words, find their record."""
    with seeded.reading() as session:
        for resource in (resource for resource in RESOURCES if resource.search):
            current = select(Revision.id, Revision.document).where(Revision.kind == resource.name, *CURRENT)
            for id, document in session.execute(current):
                content = json.loads(document or "")
                for name in resource.search:
                    for said in entries.texts(content[name]):
                        query = words.parse(f'"{" ".join(words.words(said)[:8])}"')
                        assert not query.words or id in ids(session, matching(session, query, Nouns((resource.name,))))


def test_seeds(seeded: Database) -> None:
    """Words, phrases and exclusions find the article's facts; the databases' own operators are plain words."""
    assert finds(seeded, "HIGH speeds internet sacramento") == INTERNET
    everything = finds(seeded, "-zeppelin")
    with seeded.reading() as session:
        published = select(func.count()).select_from(Revision).where(Revision.kind.in_(NAMES_OF_NOUNS), *CURRENT)
        assert len(everything) == session.scalar(published)
    assert sorted(finds(seeded, "data") + finds(seeded, "-data")) == everything
    assert finds(seeded, "data -data") == finds(seeded, "") == finds(seeded, "data OR zeppelin") == []


TAMPERINGS = {
    "missing": (
        "delete from search_index where {key} = {version}",
        ["cities/boston-ma: not in the search index; run `flask --app wsgi ledger reindex`"],
    ),
    "stale": (
        "update search_index set {change} where {key} = {version}",
        ["cities/boston-ma: its words in the search index are not its document's; run `flask --app wsgi ledger reindex`"],
    ),
    "orphan": (
        "insert into search_index ({key}, {columns}) values (4000000000001, 'cities', 'zeppelin')",
        ["version 4000000000001: in the search index, but not current; run `flask --app wsgi ledger reindex`"],
    ),
}
INTERNET = ["sacramento-ca-high-speed-internet"]
NAMES = {
    "sqlite": {"key": "rowid", "columns": "noun, name", "change": "name = 'zeppelin'"},
    "postgresql": {"key": "version", "columns": "kind, vector", "change": "vector = setweight(vector, 'C')"},
}


@SQLITE_FIRST
@pytest.mark.parametrize("tampering", few(TAMPERINGS, "missing"))
def test_verify_finds(database: Database, tampering: str) -> None:
    """`verify` names missing, different and orphaned entries; `ledger reindex` repairs them."""
    statement, expected = TAMPERINGS[tampering]
    with database.engine.begin() as connection:
        version = connection.execute(select(Revision.version).where(Revision.id == "boston-ma", *CURRENT)).scalar_one()
        connection.execute(text(statement.format(version=version, **NAMES[connection.dialect.name])))
    assert complaints(database) == expected
    with database.writing() as session:
        amount = rebuild.reindex(session)
    assert complaints(database) == []
    assert len(finds(database, "-zeppelin")) == amount


@pytest.mark.parametrize(
    "statement",
    [
        "update search_index_content set c0 = 'zeppelin' where c0 = 'boston'",
        "update search_index_content set c0 = c0 || ' zeppelin' where c0 = 'boston'",
        "delete from search_index_content where c0 = 'boston'",
        "delete from search_index_data where id > 10",
    ][::2],
)
def test_torn_index(database: Database, statement: str) -> None:
    """`verify` finds any damage to FTS5's tables, and `ledger reindex` repairs it; SQL cannot damage PostgreSQL's index."""
    if database.engine.dialect.name == "postgresql":
        with database.reading() as session:
            assert not fulltext.engine_of(session).torn(session)
        return
    before = finds(database, "boston")
    assert before
    with database.engine.begin() as connection:
        connection.execute(text(statement))
    assert "the search index does not hold the words of its entries; run `flask --app wsgi ledger reindex`" in complaints(
        database
    )
    with database.writing() as session:
        rebuild.reindex(session)
    assert complaints(database) == []
    assert (finds(database, "boston"), finds(database, "zeppelin")) == (before, [])


@SQLITE_FIRST
def test_reindex_on_the_command_line(database: Database, settings: Settings) -> None:
    """`ledger reindex` says how many records it indexed, and `ledger verify` is content afterwards."""
    amount = len(finds(database, "-zeppelin"))
    with database.engine.begin() as connection:
        connection.execute(text("delete from search_index"))
    with serving(settings) as app:
        results = [app.test_cli_runner().invoke(args=["ledger", name]) for name in ("reindex", "verify")]
    assert [(result.exit_code, result.output) for result in results] == [
        (0, f"Records indexed: {amount}.\n"),
        (0, "The ledger and the tables agree.\n"),
    ]


@SQLITE_FIRST
def test_reindex_in_batches(database: Database) -> None:
    """A reindex of more records than one batch indexes all of them, and no deleted ones."""
    amount = models.BATCH * 2 + 1
    with publishing(database) as session:
        session.execute(
            text(INSERT), [{"id": f"zz-{n:05}", "name": f"Zeppelin {n}", "description": "x"} for n in range(amount)]
        )
    with publishing(database) as session:
        session.execute(text("delete from priorities where id = 'zz-00000'"))
    for _ in range(2):
        assert len(finds(database, "zeppelin")) == amount - 1
        assert complaints(database) == []
        with database.writing() as session:
            rebuild.reindex(session)


@pytest.mark.slow
@SQLITE_FIRST
def test_upgrade_fills_the_index(store: Store, migrated: Settings) -> None:
    """An upgrade from before the index builds it, with the changes since."""
    settings = store.copy(migrated)
    with opened(settings) as database:
        command.downgrade(config(database), "0002")
        with database.engine.begin() as connection:
            connection.execute(text(INSERT), [{"id": "zz-own", "name": "Zeppelins", "description": "x"}])
    upgrade(settings)
    with opened(settings) as database:
        assert complaints(database) == []
        assert finds(database, "zeppelin") == ["zz-own"]
        assert finds(database, "HIGH speeds internet sacramento") == INTERNET


LONG = {
    "one word": "word " * 50_000,
    "numbers": " ".join(f"{n}" for n in range(60_000)),
    "mathematics": " ".join(str(n) + "\U0001d4b2" * 500 for n in range(5_000)),
    "ligatures": "ﷺ" * 200_000,
    "one long word": "x" * 1_000_000,
    "tokyo": " ".join(f"{'東京都' * 33}{n}" for n in range(20_000)),
}


@SQLITE_FIRST
@pytest.mark.parametrize("name", few(LONG, "numbers"))
def test_long_texts(blank: Database, name: str) -> None:
    """Records with the longest titles and texts are indexed and found by their first words."""
    long = LONG[name]
    contents = {1: {"title": long, "summary": "Zeppelin " + long}}
    with blank.writing() as session:
        fulltext.replace(session, initiatives, [], contents)
        assert fulltext.faults(session, initiatives, contents) == {}
        query = words.parse(f'zeppelin "{" ".join(words.words(long)[:3])}"')
        assert ranked(session, query) == {1: 2}
        session.rollback()


def test_words_beyond_the_limits(database: Database) -> None:
    """Both databases know a word's first occurrences, and a text's first words, up to the same one."""
    many = ["word"] * words.OCCURRENCES + ["last", "word", "one"]
    with publishing(database) as session:
        values = {"id": "zz", "name": " ".join(many), "description": "x " * (words.BODY_WORDS - 1) + "zeppelin kite"}
        session.execute(text(INSERT), values)
    assert finds(database, '"word last"') == finds(database, "zeppelin") == ["zz"]
    assert finds(database, '"word one"') == finds(database, '"last word"') == finds(database, "kite") == []


# The corpora of the comparison: few words, so that they meet, in every dress that they can wear.
VOCABULARY = [
    "city",
    "Cities",
    "city\u2019s",
    "CAFÉ",
    "cafe\u0301",
    "東京",
    "24",
    "hour",
    "San",
    "Diego's",
    "o'Fallon",
    "ﬁber",
    "not",
    "½",
]
SEPARATORS = [" ", "  ", "-", ", ", " — ", "/", "\n", ". ", " & ", "_", "\u200b"]
PHRASES = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=3)


@st.composite
def texts(draw: st.DrawFn, most: int = 6) -> str:
    """Draw a text of words from the vocabulary."""
    words = draw(st.lists(st.sampled_from(VOCABULARY), max_size=most))
    return "".join(word + draw(st.sampled_from(SEPARATORS)) for word in words)


def opinion(text: str) -> list[list[str]]:
    """Split a text into words by another algorithm than `search`, first with compounds as parts, then as wholes."""
    plain = (
        "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c) and c != "\u200b")
        .casefold()
        .replace("\u2019", "'")
    )
    apart: list[str] = []
    joined: list[str] = []
    characters = "".join(c if c.isalnum() or c in "'-" else " " for c in plain.replace("東京", " 東 京 "))
    for run in characters.replace("--", " ").split():
        parts = [part for part in re.split(r"-|'(?!s\b)", run) if part]
        apart += parts
        whole = "".join(parts[:-1]).replace("'", "") + "".join(parts[-1:])
        joined += parts if all(map(str.isdecimal, parts)) else [whole]
    return [[EnglishStemmer().stemWord(word).replace("'", "") for word in words] for words in (apart, joined)]


@limits(max_examples=examples(500), deadline=None)
@given(start=st.text("aeilnosty'é\u0663", max_size=8), digit=st.sampled_from("0159\u0663"))
def test_a_word_that_ends_with_a_digit_is_its_own_stem(start: str, digit: str) -> None:
    """It is so by the stemmer, too, which is not asked."""
    word = start + digit
    assert words.stem(word) == str(EnglishStemmer().stemWord(word)).replace("'", "") == word.replace("'", "")


def holds(texts: list[list[str]], phrases: list[list[str]]) -> bool:
    """Tell whether a form of a text has the words of a form of a phrase side by side."""
    return any(
        words[start : start + len(phrase)] == phrase for words in texts for phrase in phrases for start in range(len(words))
    )


Term = tuple[bool, list[str]]
Text = dict[str, Any]


def written(terms: Iterable[Term]) -> str:
    """Write a query from terms; excluded terms get a minus."""
    return " ".join(("" if required else "-") + (f'"{" ".join(p)}"' if len(p) > 1 else p[0]) for required, p in terms)


def expected(documents: dict[int, Text], terms: Sequence[Term]) -> dict[int, int]:
    """Return the matching versions with their tiers."""
    phrases = [(required, opinion(" ".join(phrase))) for required, phrase in terms]
    positive = [phrase for required, phrase in phrases if required]
    answer = {}
    for version, document in documents.items():
        title, body = opinion(document["title"] or ""), opinion(document["summary"] or "")
        if terms and all(required == (holds(title, phrase) or holds(body, phrase)) for required, phrase in phrases):
            whole = [[word for phrase in positive for word in phrase[form]] for form in range(2)]
            titled = bool(positive) and all(holds(title, phrase) for phrase in positive)
            answer[version] = 0 if positive and holds(title, whole) else 1 if titled else 2
    return answer


@pytest.fixture(scope="module")
def blank(store: Store, migrated: Settings) -> Iterator[Database]:
    """A database with an empty index; tests that fill it roll back."""
    with opened(store.copy(migrated)) as database:
        with database.writing() as session:
            fulltext.engine_of(session).clear(session)
        yield database


def ranked(session: Session, query: Search) -> dict[int, int]:
    """Return the versions that a search finds, with their tiers, which no two share."""
    engine, dialect = fulltext.engine_of(session), session.get_bind().dialect.name
    rows = [
        (version, tier)
        for tier, condition in fulltext.tiers(query).items()
        for version in session.scalars(
            engine.versions(fulltext.matching(condition, Nouns(("initiatives",)), dialect).condition())
        )
    ]
    assert sorted(version for version, _ in rows) == sorted(session.scalars(matching(session, query)))
    return dict(rows)


@limits(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    documents=st.lists(st.tuples(texts(), texts(12) | st.none()), min_size=1, max_size=8),
    queries=st.lists(st.lists(st.tuples(st.booleans() | st.just(value=True), PHRASES), max_size=3), min_size=1, max_size=6),
)
def test_both_databases_find_what_python_finds(
    blank: Database, documents: list[tuple[str, str | None]], queries: list[list[Term]]
) -> None:
    """For any documents and queries, the index finds, ranks and completes like a scan of all texts."""
    contents: dict[int, Text] = {
        n: {"title": title, "summary": summary, "aliases": []} for n, (title, summary) in enumerate(documents, 1)
    }
    with blank.writing() as session:
        fulltext.replace(session, initiatives, [], contents)
        assert fulltext.faults(session, initiatives, contents) == {}
        for terms in queries:
            query = words.parse(written(terms))
            assert ranked(session, query) == expected(contents, terms)
            for document in contents.values():
                check_highlights(query, document)
            typed = [word[:2] for _, phrase in terms for word in phrase]
            completed = set(session.scalars(prefixed(session, " ".join(typed))))
            assert completed == {n for n, content in contents.items() if typed and begins(content["title"] or "", typed)}
        session.rollback()


def begins(title: str, typed: Iterable[str]) -> bool:
    """Tell whether each typed prefix begins a word of the title, in one of the forms of what was typed."""
    return any(
        all(any(word.startswith(part) for word in words.names(title)) for part in form)
        for form in words.forms(" ".join(typed), words.plain)
    )


def every_word(text: str) -> set[str]:
    """Return the stems of the parts and of the wholes of a text."""
    return {word for form in words.forms(text) for word in form}


def check_highlights(query: Search, document: dict[str, Any]) -> None:
    """Check that highlights join to the text and mark every matching word."""
    for field in initiatives.search:
        value = document[field] or ""
        said = ", ".join(value) if isinstance(value, list) else value
        segments = words.highlights(query, initiatives, document).get(field, [])
        matched = every_word(said) & query.words
        assert "".join(segment["text"] for segment in segments) == (said if matched else "")
        assert {word for segment in segments if segment["match"] for word in every_word(segment["text"])} >= matched


ANYTHING = st.text(st.characters(exclude_categories=()), max_size=40)


@limits(max_examples=examples(150), deadline=None)
@given(query=ANYTHING | texts(), content=ANYTHING)
@example('"', "'")
@example("-", "\0")
@example("\ud800\"'\0", "\udfff")
@example("a\\':*b & \"c' -d", "e")
def test_any_text_is_a_query(blank: Database, query: str, content: str) -> None:
    """No text is an error, in a query or in a document: surrogates, nulls and operators are not."""
    document = {"title": content, "summary": query, "aliases": [content]}
    with blank.writing() as session:
        fulltext.replace(session, initiatives, [], {1: document})
        assert fulltext.faults(session, initiatives, {1: document}) == {}
        try:
            parsed = words.parse(query)
            completed = session.scalars(prefixed(session, query)).all()
        except TooManyWords:
            parsed, completed = words.parse(""), []
        assert ranked(session, parsed).keys() <= {1}
        assert set(completed) <= {1}
        check_highlights(parsed, document)
        check_highlights(words.parse(" ".join(words.words(content)[:MAX_WORDS])), document)
        session.rollback()


def test_highlights() -> None:
    """Highlights mark whole words as written, with accents, in each field that has matches."""
    query = words.parse('cafe "city\u2019s" -open')
    document = {"name": "Open Cafe\u0301s!", "summary": "The CITIES and the café\u2019s bar."}
    assert words.highlights(query, cities, document) == {
        "name": [{"text": "Open ", "match": False}, {"text": "Cafe\u0301s", "match": True}, {"text": "!", "match": False}],
        "summary": [
            {"text": "The ", "match": False},
            {"text": "CITIES", "match": True},
            {"text": " and the ", "match": False},
            {"text": "café\u2019s", "match": True},
            {"text": " bar.", "match": False},
        ],
    }
    assert words.highlights(query, cities, {"name": "Boston", "summary": None}) == {}
    assert words.highlights(words.parse("-boston"), cities, {"name": "Boston", "summary": None}) == {}


def test_tiers(blank: Database) -> None:
    """The phrase in the title ranks first, all its words there second, the rest third; with exclusions only, all are equal."""
    titles = ["Open Data portal", "Data is open", "Open portal", "Open. Data"]
    contents = {n: {"title": title, "summary": "Open data, data open."} for n, title in enumerate(titles)}
    with blank.writing() as session:
        fulltext.replace(session, initiatives, [], contents)
        for query, tiers in (("open data", [0, 1, 2, 0]), ("-zeppelin", [2] * 4), ('"data open"', [2, 2, 2, 2])):
            assert ranked(session, words.parse(query)) == dict(enumerate(tiers))
        session.rollback()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", []),
        ("*", []),
        ("san d", ["san-diego-ca"]),
        ("SÃN JÓSE", ["san-jose-ca"]),
        ("di-sa", ["san-diego-ca"]),
        ("iego", []),
        ("ange", ["los-angeles-ca"]),
    ],
)
def test_prefixed(seeded: Database, typed: str, expected: list[str]) -> None:
    """The beginnings of words in a title complete it, in any order; each typed word needs one."""
    with seeded.reading() as session:
        matched = prefixed(session, typed)
        completed = select(Revision.id).where(Revision.kind == "cities", Revision.version.in_(matched)).order_by(Revision.id)
        assert session.scalars(completed).all() == expected


def test_nouns_are_apart(seeded: Database) -> None:
    """A search of some nouns finds their part of a search of all nouns; so does a search by exclusion."""
    for searched in ("san", "-zeppelin", "san -diego", "data"):
        query = words.parse(searched)
        with seeded.reading() as session:
            whole = set(session.scalars(matching(session, query)))
            parts = [set(session.scalars(matching(session, query, Nouns((kind,))))) for kind in NAMES_OF_NOUNS]
            pair = set(session.scalars(matching(session, query, Nouns(NAMES_OF_NOUNS[:2]))))
            same = set(session.scalars(matching(session, query, Nouns(NAMES_OF_NOUNS[:2], NAMES_OF_NOUNS[2:]))))
        assert whole == set().union(*parts)
        assert len(whole) == sum(map(len, parts)) > 0
        assert pair == same == parts[0] | parts[1]
