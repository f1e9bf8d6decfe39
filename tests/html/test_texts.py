"""Numbers, dates and figures in words."""

import pytest

from api.html import figures, texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2024, "2024"),
        (41_000, "41,000"),
        (2_400_000, "2.4 million"),
        (1_000_000, "1 million"),
        (2_400_001, "2,400,001"),
        (2_400_000_000, "2.4 billion"),
        (-38_700_000, "-38.7 million"),
        (0.5, "0.5"),
        (12.0, "12"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    """A year has no separator, a long number has them, and a round one is in millions or billions."""
    assert texts.number(value) == text


@pytest.mark.parametrize(
    ("edtf", "text"),
    [
        ("2024", "2024"),
        ("2024-07", "July 2024"),
        ("2024-07-31", "31 July 2024"),
        ("2024?", "2024 (uncertain)"),
        ("2023-12~", "about December 2023"),
        ("202X", "the 2020s"),
        ("XXXX-12", "December of a year that is not known"),
        ("2024-21", "spring 2024"),
        ("2023/2024", "2023 to 2024"),
        ("2005/", "since 2005"),
        ("2024/..", "since 2024"),
        ("../2024", "until 2024"),
    ],
)
def test_dates(edtf: str, text: str) -> None:
    """A date of EDTF says as much as it knows."""
    assert texts.date(edtf) == text


@pytest.mark.parametrize(
    ("count", "noun", "text"), [(1, "cities", "1 city"), (2, "surveys", "2 surveys"), (1, "awards", "1 award")]
)
def test_counts(count: int, noun: str, text: str) -> None:
    """One record has the singular of its noun."""
    assert texts.counted(count, noun) == text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"kind": "money", "value": 38_700_000, "unit": "USD"}, "$38.7 million"),
        ({"kind": "money", "value": -500, "unit": "USD"}, "-$500"),
        ({"kind": "money", "value": 500, "unit": "CHF"}, "500 CHF"),
        ({"kind": "change", "value": 40, "unit": "percent", "direction": "decrease"}, "down 40 percent"),
        ({"kind": "count", "value": 250, "unit": "agencies", "qualifier": "more_than"}, "more than 250 agencies"),
        ({"kind": "record", "value": None, "unit": "permits", "direction": "highest"}, "the highest"),
        ({"value": 5, "unit": "courses"}, "5 courses"),
    ],
)
def test_amounts(row: dict[str, object], text: str) -> None:
    """A figure has its qualifier, its direction and its unit, also in the shape of a former release."""
    assert figures.amount(row) == text
