"""Clients take turns for threads, and one client leaves one for the others."""

import threading

from api.server.threads import Threads


def test_one_client_leaves_a_thread() -> None:
    """When one client's jobs hold every other thread, another client's job runs, and the rest of the first one's wait."""
    threads, gate, begun, ran = Threads("test", 3, 2), threading.Event(), threading.Semaphore(0), threading.Event()

    def slow() -> None:
        begun.release()
        gate.wait(30)

    for _ in range(10):
        threads.submit("attacker", slow)
    assert [begun.acquire(timeout=10) for _ in range(2)] == [True, True]
    threads.submit("guest", ran.set)
    assert ran.wait(10)
    assert not begun.acquire(timeout=0.2)
    gate.set()
    assert all(begun.acquire(timeout=10) for _ in range(8))


def test_clients_take_turns() -> None:
    """A new client's job is the next but one, however many jobs of another wait; a failed job ends nothing."""
    threads, gate, order, done = Threads("test", 1, 1), threading.Event(), [], threading.Event()

    def fail() -> None:
        gate.wait(30)
        raise RuntimeError("gone")

    threads.submit("attacker", fail)
    for number in range(3):
        threads.submit("attacker", lambda number=number: order.append(f"attacker {number}"))  # type: ignore[misc]
    threads.submit("guest", lambda: order.append("guest"))
    threads.submit("attacker", done.set)
    gate.set()
    assert done.wait(10)
    assert order == ["attacker 0", "guest", "attacker 1", "attacker 2"]
