"""The access log: one line on standard output for each answered request, as text or as JSON."""

import json
import sys
import threading
import time
from collections import deque

from api.web.exchanges import Exchange

# Seconds for which lines are collected: to write each by itself takes longer than to answer a request from the cache.
PAUSE = 0.1


class AccessLog:
    """Collects lines, and writes them in a thread that starts with the first one."""

    def __init__(self, format: str) -> None:
        """Write ``text`` or ``json``."""
        self.line = as_json if format == "json" else as_text
        self.lines: deque[str] = deque()
        self.lock = threading.Lock()
        self.writer: threading.Thread | None = None
        # The second that was told last, and its text.
        self.second: tuple[int, str] = (0, "")

    def write(self, exchange: Exchange) -> None:
        """Write the line of an exchange soon."""
        self.lines.append(self.line(self._now(), exchange))
        if self.writer is None:
            self._start()

    def flush(self) -> None:
        """Write the lines that wait."""
        with self.lock:
            waiting = [self.lines.popleft() for _ in range(len(self.lines))]
            if waiting:
                # One write, so that lines of several processes do not mix.
                sys.stdout.write("\n".join([*waiting, ""]))
                sys.stdout.flush()

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if self.second[0] != second:
            self.second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{self.second[1]}.{int(now * 1000) % 1000:03d}Z"

    def _start(self) -> None:
        with self.lock:
            if self.writer is None:
                self.writer = threading.Thread(target=self._run, name="access log", daemon=True)
                self.writer.start()

    def _run(self) -> None:
        while True:
            time.sleep(PAUSE)
            self.flush()


def as_text(now: str, exchange: Exchange) -> str:
    """Return a line that a person reads; no value in it has a space or a control character."""
    return (
        f"{now} {exchange.client or '-'} {exchange.method} {exchange.route or '-'} {exchange.status}"
        f" {exchange.seconds * 1000:.2f}ms {exchange.size}B cache={exchange.cache or '-'} key={_word(exchange.key)}"
        f" id={exchange.request_id or '-'} trace={exchange.trace or '-'}"
    )


def as_json(now: str, exchange: Exchange) -> str:
    """Return a line that a program reads: all but the key's name need no escapes."""
    return (
        f'{{"time":"{now}","client":"{exchange.client}","method":"{exchange.method}","route":"{exchange.route}"'
        f',"status":{exchange.status},"ms":{exchange.seconds * 1000:.3f},"bytes":{exchange.size},"cache":"{exchange.cache}"'
        f',"key":{json.dumps(exchange.key) if exchange.key else "null"},"request_id":"{exchange.request_id}"'
        f',"trace_id":{f"{chr(34)}{exchange.trace}{chr(34)}" if exchange.trace else "null"}}}'
    )


def _word(text: str) -> str:
    return json.dumps(text) if text else "-"
