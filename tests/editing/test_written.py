"""Values as people write them: each is read as one value, or is a question with what it can mean."""

from decimal import Decimal

import pytest

from api.editing.sheets import dates, figures, placings
from api.editing.sheets.figures import Figure
from api.editing.sheets.placings import Placing
from api.editing.sheets.questions import Question
from api.editing.sheets.slugs import made

DATES = {
    "July 2024": "2024-07",
    "7/2024": "2024-07",
    "2024/07": "2024-07",
    "Jul 31, 2024": "2024-07-31",
    "Sept. 3rd 2024": "2024-09-03",
    "31 July 2024": "2024-07-31",
    "7/31/2024": "2024-07-31",
    "31.7.2024": "2024-07-31",
    "2024-7-3": "2024-07-03",
    "7/7/2024": "2024-07-07",
    "Summer 2024": "2024-22",
    "Q3 2024": "2024-07/2024-09",
    "2023–2024": "2023/2024",  # noqa: RUF001 - a dash of typesetters
    "circa 2019": "2019~",
    "2024": "2024",
    "2024.0": "2024",
    "2024-07?": "2024-07?",
    "2023/2024": "2023/2024",
}
FIGURES = {
    "$38.7 million": Figure(Decimal(38_700_000), "USD", kind="money"),
    "45%": Figure(Decimal(45), "percent"),
    "more than 2.4 million": Figure(Decimal(2_400_000), qualifier="more_than"),
    "nearly 40 percent": Figure(Decimal(40), "percent", "nearly"),
    "over 1,200 sensors": Figure(Decimal(1_200), "sensors", "more_than"),
    "~5": Figure(Decimal(5), qualifier="about"),
    "€1.25bn": Figure(Decimal(1_250_000_000), "EUR", kind="money"),
    "CAD 5 million": Figure(Decimal(5_000_000), "CAD", kind="money"),
    "0.5": Figure(Decimal("0.5")),
}
PLACINGS = {
    "T-2nd": Placing(2, tied=True),
    "2nd (tie)": Placing(2, tied=True),
    "Tied for second": Placing(2, tied=True),
    "=2": Placing(2, tied=True),
    "1st": Placing(1),
    "No. 3": Placing(3),
    "10": Placing(10),
    "gold": Placing(placement="gold"),
    "Honorable mention": Placing(placement="Honorable mention"),
}
QUESTIONS = {
    "7/8/2024": "`7/8/2024`: is it `2024-07-08` or `2024-08-07`? Write the one that is right.",
    "2023-24": "`2023-24`: is it `2023/2024` or `2023-24`? The second is a season of EDTF.",
    "early 2024": "`early 2024` is not understood. Write a date as `2024`, `2024-07` or `2024-07-31`.",
    "2/30/2024": "`2/30/2024` is not understood. Write a date as `2024`, `2024-07` or `2024-07-31`.",
    "FY2024": "`FY2024` is not understood. Write a date as `2024`, `2024-07` or `2024-07-31`.",
}


@pytest.mark.parametrize(("text", "value"), DATES.items())
def test_dates(text: str, value: str) -> None:
    """A date in words or numbers is EDTF."""
    assert dates.read(text, exported=False) == value


@pytest.mark.parametrize(("text", "question"), QUESTIONS.items())
def test_dates_that_are_not_certain(text: str, question: str) -> None:
    """A date that can be two, or none, is a question."""
    with pytest.raises(Question) as caught:
        dates.read(text, exported=False)
    assert str(caught.value) == question


def test_a_cell_with_the_first_day_of_a_month() -> None:
    """A spreadsheet keeps a month as its first day, so that day is a question, unless the record was exported."""
    assert dates.of_cell("2024-07-31", exported=False) == "2024-07-31"
    assert dates.of_cell("2024-07-01", exported=True) == "2024-07-01"
    with pytest.raises(Question, match="is it `2024-07-01` or `2024-07`"):
        dates.of_cell("2024-07-01", exported=False)


@pytest.mark.parametrize(("text", "figure"), FIGURES.items())
def test_figures(text: str, figure: Figure) -> None:
    """A figure in words is a value with its unit, qualifier and kind."""
    assert figures.read(text) == figure


@pytest.mark.parametrize("text", ["100+", "38,7 Mio. €", "3 to 5", "12 m", "$5 per person", "$5%", "many", "5 of 10", ""])
def test_figures_that_are_not_certain(text: str) -> None:
    """A text with no figure, several, or one that can mean several things, is a question."""
    with pytest.raises(Question):
        figures.read(text)


@pytest.mark.parametrize(("text", "placing"), PLACINGS.items())
def test_placings(text: str, placing: Placing) -> None:
    """A placing is a rank, tied or not, or the words of the source."""
    assert placings.read(text) == placing


@pytest.mark.parametrize("text", ["??", "2-3", "1 of 10", "2nd or 3rd"])
def test_placings_that_are_not_certain(text: str) -> None:
    """A text with several numbers, or without a word, is a question."""
    with pytest.raises(Question):
        placings.read(text)


@pytest.mark.parametrize(
    ("noun", "content", "id"),
    [
        ("cities", {"name": "St. Paul", "state": "MN", "country": "US"}, "st-paul-mn"),
        ("cities", {"name": "Łódź", "state": None, "country": "PL"}, "lodz-pl"),
        ("cities", {"name": "Coeur d’Alene", "state": "ID"}, "coeur-dalene-id"),  # noqa: RUF001 - an apostrophe
        ("awards", {"survey": "digital-cities-2025", "city": "boston-ma"}, "digital-cities-2025-boston-ma"),
        ("initiatives", {"city": "boston-ma", "title": "Wi-Fi in Parks!"}, "boston-ma-wi-fi-in-parks"),
        ("surveys", {"name": "Digital Cities Survey", "year": 2025}, "digital-cities-survey-2025"),
        ("organizations", {"name": "City Clerk", "city": "boston-ma"}, "boston-ma-city-clerk"),
        ("priorities", {"name": "AI & Machine Learning"}, "ai-machine-learning"),
        ("cities", {"name": "東京", "state": None, "country": "JP"}, None),
        ("awards", {"survey": None, "city": "boston-ma"}, None),
    ],
)
def test_ids_are_made_by_one_rule(noun: str, content: dict[str, object], id: str | None) -> None:
    """The id of a new record is made of the members that name it; without one of them, none is made."""
    assert made(noun, content) == id
