"""What happens to a cluster."""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.support.cluster import NODES, Cluster
from tests.support.crowd import Crowd


def cut(cluster: Cluster, crowd: Crowd, *, more: int = 20, patience: float = 6) -> None:
    """Stop the receivers of the log, let the primary go on, and kill it and them, so that nothing in the sockets survives."""
    receivers = cluster.receivers()
    for process in receivers.values():
        process.send_signal(signal.SIGSTOP)
    deadline, before = time.monotonic() + patience, len(crowd.acknowledged)
    while time.monotonic() < deadline and len(crowd.acknowledged) < before + more:
        time.sleep(0.02)
    cluster.kill(cluster.primary(), also=receivers)


def outage(cluster: Cluster, crowd: Crowd) -> None:
    """Cut, and kill all nodes too, so that no process remembers what was lost."""
    cut(cluster, crowd)
    for name in NODES:
        cluster.restart_node(name)


def kill(cluster: Cluster, _crowd: Crowd) -> None:
    """Kill the machine of the primary."""
    cluster.kill(cluster.primary())


def switch_over(cluster: Cluster, _crowd: Crowd) -> None:
    """Make a standby the primary."""
    cluster.switch_over()


class Fault(NamedTuple):
    """What happens, how often it is tried, and whether it leaves a dead machine."""

    strike: Callable[[Cluster, Crowd], None]
    times: int
    is_deadly: bool = True


FAULTS = {
    "kill": Fault(kill, 3),
    "switchover": Fault(switch_over, 3, is_deadly=False),
    "cut": Fault(cut, 10),
    "outage": Fault(outage, 1),
}
