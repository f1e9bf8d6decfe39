"""The first step of a request runs when it is received, and the rest in a task."""

import asyncio
from typing import Any

from api.server.tasks import begin_at_once, first_step_ends


def test_only_what_waits_gets_a_task() -> None:
    """A coroutine of granian's name begins at once, and gets a task if it goes on; the control: another one waits for its turn."""
    steps: list[tuple[str, bool]] = []
    tasks: list[Any] = []

    def note(step: str) -> None:
        steps.append((step, asyncio.current_task() not in tasks))

    async def future_watcher(*, is_whole: bool) -> None:
        note("first")
        if not is_whole:
            await first_step_ends()
            async with asyncio.timeout(10):
                note("rest")
                await asyncio.sleep(0)

    async def other() -> None:
        note("other")

    async def run() -> None:
        tasks.append(asyncio.current_task())
        begin_at_once(asyncio.get_running_loop())
        whole, parted, late = (
            asyncio.ensure_future(each) for each in (future_watcher(is_whole=True), future_watcher(is_whole=False), other())
        )
        assert (steps, whole.done(), parted.done()) == ([("first", False)] * 2, True, False)
        await asyncio.gather(parted, late)

    asyncio.run(run())
    assert steps == [("first", False), ("first", False), ("rest", True), ("other", True)]
