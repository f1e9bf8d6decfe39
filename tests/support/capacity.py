"""How much a cluster carries when nothing fails: reads with and without the cache, quiet and while others write, and writes."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import wrk
from tests.support.cluster import NODES, Cluster
from tests.support.copies import city
from tests.support.http import ask
from tests.support.processes import at_once
from tests.support.runs import MANY

SECONDS = 4
LIST = "/cities?limit=20"
NUMBERS = itertools.count()


def measured(cluster: Cluster, secret: str) -> dict[str, Any]:
    """Return reads and writes a second."""
    writes = {f"{count} at once": writes_by(cluster, secret, count) for count in (1, 4, 16)}
    many = writes_by(cluster, secret, 1, records=MANY)
    quiet = reads(cluster)
    with writing(cluster, secret):
        busy = reads(cluster)
    return {"reads": quiet, "reads_while_writing": busy, "writes": writes, "records_in_changesets": many}


def reads(cluster: Cluster) -> dict[str, int]:
    """Return how often a list is read in a second at one node, at both behind HAProxy, and through HAProxy and Varnish."""
    node = f"http://{cluster.network}{NODES['a']}:8000"
    places = {"one node": node, "two nodes": cluster.behind, "two nodes and the cache": cluster.public}
    return {name: round(wrk.load(f"{place}{LIST}", SECONDS).rate) for name, place in places.items()}


def writes_by(cluster: Cluster, secret: str, clients: int, *, records: int = 1) -> float:
    """Return how many records clients create in a second, each with one request after the other."""
    ends = time.monotonic() + SECONDS

    def work(_number: int) -> int:
        done = 0
        while time.monotonic() < ends:
            done += create(cluster, secret, records)
        return done

    done: list[int] = at_once(clients, work)
    return round(sum(done) / SECONDS, 1)


def create(cluster: Cluster, secret: str, records: int) -> int:
    """Create cities by one request; returns their number."""
    cities = [city(f"much-{int(time.time())}-{next(NUMBERS)}-zz") for _ in range(records)]
    operations = [{"op": "create", "kind": "cities", "document": record} for record in cities]
    path, body = ("/cities", cities[0]) if records == 1 else ("/changesets", {"operations": operations})
    answer = ask(f"{cluster.public}{path}", "POST", body, {"Authorization": f"Bearer {secret}"})
    assert answer.status in {200, 201}, answer
    return records


@contextmanager
def writing(cluster: Cluster, secret: str) -> Iterator[None]:
    """Let one client write all the time."""
    has_ended = threading.Event()

    def work() -> None:
        while not has_ended.is_set():
            create(cluster, secret, 1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()
