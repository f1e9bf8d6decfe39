"""Servers as processes: started on a free port, waited for, and stopped for certain. It reads ``/proc``, so on Linux."""

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
SAID = 2_000


class ServerError(RuntimeError):
    """A server that did not start, or that left something behind; the message ends with what it said."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def status(port: int, path: str) -> int | None:
    """Return the status of an answer, or None where there is none."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=STARTING)) as connection:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return None
        return answer.status


def members(session: int) -> list[int]:
    """Return the processes of a session: all that its first process started, whoever their parent is now."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                # The name is in parentheses, and may hold spaces: state, parent, group and session come after it.
                state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == session and state != "Z":
                    found.append(int(folder.name))
    return found


@contextmanager
def started(command: Sequence[str], port: int, env: Mapping[str, str], *, ready: str, cwd: Path) -> Iterator[str]:
    """Run a server for as long as the block runs; yields its base URL. Raises ServerError."""
    if status(port, ready) is not None:
        raise ServerError(f"somebody else answers on port {port}")
    with tempfile.TemporaryFile() as said, tempfile.TemporaryDirectory() as home:
        # What a server keeps in somebody's home goes when it goes.
        environ = {**os.environ, "HOME": home, **env, "HOST": HOST, "PORT": str(port)}
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
        try:
            _wait(process, port, ready, said)
            yield f"http://{HOST}:{port}"
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, said: IO[bytes]) -> None:
    end = time.monotonic() + STARTING
    while (found := status(port, ready)) != HTTPStatus.OK:
        if process.poll() is not None or time.monotonic() > end:
            how = f"ended with {process.returncode}" if process.returncode is not None else f"answers {ready} with {found}"
            said.seek(0)
            raise ServerError(f"{process.args!r} {how}: {said.read()[-SAID:].decode(errors='replace')}")
        time.sleep(PAUSE)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The first process tells its own workers; what is left of the session after that is ended.
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING)
    end = time.monotonic() + STOPPING
    while left := members(process.pid):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise ServerError(f"these processes don't end: {left}")
        time.sleep(PAUSE)
    process.wait(STOPPING)
