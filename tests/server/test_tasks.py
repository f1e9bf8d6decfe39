"""The first step of a request runs in the thread that granian calls the loop from, and the rest in a task."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from granian.constants import HTTPModes
from granian.server.embed import Server

from api.server.tasks import begin_at_once, first_step_ends
from tests.support.processes import unused_port


async def steps_of(work: Callable[[], Awaitable[None]]) -> None:
    """Wait for a task, as a request that is not answered at once."""
    await first_step_ends()
    async with asyncio.timeout(10):
        await work()


def test_only_what_waits_gets_a_task() -> None:
    """A coroutine of granian's name begins at once, and gets a task if it goes on; the control: another one waits for the loop."""
    steps: list[tuple[str, bool]] = []

    async def run() -> None:
        loop, home = asyncio.get_running_loop(), threading.get_ident()
        begin_at_once(loop)

        async def end() -> None:
            steps.append(("rest", threading.get_ident() == home))

        async def future_watcher(*, is_whole: bool) -> None:
            steps.append(("first", threading.get_ident() == home))
            if not is_whole:
                await steps_of(end)

        async def other() -> None:
            steps.append(("other", threading.get_ident() == home))

        tasks: list[asyncio.Task[None]] = []
        for request in (future_watcher(is_whole=True), future_watcher(is_whole=False), other()):
            await asyncio.to_thread(
                loop.call_soon_threadsafe, lambda each, _: tasks.append(loop.create_task(each)), request, None
            )
        await asyncio.gather(*tasks)
        assert len(tasks) == 2

    asyncio.run(run())
    assert steps == [("first", False), ("first", False), ("rest", True), ("other", True)]


@pytest.mark.parametrize("begins_at_once", [True, False])
def test_granian_calls_the_loop_so(*, begins_at_once: bool) -> None:
    """A request to granian begins outside of its loop's thread, and goes on in that; the control: by default, it begins there."""
    threads: list[int] = []

    async def app(_scope: Any, proto: Any) -> None:
        threads.append(threading.get_ident())
        await first_step_ends()
        threads.append(threading.get_ident())
        proto.response_bytes(200, [], b"")

    async def run() -> None:
        port = unused_port()
        target = SimpleNamespace(__rsgi__=app, __rsgi_init__=begin_at_once if begins_at_once else lambda _: None)
        server = Server(target, port=port, http=HTTPModes.http1, websockets=False)
        serving = asyncio.create_task(server.serve())
        assert await asyncio.to_thread(status, f"http://127.0.0.1:{port}") == 200
        server.stop()  # type: ignore[no-untyped-call]
        await serving

    asyncio.run(run())
    assert [thread != threading.get_ident() for thread in threads] == [begins_at_once, False]


def status(url: str) -> int:
    """Ask until the server listens, and return the status."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(URLError), urlopen(url, timeout=10) as answer:
            return int(answer.status)
    return 0
