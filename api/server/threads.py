"""Threads that answer requests, fairly: clients take turns, and one client leaves a thread for the others."""

import logging
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]
logger = logging.getLogger(__name__)


class Threads:
    """A number of threads, each started when it is needed first."""

    def __init__(self, name: str, size: int, share: int) -> None:
        """Run at most ``size`` jobs at a time, of one client at most ``share``; the others wait for their client's turn."""
        self._name, self._size, self._share = name, size, share
        self._lock = threading.Lock()
        self._ready: SimpleQueue[tuple[str, Job]] = SimpleQueue()
        self._running: Counter[str] = Counter()
        self._busy = self._started = 0
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()

    def submit(self, client: str, job: Job) -> None:
        """Run a job as soon as a thread is free for this client."""
        with self._lock:
            if self._busy >= self._size or self._running[client] >= self._share:
                self._waiting.setdefault(client, deque()).append(job)
                return
            self._running[client] += 1
            self._busy += 1
            self._ready.put((client, job))
            if self._busy > self._started:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()

    def _work(self) -> None:
        client, job = self._ready.get()
        while True:
            try:
                job()
            except Exception:
                logger.exception("a request failed in its thread")
            # A job holds its request, which would otherwise live until the next one.
            del job
            client, job = self._next(client) or self._ready.get()

    def _next(self, finished: str) -> tuple[str, Job] | None:
        """Return the next job that waits, of the client that has waited longest for its turn; None to wait for one."""
        with self._lock:
            self._running[finished] -= 1
            if not self._running[finished]:
                del self._running[finished]
            client = next((name for name in self._waiting if self._running[name] < self._share), None)
            if client is None:
                self._busy -= 1
                return None
            jobs = self._waiting.pop(client)
            job = jobs.popleft()
            if jobs:
                # To the end of the row, after all other clients.
                self._waiting[client] = jobs
            self._running[client] += 1
            return client, job
