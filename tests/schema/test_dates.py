"""Dates in EDTF: their meaning equals a second opinion that counts days, and only dates that filters can compare are taken."""

import datetime as dt
import re
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from edtf import parse_edtf
from edtf.parser.parser_classes import Season
from hypothesis import example, given
from hypothesis import strategies as st

from api.schema import dates
from api.settings import ROOT
from tests.support import oracle
from tests.support.dates import MEANINGS, REFUSED

PROGRAM = """
import sys, api.app
from api.schema import dates
print("edtf" in sys.modules)
dates.parse("2024")
print("edtf" in sys.modules)
"""
YEARS = st.one_of(
    st.integers(1, 9999).map("{:04}".format),
    st.integers(1, 999).map("{:03}X".format),
    st.integers(1, 99).map("{:02}XX".format),
    st.just("XXXX"),
)
TWO_DIGITS = st.one_of(st.integers(1, 31).map("{:02}".format), st.just("XX"))
ALONE = st.one_of(
    YEARS,
    st.tuples(YEARS, TWO_DIGITS).map("-".join),
    st.tuples(YEARS, TWO_DIGITS, TWO_DIGITS).map("-".join),
    st.tuples(st.integers(1, 9998).map("{:04}".format), st.integers(21, 24).map(str)).map("-".join),
)
QUALIFIED = st.tuples(ALONE, st.sampled_from(["", "?", "~", "%"])).map("".join)
TEXTS = st.one_of(
    QUALIFIED,
    st.tuples(QUALIFIED, st.one_of(QUALIFIED, st.sampled_from(["", ".."]))).map("/".join),
    st.tuples(st.sampled_from(["", ".."]), QUALIFIED).map("/".join),
)


@pytest.mark.parametrize("date", MEANINGS)
def test_meaning(date: str) -> None:
    """Each documented date has the documented days and month."""
    row = MEANINGS[date]
    days = [row.earliest.replace("no start", "0001-01-01"), row.latest.replace("no end", "9999-12-31")]
    assert dates.parse(date) == ("/".join(days) if row.earliest else None, int(row.month) if row.month else None)


@pytest.mark.parametrize(
    "text", [*REFUSED, "", "0000-24", "2024-00", "2024-13", "2024-07-32", " 2024", "2024\n", "/", "..", "../..", "٢٠٢٤"]
)
def test_refused(text: str) -> None:
    """Each documented text, and what only looks like a date, is refused with a sentence."""
    with pytest.raises(ValueError, match=r"^[A-Z][^\n]+\.$"):
        dates.parse(text)


def opinion(text: str) -> tuple[str | None, int | None] | None:
    """Return the meaning of a text by the second opinion; None if it is no date."""
    ends = text.split("/")
    sides = [[] if end in {"", ".."} else oracle.possible(end) for end in ends]
    if any(end not in {"", ".."} and not days for end, days in zip(ends, sides, strict=True)):
        return None
    if "XXXX" in text:
        return None if "/" in text else (None, oracle.month(text))
    first, last = min(sides[0], default=dt.date.min), max(sides[-1], default=dt.date.max)
    return (f"{first}/{last}", oracle.month(text)) if first <= last else None


@given(text=TEXTS)
@example("9999-21")
@example("9999-24")
@example("XXXX-21")
def test_days(text: str) -> None:
    """The earliest and the latest day, and the month, are those of all days that a date can mean; without a day, it is none."""
    try:
        assert dates.parse(text) == opinion(text)
    except ValueError:
        assert opinion(text) is None


@given(text=ALONE)
def test_the_library_agrees(text: str) -> None:
    """The library's grammar knows each date, with the same bounds, but for seasons, and for days that no calendar has."""
    try:
        period = dates.parse(text).period
    except ValueError:
        return
    date = parse_edtf(text)
    assert period is None or str(date) == text
    if period and not isinstance(date, Season):
        bounds = [date.lower_strict()[:3], date.upper_strict()[:3]]
        written = ["{:04}-{:02}-{:02}".format(*bound) for bound in bounds]
        odd = [day for day in written if day.startswith("0000") or day.endswith("-02-29")]
        assert odd or "/".join(written) == period


def test_cost() -> None:
    """As many dates as a request can have, all new ones, take less than a second; the library's grammar takes several."""
    texts = [f"{n % 1000:03}X-{n % 12 + 1:02}-{n % 28 + 1:02}/{n % 1000:03}X-12-{n // 1000 + 1:02}" for n in range(1000, 6000)]
    start = time.process_time()
    for text in texts:
        with suppress(ValueError):
            dates.parse(text)
    ours = time.process_time() - start
    for text in texts[:100]:
        parse_edtf(text)
    theirs = time.process_time() - start - ours
    assert ours < 1 < 50 * theirs


def test_the_library_is_loaded_with_the_first_date() -> None:
    """A process starts without the library, and loads it for the first date."""
    output = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "True"]


@given(text=TEXTS)
def test_pattern(text: str) -> None:
    """Every date matches the documented pattern, and the pattern of filters just if its year is known."""
    try:
        period = dates.parse(text).period
    except ValueError:
        return
    assert re.fullmatch(dates.EDTF, text)
    assert len(text) <= dates.LONGEST
    assert bool(re.fullmatch(dates.PERIOD, text)) == (period is not None)


@given(text=TEXTS)
def test_a_period_is_a_date_of_itself(text: str) -> None:
    """A period is EDTF, and means itself, so that a cursor can hold it."""
    try:
        period = dates.parse(text).period
    except ValueError:
        return
    assert period is None or dates.known_period(period) == period


@given(day=st.dates(), length=st.integers(1, 10))
def test_beginnings(day: dt.date, length: int) -> None:
    """The first characters of a day stand for the days that begin with them."""
    text = day.isoformat()[:length]
    first, last = dates.beginning(text)
    assert first <= day.isoformat() <= last
    before, after = (dt.date.fromisoformat(end).toordinal() + step for end, step in ((first, -1), (last, 1)))
    outside = [dt.date.fromordinal(number) for number in (before, after) if 1 <= number <= dt.date.max.toordinal()]
    assert [day for day in outside if day.isoformat().startswith(text)] == []
    assert first.startswith(text)
    assert last.startswith(text)


@pytest.mark.parametrize(
    "text", ["", "2024-2", "2024-13", "2024-02-3", "2023-02-29", "0000", "x", "2024?", "20240", "2024-07-31-"]
)
def test_no_beginning(text: str) -> None:
    """A text with which no day begins is refused."""
    with pytest.raises(ValueError, match="Not"):
        dates.beginning(text)
