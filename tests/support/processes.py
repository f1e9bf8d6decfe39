"""Separate processes: the command line and servers that can be killed; and threads that start at once."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields
from http.client import HTTPConnection, HTTPException
from typing import Any

import psutil
import pytest

from api.settings import ROOT, Settings

ALEMBIC = (sys.executable, "-m", "alembic", "upgrade", "head")
FLASK = (sys.executable, "-m", "flask", "--app", "wsgi")
SERVE = (*FLASK, "serve")
# How each program is run: in the project's folder, without input, with both of its outputs in one pipe.
PIPED: dict[str, Any] = {
    "cwd": ROOT,
    "text": True,
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
}
# The password in addresses that lead nowhere; no output may show it.
SECRET = "s3cret"  # noqa: S105 - it opens nothing

# Runs a command; returns its exit status and its lines of output.
Run = Callable[..., tuple[int, list[str]]]


def unused_port() -> int:
    """Return a port on 127.0.0.1 that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(variables: dict[str, object]) -> dict[str, str]:
    """Return this process's environment with these settings of the project and no others."""
    ours = {row.name.upper() for row in fields(Settings)}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {name: str(value) for name, value in variables.items()}


@contextmanager
def listening(arguments: Sequence[str], host: str, port: int, **variables: object) -> Iterator[subprocess.Popen[str]]:
    """Start a server, wait until it accepts connections, and kill it afterwards, with the processes of its group."""
    process = subprocess.Popen(
        arguments,
        **PIPED,
        env=environment(variables),
        start_new_session=True,
    )
    with process:
        try:
            wait_until(lambda: accepts(host, port), process)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Wait until a condition holds; fails after 60 seconds, or with the program's output if it ends first."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
            assert process.stdout
            pytest.fail(process.stdout.read())


def accepts(host: str, port: int) -> bool:
    """Return whether a program accepts connections at an address."""
    try:
        socket.create_connection((host, port)).close()
    except ConnectionRefusedError:
        return False
    return True


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Call a function with 0, 1, … in `count` threads that start at once; returns the results in order."""
    barrier = threading.Barrier(count)

    def start(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


class Server:
    """`serve` in separate processes, to be killed."""

    def __init__(self, settings: Settings, **more: str) -> None:
        """Start it on a database, with more environment variables."""
        self.port = unused_port()
        self.environ = {
            **os.environ,
            "DATABASE_URL": settings.database_url,
            "PORT": str(self.port),
            "WORKERS": "1",
            "WRITE_LIMIT": "1000000/minute",
            **more,
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the processes."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(SERVE, env=self.environ, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)

    def kill(self) -> None:
        """Kill all processes at once, as the kernel does when memory runs out."""
        for process in (*(main := psutil.Process(self.process.pid)).children(), main):
            process.kill()
        self.process.wait()

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send a request until its answer is not a 503, like a client on a bad network; returns status and body."""
        while True:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                status, content = answer.status, answer.read()
                if status != 503:
                    return status, content
            except (OSError, HTTPException):
                # A client cannot tell a truncated answer from a missing one.
                time.sleep(0.02)
            finally:
                connection.close()


def refusal(arguments: Sequence[str], **variables: object) -> str:
    """Run a program that must fail with one line, and return the line."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        arguments,
        **PIPED,
        env=environment(variables),
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert SECRET not in done.stdout
    (line,) = done.stdout.splitlines()
    return line
