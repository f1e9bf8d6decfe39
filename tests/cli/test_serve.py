"""`serve`, and gunicorn: one line when it cannot start, and no process left when it ends."""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from sqlalchemy import text

from api.errors import MAX_QUERY_STRING
from api.settings import ROOT, Settings
from tests.support.databases import SQLITE_FIRST, Store, opened, unmigrated
from tests.support.editions import SEEDED
from tests.support.lengths import few, late
from tests.support.messages import CANNOT_BE_OPENED, NOT_MIGRATED
from tests.support.processes import SECRET, SERVE, accepts, listening, refusal, unused_port, wait_until


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        late({"PORT": "http"}, "digital-cities-api: PORT='http' is not a whole number from 1 to 65535"),
        late(
            {"PUBLIC_URL": "example"},
            "digital-cities-api: PUBLIC_URL='example' is not an address such as https://api.example.org",
        ),
        late({"DATABASE_URL": f"mysql://me:{SECRET}@h/n"}, "digital-cities-api: DATABASE_URL names the database 'mysql', .*"),
        late({"DATABASE_URL": "sqlite://folder/file.sqlite3"}, "digital-cities-api: DATABASE_URL .*"),
        ({"DATABASE_URL": "sqlite:///missing/file.sqlite3"}, re.escape(CANNOT_BE_OPENED)),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_serve_with_wrong_settings(variables: dict[str, object], expected: str) -> None:
    """`serve` with a wrong variable names it in one line, and ends."""
    assert re.fullmatch(expected, refusal(SERVE, **variables))


@SQLITE_FIRST
def test_serve_without_a_migrated_database(store: Store) -> None:
    """`serve` on an empty database ends with one line that names the command to run."""
    assert refusal(SERVE, DATABASE_URL=unmigrated(store).database_url, PORT=unused_port()) == NOT_MIGRATED


def test_serve_on_a_taken_port(file: str) -> None:
    """`serve` on a port that another program listens on names it in one line, and ends."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refusal(SERVE, DATABASE_URL=file, PORT=port)
    assert line == f"Error: can't listen on HOST=127.0.0.1 PORT={port}: Address already in use"


@pytest.mark.parametrize("host", few(["192.0.2.1", "caf\u00e9..example", "::ffff"], "192.0.2.1"))
def test_serve_on_an_address_of_others(file: str, host: str) -> None:
    """`serve` on an address that is invalid or not this machine's names it in one line, and ends."""
    port = unused_port()
    line = refusal(SERVE, DATABASE_URL=file, HOST=host, PORT=port)
    assert line.startswith(f"Error: can't listen on HOST={host} PORT={port}: ")


def get(url: str) -> tuple[int, Any]:
    """Send a request to a server over HTTP."""
    with urlopen(url, timeout=60) as response:
        return response.status, json.loads(response.read())


def answers(base: str) -> None:
    """See that a server is ready and serves a list."""
    assert get(f"{base}/readyz") == (200, {"status": "ok", "writes": "ok"})
    status, cities = get(f"{base}/cities?limit=1")
    assert (status, cities["page"]["limit"], len(cities["data"])) == (200, 1, 1)
    assert cities["links"]["self"] == f"{base}/cities?limit=1"


