"""Begins to answer a request without a task of asyncio: an answer from the cache needs none, and no second round of the loop.

Since Python 3.12 `asyncio.eager_task_factory` does this for every task; here it is done for granian's alone, whose first step
ends at `first_step_ends`.
"""

import asyncio
from typing import Any

# The coroutine in which granian runs an RSGI application. By any other name it gets an ordinary task, which is slower.
OF_GRANIAN = "future_watcher"


def begin_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop run the first step of each request when it is received, and make a task only of the rest."""
    answered = loop.create_future()
    answered.set_result(None)

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Future[Any]:
        if coroutine.__name__ == OF_GRANIAN:
            try:
                coroutine.send(None)
            except StopIteration:
                return answered
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(factory)


async def first_step_ends() -> None:
    """Wait for a task: until here there is none, so nothing that needs one may be called, such as `asyncio.timeout`."""
    # Any other awaitable would hand a future over, which the task would not see.
    await asyncio.sleep(0)
