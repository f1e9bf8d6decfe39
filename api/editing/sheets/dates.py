"""Dates as people write them, as EDTF."""

import calendar
import re
from collections.abc import Callable, Mapping

from api.editing.sheets.questions import ask
from api.schema import dates

MONTHS: Mapping[str, int] = {
    spelling.lower(): number
    for number in range(1, 13)
    for spelling in (calendar.month_name[number], calendar.month_abbr[number])
} | {"sept": 9}
SEASONS = {"spring": 21, "summer": 22, "fall": 23, "autumn": 23, "winter": 24}
MONTH = rf"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\.?"
YEAR = r"(?P<year>[12][0-9]{3})"
DAY = r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?"
# A year and a number that can be a season of EDTF, or the end of a period of two years.
TWO_YEARS = re.compile(r"([12][0-9]{3})-([0-9]{2})")
APPROXIMATE = re.compile(r"(?:circa|ca\.?|c\.|about|around|approx(?:\.|imately)?|~)\s*(.+)", re.IGNORECASE)


def _named(match: re.Match[str]) -> str:
    parts = match.groupdict()
    month = MONTHS[parts["month"].lower()]
    return f"{parts['year']}-{month:02}" + (f"-{int(parts['day']):02}" if parts.get("day") else "")


def _numbers(match: re.Match[str]) -> str:
    parts = match.groupdict()
    return f"{parts['year']}-{int(parts['month']):02}" + (f"-{int(parts['day']):02}" if parts.get("day") else "")


def _either(match: re.Match[str]) -> str:
    """Read a day and a month in either order, if only one can be."""
    first, second, year = int(match["first"]), int(match["second"]), match["year"]
    meanings = dict.fromkeys(
        f"{year}-{month:02}-{day:02}"
        for month, day in ((first, second), (second, first))
        if month <= 12  # noqa: PLR2004 - months
    )
    if len(meanings) != 1:
        raise ask(match[0], [*meanings], "Write the one that is right.")
    return next(iter(meanings))


def _quarter(match: re.Match[str]) -> str:
    quarter = int(match["quarter"])
    return f"{match['year']}-{quarter * 3 - 2:02}/{match['year']}-{quarter * 3:02}"


FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), read)
    for pattern, read in (
        (rf"{MONTH}\s*,?\s*{YEAR}", _named),
        (rf"{MONTH}\s*{DAY}\s*,?\s*{YEAR}", _named),
        (rf"{DAY}\.?\s*{MONTH}\s*,?\s*{YEAR}", _named),
        (rf"{YEAR}\s*,?\s*{MONTH}", _named),
        (rf"(?P<month>0?[1-9]|1[0-2])\s*/\s*{YEAR}", _numbers),
        (rf"{YEAR}/(?P<month>0?[1-9]|1[0-2])", _numbers),
        (rf"{YEAR}-(?P<month>[1-9])", _numbers),
        (rf"{YEAR}[-/.](?P<month>[0-9]{{1,2}})[-/.](?P<day>[0-9]{{1,2}})", _numbers),
        (rf"(?P<first>[0-9]{{1,2}})([./-])(?P<second>[0-9]{{1,2}})\2{YEAR}", _either),
        (rf"(?P<season>{'|'.join(SEASONS)})\s*,?\s*{YEAR}", lambda m: f"{m['year']}-{SEASONS[m['season'].lower()]}"),
        (rf"Q(?P<quarter>[1-4])\s*,?\s*{YEAR}", _quarter),
        (r"(?P<first>[12][0-9]{3})\s*(?:[-–—]|to)\s*(?P<last>[12][0-9]{3})", lambda m: f"{m['first']}/{m['last']}"),  # noqa: RUF001 - dashes
        (r"[12][0-9]{3}(-[0-9]{2}){2}[T ]00:00:00", lambda m: m[0][:10]),
        (rf"{YEAR}\.0", lambda m: m["year"]),
    )
)


def read(text: str, *, exported: bool) -> str:
    """Return a date as EDTF. Raises Question for a text that is none, or that can be several dates.

    ``exported``: the text may be from our own export, so that it is what it says.
    """
    if (years := TWO_YEARS.fullmatch(text)) and not exported and 21 <= int(years[2]) <= 24:  # noqa: PLR2004 - EDTF's seasons
        raise ask(text, [f"{years[1]}/{years[1][:2]}{years[2]}", text], "The second is a season of EDTF.")
    if _is_edtf(text):
        return text
    if approximate := APPROXIMATE.fullmatch(text):
        return f"{read(approximate[1], exported=exported)}~"
    for pattern, reading in FORMS:
        if (match := pattern.fullmatch(text)) and _is_edtf(result := reading(match)):
            return result
    raise ask(text, (), f"Write a date as {dates.listed(dates.EXAMPLES[:3])}.")


def of_cell(text: str, *, exported: bool) -> str:
    """Return the date of a cell of a spreadsheet. Raises Question for a time, and for a day that can stand for its month."""
    day = text.removesuffix(" 00:00:00")
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day):
        raise ask(text, (), "It has a time of day: write the date as a text.")
    if day.endswith("-01") and not exported:
        raise ask(day, [day, day[:7]], "A cell with a month has the same value as one with its first day: write it as a text.")
    return day


def _is_edtf(text: str) -> bool:
    try:
        dates.parse(text)
    except ValueError:
        return False
    return True
