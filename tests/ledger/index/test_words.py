"""Words: folding of characters, the division of a text, and their cost."""

import hashlib
import time
import tracemalloc
import unicodedata
from collections.abc import Callable

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from api.ledger.index import entries, words
from api.ledger.index.folding import fold
from api.resources.cities import cities
from api.resources.initiatives import initiatives
from tests.support.databases import REVISIONS
from tests.support.lengths import few

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=60)
# Letters that meet the rules: compounds, numbers, initials, scripts without spaces, and marks of several classes.
RULED = st.text(st.sampled_from("aSté1230 '\u2019-.,·\u00a0\u200błガカ\u3099東กุ่क\u093cि"), max_size=40)


def memory(work: Callable[[], object]) -> int:
    """Return the bytes that remain taken after some work, with its result."""
    tracemalloc.start()
    try:
        result = work()
        kept, _ = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return kept


def test_folded_characters_take_little_memory() -> None:
    """Folding characters of most scripts takes little memory; the control, a cache of all of them, takes more."""
    codes, before = range(0x10000), fold("ÀÉ'Ω")

    def fold_all() -> None:
        for code in codes:
            fold(chr(code))

    assert memory(fold_all) < 2_000_000
    assert memory(lambda: {code: fold(chr(code)) for code in codes}) > 4_000_000
    assert fold("ÀÉ'Ω") == before == "ae'ω"


@given(ANYTHING | RULED)
def test_folding_is_idempotent(text: str) -> None:
    """A folded text folds to itself."""
    assert fold(fold(text)) == fold(text)


@given(ANYTHING | RULED)
@example("\u1ffd a`b")
@example("กุ\u0e48 ก\u0e48ุ")
def test_equivalent_texts_have_the_same_words(text: str) -> None:
    """Texts that Unicode takes for the same, composed or not, have the same words."""
    for form in ("NFC", "NFD"):
        assert words.forms(unicodedata.normalize(form, text)) == words.forms(text)


def holds(stems: list[str], phrase: words.Phrase) -> bool:
    """Tell whether some words contain a phrase."""
    return any(tuple(stems[start : start + len(phrase)]) == phrase for start in range(len(stems)))


@given(ANYTHING | RULED)
@example("Wi-Fi in St.Paul, d'Alene: 360,000 and 1,234.5; U.S.A.")
@example("360'000,5 a.b.cd x1,300")
def test_a_text_matches_itself(text: str) -> None:
    """What is indexed of a text holds each phrase of a query of the same text, in quotes or not."""
    indexed = words.indexed([text])
    every = words.forms(text)
    assert every == ((),) or any(holds(indexed, phrase) for phrase in every)
    try:
        searches = [words.parse(text), words.parse(f'"{text}"')]
    except words.TooManyWords:
        return
    for search in searches:
        unmatched = [forms for forms in search.positive if not any(holds(indexed, phrase) for phrase in forms)]
        assert unmatched == []


@given(st.text(st.sampled_from("aSté1230 '-.,"), max_size=40))
def test_ascii_is_divided_as_any_text(text: str) -> None:
    """A text that folds to ASCII has the same words as within a text that does not."""
    apart, *_ = words.forms(f"я {text}")
    assert ("я", *words.stems(text)) == apart


PLAIN = [*"abzéłßñ12 ;!?()$%/Ωσяйшعربב한국", "हि", "न्दी"]


@given(st.lists(st.sampled_from(PLAIN), max_size=40).map("".join))
def test_words_are_those_of_unicode(text: str) -> None:
    """Where none of our rules applies, a text is divided as in UAX #29."""
    folded = fold(text)
    pieces = regex.split(r"(?w)\b", folded, flags=regex.VERSION1)
    assert words.words(text) == [piece for piece in pieces if regex.search(r"[\p{L}\p{N}]", piece)]


@pytest.mark.parametrize(
    "unit",
    few(["a.", "a.b.cc", "1,234,", "1'234'", "a-", "a'", "a's'", "東", "\u00e9\u0301", "क\u093c", "ﷺ"], "a.b.cc", "a's'", "東"),
)
def test_the_cost_is_linear(unit: str) -> None:
    """The words of a text four times as long take about four times as long, and a document has a bounded number of them."""

    def cost(repeated: int) -> float:
        text = unit * repeated + "x,"
        start = time.process_time()
        words.indexed([text])
        return time.process_time() - start

    cost(100)
    assert min(cost(40_000) for _ in range(2)) < 12 * min(cost(10_000) for _ in range(3))
    content = {"title": unit * 20_000, "summary": unit * 100_000, "aliases": []}
    entry = entries.IndexEntry.of(initiatives, content)
    assert max(len(entry.title), len(entry.name)) <= words.TITLE_WORDS
    assert len(entry.body) <= words.BODY_WORDS


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("wifi", "Free Wi-Fi!", ["Wi-Fi"]),
        ("wi-fi", "Free wifi", ["wifi"]),
        ("fi", "Free Wi-Fi!", ["Fi"]),
        ("alene", "Coeur d\u2019Alene\u2019s", ["Alene\u2019s"]),
        ("O'Hare", "To O\u00b4Hare", ["O\u00b4Hare"]),
        ("360000", "Of $360,000, 360 and 000", ["360,000"]),
        ("la", "In L.A. and LA", ["L.A", "LA"]),
        ("saint paul", "St. Paul", ["St", "Paul"]),
        ("saint paul", "Main St. in Saint Paul", ["Saint", "Paul"]),
        ("st", "Main St. in St. Paul", ["St", "St"]),
        ("wifi", "Wi-Fi-enabled, WiFi", ["Wi-Fi", "WiFi"]),
        ("911", "9-1-1\u2019s center", ["9-1-1\u2019s"]),
        ("cybersecurity", "The cyber\u200bsecurity.", ["cyber\u200bsecurity"]),
        ("lodz", "W Łodzi, Łódź", ["Łódź"]),
        ("東京", "都東京都", ["東京"]),
        ("ガス", "カスガス", ["スガス"]),
        ("opengov", "OpenGov™", ["OpenGov"]),
    ],
)
def test_highlights_in_other_spellings(query: str, text: str, marked: list[str]) -> None:
    """A highlight marks a word in the spelling of the text; of a script without spaces, each character."""
    segments = words.highlights(words.parse(query), cities, {"name": text})["name"]
    assert "".join(segment["text"] for segment in segments) == text
    assert [segment["text"] for segment in segments if segment["match"]] == marked


SAMPLE = "Wi-Fi O\u00b4Hare's $360,000.50 L.A. St. Paul™ Łódź cyber\u200bsecurity 東京ガス हिन्दी Straße cities city\u2019s a_b 2023-2024 Node.js ½ Main St. Wi-Fi-enabled K\u201312 9-1-1"
# The hash of the sample's words for each version of the rules; a version that was released stays as it is.
DIGESTS = {"0020": "d3e2a7742c2a246e"}


def test_other_words_are_another_version() -> None:
    """Changed rules for words have a revision of their own, so that an upgrade rebuilds the index."""
    made = repr((words.indexed([SAMPLE]), words.names(SAMPLE)))
    assert hashlib.sha256(made.encode()).hexdigest()[:16] == DIGESTS[words.VERSION]
    assert words.VERSION in REVISIONS
