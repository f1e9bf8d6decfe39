"""The meaning of dates, as the documentation has it and tests ask it: by examples."""

from collections.abc import Sequence
from typing import NamedTuple


class Meaning(NamedTuple):
    """The earliest and the latest day that a date can mean, its month, and the filters of `started` that find it."""

    earliest: str
    latest: str
    month: str
    found_by: Sequence[str]


# In the order of the columns: the ends of filters of the field `started`.
FILTERS = ("=2024", "__not=2024", "__gt=2024", "__gte=2024-07", "__lt=2024-07", "__lte=2024", "__startswith=2024", "__month=12")
ALL_BUT_EQUAL = "__not=2024"
# Beginning before July 2024, in it, or after 2024.
EARLY, LATE, AFTER = ("__lt=2024-07", "__lte=2024"), ("__gte=2024-07", "__lte=2024"), ("__gt=2024", "__gte=2024-07")
MEANINGS = {
    "2024": Meaning("2024-01-01", "2024-12-31", "", ("=2024", *EARLY, "__startswith=2024")),
    "2024?": Meaning("2024-01-01", "2024-12-31", "", ("=2024", *EARLY, "__startswith=2024")),
    "2024-07": Meaning("2024-07-01", "2024-07-31", "7", (ALL_BUT_EQUAL, *LATE, "__startswith=2024")),
    "2024-07-31": Meaning("2024-07-31", "2024-07-31", "7", (ALL_BUT_EQUAL, *LATE, "__startswith=2024")),
    "2023-12~": Meaning("2023-12-01", "2023-12-31", "12", (ALL_BUT_EQUAL, *EARLY, "__month=12")),
    "2024-12-XX%": Meaning("2024-12-01", "2024-12-31", "12", (ALL_BUT_EQUAL, *LATE, "__startswith=2024", "__month=12")),
    "2024-XX-12": Meaning("2024-01-12", "2024-12-12", "", (ALL_BUT_EQUAL, *EARLY, "__startswith=2024")),
    "202X": Meaning("2020-01-01", "2029-12-31", "", (ALL_BUT_EQUAL, *EARLY)),
    "202X-02-29": Meaning("2020-02-29", "2028-02-29", "2", (ALL_BUT_EQUAL, *EARLY)),
    "199X-12": Meaning("1990-12-01", "1999-12-31", "12", (ALL_BUT_EQUAL, *EARLY, "__month=12")),
    "2024-22": Meaning("2024-06-01", "2024-08-31", "", (ALL_BUT_EQUAL, *EARLY, "__startswith=2024")),
    "2024-24": Meaning("2024-12-01", "2025-02-28", "", (ALL_BUT_EQUAL, *LATE)),
    "2023/2024": Meaning("2023-01-01", "2024-12-31", "", (ALL_BUT_EQUAL, *EARLY)),
    "2024-01/2024-12~": Meaning("2024-01-01", "2024-12-31", "", ("=2024", *EARLY, "__startswith=2024")),
    "2024-12-01/2024-12-15": Meaning(
        "2024-12-01", "2024-12-15", "12", (ALL_BUT_EQUAL, *LATE, "__startswith=2024", "__month=12")
    ),
    "2024-07/..": Meaning("2024-07-01", "no end", "", (ALL_BUT_EQUAL, *LATE)),
    "2025/": Meaning("2025-01-01", "no end", "", (ALL_BUT_EQUAL, *AFTER)),
    "../2024": Meaning("no start", "2024-12-31", "", (ALL_BUT_EQUAL, *EARLY)),
    "/2025-01-31": Meaning("no start", "2025-01-31", "", (ALL_BUT_EQUAL, *EARLY)),
    "2025-03": Meaning("2025-03-01", "2025-03-31", "3", (ALL_BUT_EQUAL, *AFTER)),
    "XXXX-12": Meaning("", "", "12", (ALL_BUT_EQUAL, "__month=12")),
    "XXXX-12-25": Meaning("", "", "12", (ALL_BUT_EQUAL, "__month=12")),
    "XXXX": Meaning("", "", "", (ALL_BUT_EQUAL,)),
}
# Texts that are no date here, and why.
REFUSED = {
    "2023-02-29": "a day that no calendar has",
    "0000": "there is no such year; years are 0001 to 9999",
    "2024/2023": "it ends before it starts",
    "2024-07-31T12:00:00Z": "a time of day",
    "[2023,2025]": "one of several dates, and `{2023,2025}`, all of them: a filter could not answer truly",
    "2024-1X": "one digit of a month: write `2024-10/2024-12`",
    "1X99": "an unknown digit before a known one: write `1099/1999`",
    "?2024-07": "a qualifier of one part: write it at the end, as in `2024-07?`",
    "XXXX-05/XXXX-06": "an interval without years",
    "2024-25": "a season of a hemisphere or a quarter: write its months",
    "Y12024": "a year of five digits; `-0044`, `2024S2` and years before 0001 likewise",
    "July 2024": "not EDTF",
}
