"""The canonical form of names, for characters of every Unicode category."""

import sys
import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from api.schema.names import BLANKS, JOINERS, REFUSED, canonical, key
from tests.support.lengths import examples

BY_CATEGORY: dict[str, list[str]] = defaultdict(list)
# Of private characters and of planes without any, one in 64 is enough: they take three quarters of the time.
for number in (
    *range(0x40000),
    *range(0x40000, 0xE0000, 64),
    *range(0xE0000, 0xE1000),
    *range(0xE1000, sys.maxunicode + 1, 64),
):
    BY_CATEGORY[unicodedata.category(chr(number))].append(chr(number))


@pytest.mark.parametrize("category", sorted(BY_CATEGORY))
def test_every_character_of_a_category(category: str) -> None:
    """Between two letters, a character is refused by its category and with its number, or kept in a form that is final."""
    for character in BY_CATEGORY[category][:: max(1, len(BY_CATEGORY[category]) // 3000)]:
        text = f"a{character}b"
        if character in BLANKS or (category in REFUSED and character not in JOINERS):
            with pytest.raises(ValueError, match=f"U\\+{ord(character):04X}"):
                canonical(text)
            continue
        name = canonical(text)
        assert name == ("a b" if category == "Zs" else unicodedata.normalize("NFC", text))
        assert canonical(name) == name


CHARACTERS = st.one_of([st.sampled_from(characters) for characters in BY_CATEGORY.values()])


@limits(max_examples=examples(2_000), deadline=None)
@given(text=st.text(CHARACTERS, max_size=8))
def test_a_name_has_one_form(text: str) -> None:
    """An accepted name is in NFC, trimmed, with single spaces and no invisible characters, however it was sent."""
    try:
        name = canonical(text)
    except ValueError:
        return
    assert name == " ".join(name.split(" ")).strip()
    assert unicodedata.is_normalized("NFC", name)
    assert {unicodedata.category(character) for character in name if character not in JOINERS} & REFUSED == set()
    assert any(unicodedata.category(character)[0] in "LNPS" for character in name)
    assert canonical(unicodedata.normalize("NFD", text)) == name
    assert canonical(f"\u00a0 {text}  ") == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Can\u0303on Vista", "Cañon Vista"),
        ("Boston ", "Boston"),
        ("San \u00a0 Jose", "San Jose"),
        ("\u0645\u06cc\u200c\u062e\u0648", "\u0645\u06cc\u200c\u062e\u0648"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("東京\u3000都", "東京 都"),
    ],
)
def test_names_that_mean_the_same(text: str, name: str) -> None:
    """Spellings that look the same become the same, and joiners that scripts need stay."""
    assert canonical(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b", "\u200d", "\u0301", "a\u200b", "a\u202eb", "a\nb", "a\tb", "a\x07", "\x1b[1m", "a\u2028b", "a \u200db", "\u3164"]
)  # fmt: skip
def test_names_that_nobody_could_read(text: str) -> None:
    """Invisible names, controls, bidirectional overrides, line breaks and stray joiners are refused."""
    with pytest.raises(ValueError, match="name"):
        canonical(text)


@limits(max_examples=examples(1_000), deadline=None)
@given(text=st.text(st.characters(max_codepoint=127), max_size=8))
def test_plain_names_are_like_others(text: str) -> None:
    """A name of plain ASCII has the form and the key that it has before a letter that is not, without that letter."""

    def of_longer() -> str | None:
        try:
            return canonical(f"{text} é")[:-1].strip()
        except ValueError:
            return None

    try:
        name = canonical(text)
    except ValueError:
        assert not of_longer()
        return
    assert name == of_longer()
    assert key(text) == key(f"{text} é")[:-1].strip()
