"""Numbers and dates in words."""

import calendar
import datetime as dt
import re

from api.schema.choices import label_of

SEASONS = {"21": "spring", "22": "summer", "23": "autumn", "24": "winter"}
QUALIFIERS = {"?": "{} (uncertain)", "~": "about {}", "%": "about {} (uncertain)"}
# Below this, a number has no separators: years have none.
LONG = 10_000
UNITS = {"billion": 1_000_000_000, "million": 1_000_000}
# Longer rows of digits are no numbers.
LONGEST = 13


# Members whose names say less to a reader than these words.
TITLES = {
    "parent": "Part of",
    "children": "Parts of it",
    "subject_id": "About",
    "subject_kind": "Kind of record",
    "field": "Fact",
    "basis": "How it is known",
    "incomplete": "Lists that the source leaves open",
    "sentence_sha256": "Fingerprint of the sentence (SHA-256)",
    "value_sha256": "Fingerprint of the value (SHA-256)",
    "text_sha256": "Fingerprint of the text (SHA-256)",
}


def title(member: str) -> str:
    """Return the name of a member for readers."""
    return TITLES.get(member) or label_of(member)


def slug(text: str) -> str:
    """Return an id that has no name of its own in words: `500000-or-more` is `500,000 or more`."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", text):
        return text
    words = [number(int(word)) if word.isdigit() and len(word) < LONGEST else word for word in text.split("-")]
    return " ".join(words)


def number(value: float) -> str:
    """Return a number with separators for thousands, in millions or billions if it is long and round."""
    for name, unit in UNITS.items():
        if abs(value) >= unit and value % (unit / 100) == 0:
            return f"{value / unit:,.2f}".rstrip("0").rstrip(".") + f" {name}"
    text = f"{value:,}" if abs(value) >= LONG else f"{value}"
    return text.removesuffix(".0")


def counted(count: int, noun: str, *, at_least: bool = False) -> str:
    """Return a number of records in words, such as `1 city` of the plural `cities`."""
    return f"{'more than ' if at_least else ''}{number(count)} {noun_of(count, noun)}"


def noun_of(count: int, noun: str) -> str:
    """Return the plural of a noun, or the singular for one record."""
    singular = re.sub(r"ies$", "y", noun) if noun.endswith("ies") else noun.removesuffix("s")
    return singular if count == 1 else noun


def day_of(instant: str) -> str:
    """Return the day of a time of RFC 3339, in UTC."""
    return f"{dt.datetime.fromisoformat(instant).astimezone(dt.UTC):%-d %B %Y}"


def minute_of(instant: str) -> str:
    """Return a time of RFC 3339 to the minute, in UTC."""
    return f"{day_of(instant)}, {dt.datetime.fromisoformat(instant).astimezone(dt.UTC):%H:%M} UTC"


def date(text: str) -> str:
    """Return a date of EDTF in words."""
    if "/" in text:
        start, end = (part.strip(".") for part in text.split("/"))
        if not end:
            return f"since {_day(start)}"
        return f"until {_day(end)}" if not start else f"{_day(start)} to {_day(end)}"
    return _day(text)


def _day(text: str) -> str:
    qualifier = QUALIFIERS.get(text[-1], "{}")
    year, month, day = [*text.rstrip("?~%").split("-"), "", ""][:3]
    if "X" in year:
        when = "a year that is not known" if year == "XXXX" else f"the {year.replace('X', '0')}s"
        known = _month(month, day)
        return qualifier.format(f"{known} of {when}" if known else when)
    known = _month(month, day)
    return qualifier.format(f"{known} {year}" if known else year)


def _month(month: str, day: str) -> str:
    if month in SEASONS:
        return SEASONS[month]
    name = calendar.month_name[int(month)] if month.isdigit() else ""
    return f"{int(day)} {name}".strip() if day.isdigit() and name else name
