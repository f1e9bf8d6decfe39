"""Servers as processes: started on a free port, awaited, and always stopped. It reads ``/proc``, so it runs on Linux."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
STARTING, STOPPING, PAUSE = 120.0, 20.0, 0.05
OUTPUT = 2_000


class ServerError(RuntimeError):
    """A server that did not start or did not stop; the message ends with the end of its output."""


def free_port() -> int:
    """Return a port that no process listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def status(port: int, path: str) -> int | None:
    """Return the status of a response, or None if there is no response."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=STARTING)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return None
        return response.status


def members(session: int) -> list[int]:
    """Return the ids of a session's processes: all that its first process started, even if it is no longer their parent."""
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                # The name is in parentheses and may contain spaces; state, parent, group and session follow it.
                state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(its_session) == session and state != "Z":
                    pids.append(int(folder.name))
    return pids


@contextmanager
def started(command: Sequence[str], port: int, env: Mapping[str, str], *, ready: str, cwd: Path) -> Iterator[str]:
    """Run a server during the block; yields its base URL. Raises ServerError."""
    if status(port, ready) is not None:
        raise ServerError(f"another server listens on port {port}")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as home:
        # Files that a server keeps in its user's home are removed with it.
        environ = {**os.environ, "HOME": home, **env, "HOST": HOST, "PORT": str(port)}
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait(process, port, ready, output)
            yield f"http://{HOST}:{port}"
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, output: IO[bytes]) -> None:
    end = time.monotonic() + STARTING
    while (last := status(port, ready)) != HTTPStatus.OK:
        if process.poll() is not None or time.monotonic() > end:
            how = f"ended with {process.returncode}" if process.returncode is not None else f"responds to {ready} with {last}"
            output.seek(0)
            raise ServerError(f"{process.args!r} {how}: {output.read()[-OUTPUT:].decode(errors='replace')}")
        time.sleep(PAUSE)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The first process stops its own workers; any process of the session that is left after that is killed.
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING)
    end = time.monotonic() + STOPPING
    while left := members(process.pid):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise ServerError(f"these processes do not end: {left}")
        time.sleep(PAUSE)
    process.wait(STOPPING)
