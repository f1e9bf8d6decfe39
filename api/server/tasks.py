"""Begins to answer a request in the thread in which granian hands it over: an answer from the cache needs no event loop.

To wake the loop and to make a task of asyncio takes longer than such an answer. So the first step of each request, which ends
at `first_step_ends`, runs before granian's coroutine is handed to the loop, and only the rest in a task.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

# The coroutine in which granian runs an RSGI application. One by any other name begins in the loop, which is slower.
OF_GRANIAN = "future_watcher"


def begin_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """Let the first step of each request run in the thread that calls the loop for it."""
    call_soon_threadsafe = loop.call_soon_threadsafe

    def call(callback: Callable[..., Any], *arguments: Any, context: Context | None = None) -> asyncio.Handle | None:
        if arguments and getattr(arguments[0], "__name__", "") == OF_GRANIAN:
            try:
                arguments[0].send(None)
            except StopIteration:
                return None
        return call_soon_threadsafe(callback, *arguments, context=context)

    loop.call_soon_threadsafe = call  # type: ignore[assignment]


async def first_step_ends() -> None:
    """Wait for a task: until here there is none, so nothing that needs one may be called, such as `asyncio.timeout`."""
    # Any other awaitable would hand a future over, which the task would not see.
    await asyncio.sleep(0)
