"""Moving windows of requests, in this process: the storage of `limits` starts a thread at almost every request."""

import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from threading import Lock

from limits import RateLimitItem, WindowStats


class MovingWindows:
    """The times of the counted requests of each client, with the methods of `limits.strategies.MovingWindowRateLimiter`."""

    def __init__(self) -> None:
        """Begin without requests."""
        # By client, the one that has been away for longest first: its times, and the seconds after which one leaves the window.
        self._windows: OrderedDict[str, tuple[deque[float], int]] = OrderedDict()
        self._lock = Lock()

    def hit(self, item: RateLimitItem, *identifiers: str) -> bool:
        """Count a request of a client, and tell whether it is within the limit; a refused one is not counted."""
        now = time.time()
        with self._lock:
            times = self._recent(item, identifiers, now)
            if len(times) >= item.amount:
                return False
            times.append(now)
            longest, expiry = next(iter(self._windows.values()))
            if not longest or longest[-1] <= now - expiry:
                self._windows.popitem(last=False)
            return True

    def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """Return when the oldest request of a client leaves the window, and how many more are within the limit."""
        now = time.time()
        with self._lock:
            times = self._recent(item, identifiers, now)
            return WindowStats((times[0] if times else now) + item.get_expiry(), item.amount - len(times))

    def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Forget the requests of a client."""
        with self._lock:
            self._windows.pop(item.key_for(*identifiers), None)

    def __len__(self) -> int:
        """Return the number of clients that are remembered."""
        return len(self._windows)

    def _recent(self, item: RateLimitItem, identifiers: Sequence[str], now: float) -> deque[float]:
        """Return the times of a client's requests within its window; the client is the last one to be forgotten."""
        key = item.key_for(*identifiers)
        times, expiry = self._windows.setdefault(key, (deque(), item.get_expiry()))
        self._windows.move_to_end(key)
        while times and times[0] <= now - expiry:
            times.popleft()
        return times
