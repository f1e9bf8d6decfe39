"""Faults in a cluster of the files in `deploy/cluster/`: nothing acknowledged is lost, or everyone who saw it is told.

One line of JSON for each run goes to `bench/results/cluster.jsonl`, or to the file that `CLUSTER_RESULTS` names. A run that
has its line is not run again, so the campaign can be stopped and go on.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from api.ledger.epochs import ORIGIN
from api.ledger.verify import verify
from api.settings import Settings
from api.web import keys
from tests.support import capacity, runs
from tests.support.cluster import MISSING, Cluster, patroni, start, until
from tests.support.crowd import Crowd
from tests.support.databases import opened
from tests.support.faults import FAULTS
from tests.support.runs import Row, Run
from tests.support.unproved import unproved
from tests.support.verdict import Verdict, counted, truth_of

pytestmark = [pytest.mark.slow, pytest.mark.campaign]
if MISSING:
    pytestmark.append(unproved(f"a cluster survives faults; missing: {', '.join(MISSING)}"))

CASES = [(fault, number + 1) for fault, row in FAULTS.items() for number in range(row.times)]
# How long the clients go on before a fault, and after the cluster is whole again, in seconds.
CALM = 4
# S_MAXAGE and the grace of Varnish: for so long, the cache may answer with what was lost.
CACHED = 13
# A new timeline begins an epoch. This trigger notes the new timeline before the writer compares it with the noted one.
WITHOUT_EPOCHS = f"""
    create function no_epoch() returns trigger language plpgsql as
    $$ begin new.origin := {ORIGIN.element!s}; new.epoch := old.epoch; return new; end $$;
    create trigger no_epoch before update on ledger_head for each row execute function no_epoch()
"""


@dataclass
class Place:
    """Where a cluster of one kind runs, once a test needs it; to start it takes longer than a run."""

    synchronous: bool
    stack: ExitStack = field(default_factory=ExitStack)
    programs: Path | None = None
    cluster: Cluster | None = None
    secret: str = ""

    def whole(self) -> Cluster:
        """Return the cluster, in which nothing is broken."""
        self.programs = self.programs or self.stack.enter_context(patroni())
        if self.cluster is None:
            self.cluster = start(self.programs, synchronous=self.synchronous)
            self.stack.callback(self.end)
            with opened(Settings(database_url=self.cluster.address())) as database, database.writing() as session:
                self.secret = keys.issue(session, "curator", ["write"])
        return self.cluster

    def end(self) -> None:
        """Stop the cluster."""
        if self.cluster:
            self.cluster.end()
            self.cluster = None


@pytest.fixture(scope="module", params=[True, False], ids=["synchronous", "asynchronous"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place for a cluster with or without `synchronous_mode`."""
    place = Place(request.param)
    with place.stack:
        yield place


def measured(place: Place) -> Row:
    """Return what a cluster carries: the result of the file, or else of measuring it."""
    name = f"{'synchronous' if place.synchronous else 'asynchronous'}-capacity"
    if (row := runs.rows().get(name)) is None:
        row = {"run": name, "synchronous": place.synchronous, **capacity.measured(place.whole(), place.secret)}
        runs.keep(row)
    return row


def carried_out(place: Place, run: Run, folder: Path) -> Row:
    """Return the result of a run: that of the file, or else of doing it."""
    if (row := runs.rows().get(str(run))) is None:
        try:
            cluster = place.whole()
            if not run.epochs:
                cluster.ask(WITHOUT_EPOCHS)
            crowd = Crowd(cluster, place.secret, name(run), folder)
            row = {"run": str(run), **run._asdict(), **done(cluster, run, crowd)}
        except BaseException:
            # What it left is no place for the next run.
            place.end()
            raise
        runs.keep(row)
    return row


def name(run: Run) -> str:
    """Return the word with which the names of the run's records begin."""
    return f"{run.fault}-{run.number}-{int(time.time())}"


def done(cluster: Cluster, run: Run, crowd: Crowd) -> Row:
    """Let clients use the cluster, let a fault happen, and let it become whole; returns what they saw."""
    with crowd:
        until(lambda: len(crowd.acknowledged) > CALM)
        time.sleep(CALM)
        primary, struck = cluster.primary(), time.monotonic()
        FAULTS[run.fault].strike(cluster, crowd)
        until(lambda: crowd.acknowledged[-1].at > struck and cluster.primary() not in {primary, ""})
        after = len(crowd.acknowledged)
        until(lambda: len(crowd.acknowledged) > after + CALM)
        if FAULTS[run.fault].is_deadly:
            cluster.start_server(primary)
        until(cluster.is_whole)
        whole = time.monotonic()
        time.sleep(CALM)
        crowd.end_writes()
        time.sleep(CACHED)
        crowd.end_reads(cluster.ask("select version from ledger_head"))
    seconds = {"seconds_without_writes": round(silence(crowd), 1), "seconds_until_whole": round(whole - struck, 1)}
    return seconds | judged(cluster, crowd)


def silence(crowd: Crowd) -> float:
    """Return the longest time between two acknowledged writes."""
    return max(later.at - earlier.at for earlier, later in itertools.pairwise(crowd.acknowledged))


def judged(cluster: Cluster, crowd: Crowd) -> Row:
    """Return what clients saw, compared with what the primary has."""
    verdict = Verdict(cluster, crowd, truth_of(cluster))
    wrong = [*verdict.wrong(), *unsound(cluster)]
    return {
        "acknowledged": len(crowd.acknowledged),
        "lost": len(verdict.lost()),
        "versions_seen_and_lost": len(verdict.seen_and_lost()),
        "versions_told": len(crowd.told),
        "statuses": counted(crowd.statuses),
        "copies_verified": verdict.verified(),
        "wrong": len(wrong),
        "examples": wrong[:10],
    }


def unsound(cluster: Cluster) -> list[str]:
    """Return what `ledger verify` finds on the primary."""
    with opened(Settings(database_url=cluster.address())) as database, database.reading() as session:
        return list(verify(session))


@pytest.mark.parametrize(("fault", "number"), CASES)
def test_fault(place: Place, fault: str, number: int, tmp_path: Path) -> None:
    """No answer is wrong, each copy is right in the end, and with `synchronous_mode` no acknowledged write is lost.

    Without it, a cut loses some, or nothing would be shown; and each reader, cursor and tag that saw one is told.
    """
    row = carried_out(place, Run(place.synchronous, fault, number), tmp_path)
    assert (row["wrong"], row["copies_verified"]) == (0, 4), row["examples"]
    if place.synchronous:
        assert row["lost"] == 0
    elif fault in {"cut", "outage"}:
        assert row["lost"] > 0


@pytest.mark.parametrize("place", [False], indirect=True)
def test_control_without_epochs(place: Place, tmp_path: Path) -> None:
    """The control: without epochs, an outage gives wrong answers."""
    row = carried_out(place, Run(synchronous=False, fault="outage", number=1, epochs=False), tmp_path)
    place.end()
    assert row["wrong"] > 0


def test_capacity(place: Place) -> None:
    """A cluster answers while clients write, and its writes go one after the other: 16 clients write less than 16 times as much."""
    row = measured(place)
    assert min(*row["reads"].values(), *row["reads_while_writing"].values()) > 0
    assert 0 < row["writes"]["16 at once"] < 16 * row["writes"]["1 at once"]
