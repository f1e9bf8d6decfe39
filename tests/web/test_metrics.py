"""Metrics of several processes add up, and no counter goes down when one of them ends."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from api.web.metrics import BOUNDS, PREFIX, Counts, Folder, Metrics, added
from tests.support.metrics import samples, value

KEY = ("GET", "/cities", 200, "hit")
REQUESTS = st.lists(
    st.tuples(st.sampled_from(["/cities", "/awards"]), st.sampled_from([200, 404]), st.floats(0, 20), st.integers(0, 10**6))
)


def test_processes_add_up(tmp_path: Path) -> None:
    """A scrape adds what other processes have written; of one that has ended it keeps the counters but not the gauges."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (os.getppid(), ended.pid):
        other = Folder(tmp_path)
        other.own = tmp_path / f"{pid}.json"
        row = [*KEY, 2, 10, 0.5, *[0] * len(BOUNDS), 2]
        other.write(
            {"requests": [row], "events": [["limits_reached", "writes", 1]], "gauges": [["held", "Held.", "", {"": 5}]]}
        )
    counts = Counts()
    metrics = Metrics(counts, lambda: [("held", "Held.", "", {"": 1})], lambda: [("agreed", "Agreed.", "", {"": 7})])
    metrics.folder = Folder(tmp_path)
    counts.add(KEY, 0.002, 100)
    found = samples(metrics.text().decode())
    assert value(found, "requests_total", route="/cities") == 1 + 2 + 2
    assert value(found, "response_bytes_total") == 100 + 10 + 10
    assert value(found, "limits_reached_total", limit="writes") == 2
    assert value(found, "held") == 1 + 5
    assert value(found, "agreed") == 7
    # What a scrape has told stays when this process ends.
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{pid}.json" for pid in (os.getppid(), ended.pid, os.getpid())
    )


@given(REQUESTS)
def test_counts_of_any_requests(requests: list[tuple[str, int, float, int]]) -> None:
    """The sums and the buckets are those of the requests, and a bucket has all that took at most its bound."""
    counts = Counts()
    for route, status, seconds, size in requests:
        counts.add(("GET", route, status, ""), seconds, size)
    found = samples(Metrics(counts, list, list).text().decode())
    for route, number in Counter(route for route, *_ in requests).items():
        assert value(found, "requests_total", route=route) == number
        for bound in BOUNDS:
            within = sum(row[0] == route and row[2] <= bound for row in requests)
            assert value(found, "request_duration_seconds_bucket", route=route, le=str(bound)) == within
    assert value(found, "response_bytes_total") == sum(size for *_, size in requests)


def test_a_file_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    """A scrape goes on without a file that is no JSON, as a full disk can leave one."""
    (tmp_path / "1.json").write_text('{"requests": [')
    metrics = Metrics(Counts(), list, list)
    metrics.folder = Folder(tmp_path)
    assert f"{PREFIX}_requests" in metrics.text().decode()
    assert added([], "requests", 4) == {}
