"""Fingerprints: the rules for paragraphs and sentences, and for a citation's locator and hash."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.schema import fingerprints

TEXT = "A heading\n\nThe pier opened. It has 12 lamps.\n  \nNobody came."


def citation(**changes: Any) -> dict[str, Any]:
    """Return a citation of the second sentence of TEXT's second paragraph, with changes."""
    return {
        "id": "pier-lamps",
        "paragraph": 2,
        "sentence": 2,
        "sentence_sha256": fingerprints.sentence_sha256("It has 12 lamps."),
        **changes,
    }


@given(st.text())
def test_normalize_is_idempotent(text: str) -> None:
    """Normalizing a normalized text changes nothing."""
    once = fingerprints.normalize(text)
    assert once == fingerprints.normalize(once)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("\u2018a\u2019 \u201cb\u201d", "'a' \"b\""),
        ("\t one \u00a0\r\n two\u2003", "one two"),
        ("\ufb01re, cafe\u0301, \uff11", "fire, caf\u00e9, 1"),
        ("a \u2014 b", "a \u2014 b"),
        (" \n\t", ""),
    ],
)
def test_normalize_makes_variants_alike(typed: str, expected: str) -> None:
    """Quotes become straight, white space single and trimmed, compatible characters one; dashes stay."""
    assert expected == fingerprints.normalize(typed)


def test_paragraphs_are_the_lines_that_are_not_blank() -> None:
    """Every line that is not blank is a paragraph, headings included, with any line ends."""
    expected = ["A heading", "The pier opened. It has 12 lamps.", "Nobody came."]
    assert expected == fingerprints.paragraphs(TEXT)
    assert expected == fingerprints.paragraphs(TEXT.replace("\n", "\r\n"))


@given(st.text())
def test_paragraphs_survive_being_joined(text: str) -> None:
    """The normalized text has the same paragraphs as the text it came from."""
    paragraphs = fingerprints.paragraphs(text)
    assert paragraphs == fingerprints.paragraphs("\n".join(paragraphs))


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It grew. 12 came.", ["It grew.", "12 came."]),
        ("\u201cGo.\u201d (They went.) [Later.] \u2018Why?\u2019", ['"Go."', "(They went.)", "[Later.]", "'Why?'"]),
        ("Well... Then what?! Nothing.", ["Well...", "Then what?!", "Nothing."]),
        ("The U.S. Navy left L.A. Monday came.", ["The U.S. Navy left L.A. Monday came."]),
        ("It runs on AI. Then it stopped.", ["It runs on AI.", "Then it stopped."]),
        ("About 2.4 miles at e.g. noon, v1.2 ran.", ["About 2.4 miles at e.g. noon, v1.2 ran."]),
        ("\u00c9t\u00e9. \u00c9clair.", ["\u00c9t\u00e9.", "\u00c9clair."]),
        ("No end", ["No end"]),
        ("  ", []),
    ],
)
def test_sentences_end_where_the_rule_says(paragraph: str, expected: list[str]) -> None:
    """A stop with its closing marks, white space and a new start end a sentence; an initial's stop does not."""
    assert expected == fingerprints.sentences(paragraph)


@given(st.text(alphabet="Aab1.!?'\")( \u201c\u201d\n"))
def test_sentences_lose_nothing(paragraph: str) -> None:
    """The sentences, joined by single spaces, are the normalized paragraph again."""
    assert fingerprints.normalize(paragraph) == " ".join(fingerprints.sentences(paragraph))


@given(st.lists(st.sampled_from(["it's", '"so"', "caf\u00e9", "12,", "end."]), min_size=1))
def test_typing_does_not_change_a_fingerprint(words: list[str]) -> None:
    """Curly quotes, other white space and decomposed letters give the same hash as the plain sentence."""
    plain = " ".join(words)
    fancy = "\n\u00a0 ".join(words).replace("'", "\u2019").replace('"', "\u201c").replace("\u00e9", "e\u0301")
    assert fingerprints.sentence_sha256(plain) == fingerprints.sentence_sha256(f" {fancy}\t")


def test_a_fingerprint_is_plain_sha256() -> None:
    """Anyone can compute it: the lower-case hexadecimal SHA-256 of the normalized text's UTF-8 bytes."""
    assert hashlib.sha256("caf\u00e9 \u2014 'so'".encode()).hexdigest() == fingerprints.sentence_sha256(
        " caf\u00e9 \u2014  \u2018so\u2019"
    )
    assert hashlib.sha256(b"A heading\nThe pier opened. It has 12 lamps.\nNobody came.").hexdigest() == (
        fingerprints.text_sha256(TEXT)
    )


def test_a_true_citation_draws_no_complaint() -> None:
    """A citation with a correct locator and fingerprint gets no complaint."""
    assert fingerprints.check(TEXT, [citation()]) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"paragraph": 4}, "pier-lamps: there is no paragraph 4; the text has 3"),
        ({"paragraph": 0}, "pier-lamps: there is no paragraph 0; the text has 3"),
        ({"sentence": 3}, "pier-lamps: there is no sentence 3 in paragraph 2; it has 2"),
        ({"sentence": 0}, "pier-lamps: there is no sentence 0 in paragraph 2; it has 2"),
        ({"sentence": 1}, "pier-lamps: sentence 1 of paragraph 2 has another fingerprint"),
    ],
)
def test_a_false_citation_is_named_with_its_fault(changes: dict[str, int], complaint: str) -> None:
    """The complaint names the wrong citation and its fault; a correct one gets none."""
    assert [complaint] == fingerprints.check(TEXT, [citation(), citation(**changes)])
