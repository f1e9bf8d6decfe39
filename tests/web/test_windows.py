"""Windows of requests in this process, compared with those of the library."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from api.web.windows import MovingWindows

SHORT, LONG = parse("2/minute"), parse("3/hour")


@given(st.lists(st.tuples(st.sampled_from([SHORT, LONG]), st.sampled_from("ab"), st.integers(1, 1_000)), max_size=30))
def test_requests_are_counted_as_by_the_library(requests: list[tuple[RateLimitItem, str, int]]) -> None:
    """Whatever the requests and the seconds between them, both refuse the same ones, and say the same about the rest."""
    ours, library, now = MovingWindows(), MovingWindowRateLimiter(MemoryStorage()), time.time()

    with pytest.MonkeyPatch.context() as patch:
        for item, client, seconds in requests:
            now += seconds
            patch.setattr(time, "time", lambda now=now: now)
            assert ours.hit(item, client) == library.hit(item, client)
            assert ours.get_window_stats(item, client) == library.get_window_stats(item, client)


def test_a_client_that_stays_away_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows of clients that do not come back do not fill the memory; the control: those of the last hour are kept."""
    ours, start = MovingWindows(), time.time()
    for number in range(100):
        monkeypatch.setattr(time, "time", lambda number=number: start + number)
        ours.hit(SHORT, f"{number}")
        ours.hit(LONG, "often")
    assert ours.get_window_stats(LONG, "often").remaining == 0
    assert len(ours) == 61
