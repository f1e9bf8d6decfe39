"""Shared words: the longest sequences that a text shares with a source, and the words of proper names that do not count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.resources import BY_NAME
from api.schema import wording
from api.schema.fields import Name, Prose, Title

SOURCE = "One two three four five six. Seven eight nine ten; eleven twelve\n\nthirteen Fourteen's fifteen."


def ours(text: str, field: type[Prose | Name] = Prose) -> wording.Text:
    """Return a text of a record."""
    return wording.Text("/summary", text, field())


def shared(text: str, *names: str, field: type[Prose | Name] = Prose) -> list[tuple[str, int]]:
    """Return the sequences that a text shares with the source, and the number of words of each that count."""
    return [(row.text, row.length) for row in wording.Wording(SOURCE, names).shared(ours(text, field))]


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("one two three four five", [], []),
        ("Zero ONE, two (three) four-five six zero", [], [("ONE two three four five six", 6)]),
        ("eleven twelve thirteen fourteen\u2019s fifteen", [], []),
        ("ten eleven twelve: thirteen fourteen\u2019s fifteen", [], [("ten eleven twelve thirteen fourteen's fifteen", 6)]),
        (
            "one two three four five six two three four five six seven eight",
            [],
            [("one two three four five six", 6), ("two three four five six seven eight", 7)],
        ),
        ("one Two Three four five six seven eight", ["Two Three"], [("one Two Three four five six seven eight", 6)]),
        ("one Two Three four five six seven", ["Two Three"], []),
        ("one two three four five six seven", ["Two Three"], [("one two three four five six seven", 7)]),
        ("One Two two three four five six seven", ["One Two"], [("two three four five six seven", 6)]),
        ("one two three four five six", ["", "  ", "six", "five six", "six seven"], []),
    ],
)
def test_shared_words(text: str, names: list[str], expected: list[tuple[str, int]]) -> None:
    """Case, punctuation and paragraphs do not part a sequence; a name does not count where it is spelled as declared."""
    assert shared(text, *names) == expected


def test_a_title_is_no_excuse_for_itself() -> None:
    """A title that is declared as a name, as every title of a record is, is compared all the same."""
    title = "One two three four five six"
    assert shared(title, title, field=Title) == [(title, 6)]
    assert shared(f"{title} seven", title) == []


TWO_WORDS = st.lists(st.sampled_from("ab"), max_size=24)


@given(TWO_WORDS, TWO_WORDS)
def test_no_sequence_is_missed(text: list[str], source: list[str]) -> None:
    """The sequences are all those of six words or more that the source has and that no longer one contains."""
    everywhere = {
        (start, end)
        for start in range(len(text))
        for end in range(start + wording.LISTED, len(text) + 1)
        if f" {' '.join(text[start:end])} " in f" {' '.join(source)} "
    }
    longest = sorted(
        (start, end)
        for start, end in everywhere
        if not any(a <= start and end <= b and (a, b) != (start, end) for a, b in everywhere)
    )
    shared = wording.Wording(" ".join(source), []).shared(ours(" ".join(text)))
    assert [row.text for row in shared] == [" ".join(text[start:end]) for start, end in longest]


def test_texts_of_a_record() -> None:
    """The prose, titles and names of a record and its parts are found by the schema, and what the record is called is its name."""
    content = {
        "id": "a-b",
        "name": "A Survey",
        "summary": "It is one.",
        "states": [{"state": "CA"}],
        "categories": [{"category": "c", "name": "C people", "also_competing": ["d-e"]}],
        "priorities": ["f"],
    }
    schema = BY_NAME["surveys"].schema()
    rows = [(row.pointer, row.text, row.is_ours) for row in wording.texts(schema, content)]
    assert rows == [
        ("/name", "A Survey", False),
        ("/summary", "It is one.", True),
        ("/categories/0/name", "C people", False),
    ]
    assert list(wording.names(schema, content)) == ["A Survey"]
