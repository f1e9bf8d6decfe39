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
from tests.support import runs
from tests.support.cluster import MISSING, Cluster, patroni, running, until
from tests.support.crowd import FAULTS, Crowd
from tests.support.databases import opened
from tests.support.runs import Row, Run
from tests.support.unproved import unproved
from tests.support.verdict import Verdict, counted, truth_of

pytestmark = [pytest.mark.slow, pytest.mark.campaign]
if MISSING:
    pytestmark.append(unproved(f"a cluster survives faults; missing: {', '.join(MISSING)}"))

RUNS = [
    Run(synchronous, fault, number + 1)
    for synchronous in (True, False)
    for fault, row in FAULTS.items()
    for number in range(row.times)
]
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
class Clusters:
    """The one cluster that runs, of one kind: to start it takes as long as a run."""

    programs: Path
    stack: ExitStack = field(default_factory=ExitStack)
    cluster: Cluster | None = None
    secret: str = ""

    def of(self, *, synchronous: bool) -> Cluster:
        """Return a whole cluster."""
        if self.cluster is None or self.cluster.synchronous != synchronous:
            self.end()
            self.cluster = self.stack.enter_context(running(self.programs, synchronous=synchronous))
            with opened(Settings(database_url=self.cluster.address())) as database, database.writing() as session:
                self.secret = keys.issue(session, "curator", ["write"])
        return self.cluster

    def end(self) -> None:
        """Stop it."""
        self.cluster = None
        self.stack.close()


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    """A cluster of one kind at a time."""
    with patroni() as programs:
        clusters = Clusters(programs)
        yield clusters
        clusters.end()


def carried_out(clusters: Clusters, run: Run, folder: Path) -> Row:
    """Return the result of a run: that of the file, or else of doing it."""
    if (row := runs.rows().get(str(run))) is None:
        cluster = clusters.of(synchronous=run.synchronous)
        try:
            row = {"run": str(run), **run._asdict(), **done(cluster, run, Crowd(cluster, clusters.secret, name(run), folder))}
        except BaseException:
            # What it left is no place for the next run.
            clusters.end()
            raise
        runs.keep(row)
    return row


def name(run: Run) -> str:
    """Return a word of which the run's records are named."""
    return f"{run.fault}-{run.number}-{int(time.time())}"


def done(cluster: Cluster, run: Run, crowd: Crowd) -> Row:
    """Let clients use the cluster, let a fault happen, and let it become whole; returns what they saw."""
    begun = time.monotonic()
    with crowd:
        until(lambda: len(crowd.acknowledged) > CALM)
        time.sleep(CALM)
        before, primary = len(crowd.acknowledged), cluster.primary()
        struck = time.monotonic()
        FAULTS[run.fault].strike(cluster, crowd)
        until(lambda: crowd.acknowledged[-1].at > struck and cluster.primary() not in {primary, ""})
        after = len(crowd.acknowledged)
        until(lambda: len(crowd.acknowledged) > after + CALM)
        if FAULTS[run.fault].is_deadly:
            cluster.start_server(primary)
        until(cluster.is_whole)
        time.sleep(CALM)
        crowd.end_writes()
        ended = time.monotonic()
        time.sleep(CACHED)
        crowd.end_reads(cluster.ask("select version from ledger_head"))
    verdict = Verdict(cluster, crowd, truth_of(cluster))
    wrong = [*verdict.wrong(), *unsound(cluster)]
    moments = [write.at for write in crowd.acknowledged if write.at <= ended]
    gap = max(later - earlier for earlier, later in itertools.pairwise(moments))
    return {
        "seconds_without_writes": round(gap, 1),
        "writes_a_second": round(before / (struck - crowd.acknowledged[0].at), 1),
        "acknowledged": len(crowd.acknowledged),
        "lost": len(verdict.lost()),
        "versions_seen_and_lost": len(verdict.seen_and_lost()),
        "versions_told": len(crowd.told),
        "statuses": counted(crowd.statuses),
        "copies_verified": verdict.verified(),
        "wrong": len(wrong),
        "examples": wrong[:10],
        "seconds_until_whole": round(ended - CALM - struck, 1),
        "seconds": round(time.monotonic() - begun),
    }


def unsound(cluster: Cluster) -> list[str]:
    """Return what `ledger verify` finds on the primary."""
    with opened(Settings(database_url=cluster.address())) as database, database.reading() as session:
        return list(verify(session))


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_fault(clusters: Clusters, run: Run, tmp_path: Path) -> None:
    """No answer is wrong, each copy is right in the end, and with `synchronous_mode` no acknowledged write is lost.

    Without it, a cut loses some, or nothing would be shown; and each reader, cursor and tag that saw one is told.
    """
    row = carried_out(clusters, run, tmp_path)
    assert (row["wrong"], row["copies_verified"]) == (0, 4), row["examples"]
    if run.synchronous:
        assert row["lost"] == 0
    elif run.fault == "cut":
        assert row["lost"] > 0


def test_control_without_epochs(clusters: Clusters, tmp_path: Path) -> None:
    """The control: without epochs, the same faults give wrong answers."""
    run = Run(synchronous=False, fault="cut", number=1, epochs=False)
    if str(run) not in runs.rows():
        clusters.of(synchronous=False).ask(WITHOUT_EPOCHS)
    row = carried_out(clusters, run, tmp_path)
    clusters.end()
    assert row["wrong"] > 0