def end(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Signal a server's process group repeatedly, check that its processes are gone, and return its output."""
    workers = psutil.Process(process.pid).children()
    assert workers
    with suppress(ProcessLookupError):
        for _ in range(200):
            os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [worker for worker in workers if worker.is_running()] == []
    return output


@pytest.mark.parametrize(("host", "number"), [("127.0.0.1", signal.SIGTERM), late("localhost", signal.SIGINT)])
def test_serve(file: str, host: str, number: signal.Signals) -> None:
    """`serve` answers over HTTP on a name and on an address; a signal, even repeated, leaves no process behind."""
    port = unused_port()
    with listening(SERVE, host, port, DATABASE_URL=file, HOST=host, PORT=port) as process:
        # Until worker 2 has started, granian loses a signal to a worker and kills it ten seconds later.
        begun = list(itertools.takewhile(lambda line: "Started worker-2" not in line, process.stdout or []))
        answers(f"http://{host}:{port}")
        output = end(process, number)
    assert begun[0].rstrip() == f"Serving on http://{host}:{port}, documentation at /docs; stop with Ctrl-C."
    assert "is killed" not in output
    assert "Traceback" not in output


def test_serve_killed(file: str) -> None:
    """When the server is killed, its workers end with it, and its port is free."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=file, PORT=port) as process:
        answers(f"http://127.0.0.1:{port}")
        workers = psutil.Process(process.pid).children()
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    assert not accepts("127.0.0.1", port)


def test_workers_inherit_no_connection(store: Store, settings: Settings) -> None:
    """`serve` closes its own connection to the database before it starts workers, which would share it."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=settings.database_url, PORT=port) as process:
        # No request was sent yet, so any connection would be one from before.
        wait_until(lambda: connections(store, settings) == 0, process)
        # The control: one that a worker makes is counted.
        answers(f"http://127.0.0.1:{port}")
        assert connections(store, settings) > 0
        end(process, signal.SIGTERM)


def connections(store: Store, settings: Settings) -> int:
    """Count the connections; on SQLite, tell whether there is any."""
    if store.dialect == "sqlite":
        # The last connection that closes takes this file away.
        return int(Path(f"{settings.database_url.removeprefix('sqlite:///')}-wal").exists())
    with opened(settings) as database, database.reading() as session:
        others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        return int(session.scalar(text(others)) or 0)


def test_collector_spares_what_stays(file: str) -> None:
    """The application, loaded as a server loads it, is nothing that the garbage collector looks through."""
    program = "import gc, wsgi; print(gc.get_freeze_count(), len(gc.get_objects()))"
    environ = {**os.environ, "DATABASE_URL": file}
    process = subprocess.run((sys.executable, "-c", program), env=environ, cwd=ROOT, capture_output=True, check=True, text=True)
    frozen, watched = map(int, process.stdout.split())
    assert (frozen > 100_000, watched < 1_000) == (True, True)


@pytest.mark.slow
def test_gunicorn(file: str) -> None:
    """With threads, gunicorn serves the same, survives a long poll, and leaves no process behind."""
    port = unused_port()
    arguments = (sys.executable, "-m", "gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}", "--no-control-socket")
    threads = ("--worker-class", "gthread", "--threads", "4", "--limit-request-line", "0", "--timeout", "2")
    with listening((*arguments, *threads), "127.0.0.1", port, DATABASE_URL=file) as process:
        assert get(f"http://127.0.0.1:{port}/changes?since={SEEDED}&wait=5")[1]["data"] == []
        answers(f"http://127.0.0.1:{port}")
        long = refused(f"http://127.0.0.1:{port}/cities?limit={'1' * 102_400}")
        output = end(process, signal.SIGTERM)
    assert "Traceback" not in output
    assert (long[0], long[1], json.loads(long[2])["status"]) == (414, "application/problem+json", 414)


def refused(address: str) -> tuple[int, str, bytes]:
    """Return the status, the media type and the body of an answer that is no success."""
    with pytest.raises(HTTPError) as refusal:
        urlopen(address, timeout=30)
    with refusal.value as error:
        return error.code, error.headers.get_content_type(), error.read()


def test_long_query_on_the_wire(file: str) -> None:
    """A long query is our problem document; above 64 KiB granian's HTTP library answers a 414 without a body."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=file, PORT=port) as process:
        ours = refused(f"http://127.0.0.1:{port}/cities?limit={'1' * 60_000}")
        theirs = refused(f"http://127.0.0.1:{port}/cities?limit={'1' * 102_400}")
        end(process, signal.SIGTERM)
    assert (ours[0], ours[1], json.loads(ours[2])["errors"][0]["allowed"]) == (
        414,
        "application/problem+json",
        {"maximum": MAX_QUERY_STRING},
    )
    assert (theirs[0], theirs[2]) == (414, b"")
