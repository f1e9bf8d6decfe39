"""Dates in EDTF (ISO 8601-2), and the days that each of them can mean."""

import calendar
import datetime as dt
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import NamedTuple

_MONTH, _DAY, _QUALIFIER = "(0[1-9]|1[0-2]|XX)", "(0[1-9]|[12][0-9]|3[01]|XX)", "[?~%]?"
_YEAR = "([0-9]{4}|[0-9]{3}X|[0-9]{2}XX|[0-9]XXX)"
_DATE = f"({_YEAR}(-{_MONTH}(-{_DAY})?)?|[0-9]{{4}}-2[1-4]){_QUALIFIER}"
_PERIOD = rf"{_DATE}(/({_DATE}|\.\.)?)?|(\.\.)?/{_DATE}"
# A date that means days of known years, and any date.
PERIOD = f"^({_PERIOD})$"
EDTF = f"^({_PERIOD}|XXXX(-{_MONTH}(-{_DAY})?)?{_QUALIFIER})$"
LONGEST = len("2024-07-01?/2024-07-31?")
# The first characters of a day.
BEGINNING = r"^([0-9]{1,4}|[0-9]{4}-([01]|(0[1-9]|1[0-2])(-([0-3]|0[1-9]|[12][0-9]|3[01])?)?)?)$"
EXAMPLES = (
    *("2024", "2024-07", "2024-07-31", "2024?", "2023-12~", "202X", "XXXX-12", "2024-XX-12"),
    *("2024-21", "2023/2024", "2024/.."),
)
# How a year begins that is not known.
UNKNOWN = "XXXX"
# EDTF does not say when a season begins: these are the months of the meteorological seasons of the northern hemisphere.
_SEASONS = {"21": (3, 5), "22": (6, 8), "23": (9, 11), "24": (12, 2)}
# Has every day that any year has.
LEAP_YEAR = 2000


class Date(NamedTuple):
    """The meaning of a date.

    ``period`` is its earliest and its latest day, as in `2024-07-01/2024-07-31`, which is also EDTF; None if the year is not
    known. ``month`` is the month, from 1 to 12, in which all of its days are; None if they are in several months.
    """

    period: str | None
    month: int | None


@lru_cache(maxsize=16_384)
def parse(text: str) -> Date:
    """Return the meaning of a date. Raises ValueError, with a sentence for its author, for a text that is none.

    A qualifier (`?`, `~` or `%`) does not change it. An end that is open or unknown is infinitely far away.
    """
    if not re.fullmatch(EDTF, text) or len(text) > LONGEST:
        raise ValueError(f"Not a date of EDTF as {listed(EXAMPLES)}.")
    ends = re.sub("[?~%]", "", text).split("/")
    days = [None if end in {"", ".."} else _days(end) for end in ends]
    if text.startswith(UNKNOWN):
        return Date(None, _month(ends, days))
    first = days[0][0] if days[0] else dt.date.min
    last = days[-1][1] if days[-1] else dt.date.max
    if first > last:
        raise ValueError("The end of the interval is before its start.")
    return Date(f"{first}/{last}", _month(ends, days))


def listed(examples: Sequence[str]) -> str:
    """Return examples as a sentence has them."""
    *some, last = (f"`{example}`" for example in examples)
    return f"{', '.join(some)} or {last}"


def derived(text: str | None) -> dict[str, str | int | None]:
    """Return the values of the columns that stand for a date in filters and sort keys, by the ends of their names.

    They are null for a text that is no date, which raw SQL may have stored.
    """
    try:
        period, month = parse(text) if text else Date(None, None)
    except (ValueError, TypeError):
        period = month = None
    return {"_period": period, "_month": month}


def known_period(text: str) -> str:
    """Return the period of a date. Raises ValueError if its year is not known."""
    period = parse(text).period
    if period is None:
        raise ValueError("The year is not known.")
    return period


def beginning(text: str) -> tuple[str, str]:
    """Return the first and the last day whose texts begin with this one. Raises ValueError if no day's does."""
    if not re.fullmatch(BEGINNING, text):
        raise ValueError("Not the first characters of a date.")
    year, month, day = [*text.split("-"), "", ""][:3]
    first = _first_day(_matching(year, 4, 1, 9999), month, day)
    last = _first_day(reversed(_matching(year, 4, 1, 9999)), month, day, last=True)
    return str(first), str(last)


def _matching(digits: str, width: int, low: int, high: int) -> range:
    """Return the numbers from ``low`` to ``high`` that begin with these digits when they are written with ``width``."""
    rest = 10 ** (width - len(digits))
    start = int(digits or 0) * rest
    return range(max(low, start), min(high, start + rest - 1) + 1)


def _first_day(years: Iterable[int], month: str, day: str, *, last: bool = False) -> dt.date:
    for year in years:
        months = _matching(month, 2, 1, 12)
        for number in reversed(months) if last else months:
            days = _matching(day, 2, 1, calendar.monthrange(year, number)[1])
            if days:
                return dt.date(year, number, days[-1 if last else 0])
    raise ValueError("Not a day of the calendar.")


def _days(text: str) -> tuple[dt.date, dt.date]:
    """Return the earliest and the latest day that a date without a qualifier can mean.

    The library's own bounds can be days that no calendar has: 29 February of any year, or a day of the year 0. Its grammar is
    left to the tests, because it takes a thousandth of a second, and a request can have thousands of dates.
    """
    library = _library()
    year, month, day = [*text.split("-"), None, None][:3]
    if month and month in _SEASONS:
        return _season(int(year or 0), month)
    date = library.Unspecified(year, month, day)
    (low, *earliest), (high, *latest) = date.lower_strict()[:3], date.upper_strict()[:3]
    years = range(max(low, dt.MINYEAR), high + 1)
    return _in_calendar(years, *earliest), _in_calendar(reversed(years), *latest)


def _in_calendar(years: Iterable[int], month: int, day: int) -> dt.date:
    """Return the day in the first of these years that has it. Raises ValueError if none has."""
    if day <= calendar.monthrange(LEAP_YEAR, month)[1]:
        for year in years:
            if day <= calendar.monthrange(year, month)[1]:
                return dt.date(year, month, day)
    raise ValueError("Not a day of the calendar.")


def _season(year: int, season: str) -> tuple[dt.date, dt.date]:
    """Return the first and the last day of a season; winter begins in December of its year, and ends in the next one."""
    begin, end = _SEASONS[season]
    first = _in_calendar(range(max(year, dt.MINYEAR), year + 1), begin, 1)
    year += end < begin
    return first, dt.date(year, end, calendar.monthrange(year, end)[1]) if year <= dt.MAXYEAR else dt.date.max


def _month(ends: Sequence[str], days: Sequence[tuple[dt.date, dt.date] | None]) -> int | None:
    """Return the month of all days that an interval of these ends, or a single date, can mean."""
    if len(ends) == 1:
        month = ends[0][5:7]
        return int(month) if re.fullmatch("0[1-9]|1[0-2]", month) else None
    if not days[0] or not days[1]:
        return None
    first, last = days[0][0], days[1][1]
    return first.month if (first.year, first.month) == (last.year, last.month) else None


@cache
def _library() -> ModuleType:
    """Return the classes of the library, which takes a tenth of a second to load."""
    from edtf.parser import parser_classes  # noqa: PLC0415 - loaded when the first date is read

    return parser_classes
