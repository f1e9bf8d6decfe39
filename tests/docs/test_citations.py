"""The page on checking citations: its rule, as a stranger would follow it, its examples, and its fingerprints."""

import hashlib
import re
import unicodedata
from itertools import pairwise

import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st

from api.schema import fingerprints
from tests.support.pages import PAGES

PAGE = PAGES["docs/citations.md"]
ROWS = re.findall(r"^\| (`.*`) \| (`.*`) \|$", PAGE, re.MULTILINE)
EXAMPLES = [
    (paragraph.strip("`"), re.findall(r"`(.*?)`", cut)) for paragraph, cut in ROWS if not re.match(r"`[0-9a-f]{64}`", cut)
]
HASHED = [(sentence.strip("`"), sha256.strip("`")) for sentence, sha256 in ROWS if re.match(r"`[0-9a-f]{64}`", sha256)]
LISTED = {
    word.rstrip(".")
    for row in re.findall(r"^\| [a-z]+ \| ((?:`\w+\.` ?)+) \|$", PAGE, re.MULTILINE)
    for word in re.findall(r"\w+\.", row)
}


def stranger(paragraph: str) -> list[str]:
    """Cut a paragraph by the ten lines of the page, character by character, with the page's own list."""
    text = unicodedata.normalize("NFKC", paragraph)
    for curly, straight in zip("\u2018\u2019\u201c\u201d", "''\"\"", strict=True):
        text = text.replace(curly, straight)
    text = " ".join(text.split())
    cuts, place = [0], 0
    while place < len(text):
        run = place
        while run < len(text) and text[run] in ".!?":
            run += 1
        space = run
        while space < len(text) and text[space] in "'\")]}":
            space += 1
        if run > place and text[space : space + 1] == " ":
            first, word = text[space + 1], ""
            for character in reversed(text[:place]):
                if not (character.isalnum() or character == "'"):
                    break
                word = character + word
            word = word.lstrip("'")
            stops = text[place:run] == "." and (word in LISTED or (len(word) == 1 and word.isalpha()))
            if (first.isupper() or first.isdigit() or first in "'\"([{") and not stops:
                cuts.append(space + 1)
        place = max(run, place + 1)
    return [text[start:end].strip() for start, end in pairwise([*cuts, len(text)])] if text else []


def test_list() -> None:
    """The page lists the abbreviations of the code, each once."""
    listed = " ".join(fingerprints.ABBREVIATIONS.values()).split()
    assert len(listed) == len(LISTED) > 50
    assert set(listed) == LISTED


@pytest.mark.parametrize(("paragraph", "cut"), EXAMPLES)
def test_examples(paragraph: str, cut: list[str]) -> None:
    """Each example of the page is cut as the page says, by the page's rule and by the code."""
    assert stranger(paragraph) == cut
    assert fingerprints.sentences(paragraph) == cut


WORDS = ["St", "Mo", "etc", "A", "B", "é", "don't", "'A", "word", "AI", "12", "x_A", "4B", "Inc", "U.S", "O'N", "no", "No"]
ENDS = [".", ". ", "! ", "?! ", ".. ", ".) ", '." ', " ", "  ", ", ", "' ", " (", " '", "\u201d ", ".\u2019 "]


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(ENDS))))
@example([("St", ".) "), ("A", "")])
def test_rule(pieces: list[tuple[str, str]]) -> None:
    """The ten lines of the page, implemented from the page alone, cut every paragraph as the code does."""
    paragraph = "".join(word + end for word, end in pieces)
    assert stranger(paragraph) == fingerprints.sentences(paragraph)


@given(st.text(alphabet="AaBé1.!?'\")( \u201c\u201d\n_St"))
def test_rule_on_any_text(paragraph: str) -> None:
    """The same holds for texts that are no language."""
    assert stranger(paragraph) == fingerprints.sentences(paragraph)


@pytest.mark.parametrize(("sentence", "sha256"), HASHED)
def test_fingerprints(sentence: str, sha256: str) -> None:
    """Each fingerprint of the page is the plain SHA-256 of the normalized sentence, and the code's."""
    straight = sentence.translate(str.maketrans("\u2018\u2019\u201c\u201d", "''\"\""))
    assert sha256 == hashlib.sha256(straight.encode()).hexdigest() == fingerprints.sentence_sha256(sentence)


def test_the_page_is_read() -> None:
    """The tests above have examples and fingerprints to compare, and the page shows ten lines of the served version."""
    assert (len(EXAMPLES), len(HASHED)) == (11, 3)
    (rule,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [line.split()[0] for line in rule.splitlines()] == [str(number) for number in range(1, 11)]
    assert f"version {fingerprints.SENTENCE_RULE};" in PAGE


def test_version_is_served(routing_client: FlaskClient) -> None:
    """The OpenAPI document has the version of the rule, and every abbreviation."""
    (tag,) = [tag for tag in routing_client.get("/openapi.json").get_json()["tags"] if tag["name"] == "citations"]
    assert f"the rule for sentences, version {fingerprints.SENTENCE_RULE}:" in tag["description"]
    assert {f"{word}." for word in LISTED} <= set(re.findall(r"\w+\.", tag["description"]))
