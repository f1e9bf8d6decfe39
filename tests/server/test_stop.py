"""A server that is stopping answers its polls, finishes its requests, and then closes its port."""

import signal
from contextlib import ExitStack

import psutil
import pytest

from api.settings import Settings
from tests.support.attacks import DECLARED, answers, head, opened, status, waiting
from tests.support.databases import SQLITE_FIRST
from tests.support.editions import SEEDED
from tests.support.processes import SERVE, accepts, listening, unused_port, wait_until

POLL = head(f"GET /changes?since={SEEDED}&wait=30")


@SQLITE_FIRST
def test_sigterm(settings: Settings) -> None:
    """On SIGTERM, polls, new requests and half-sent ones are answered, `/readyz` is a 503, and the process exits with 0."""
    port = unused_port()
    variables = {"DATABASE_URL": settings.database_url, "PORT": port, "STOP_DELAY": 3}
    with listening(SERVE, "127.0.0.1", port, **variables) as process, ExitStack() as stack:
        wait_until(lambda: answers(port, "/readyz"), process)
        polls = opened(stack, port, 6, POLL)
        (half,) = opened(stack, port, 1, DECLARED.replace(b"1000", b"2") + b"{")
        assert waiting(polls, 1) == polls
        process.send_signal(signal.SIGTERM)
        assert [status(poll, 2) for poll in polls] == [200] * 6
        assert (answers(port, "/readyz"), answers(port, "/livez"), answers(port, "/cities")) == (False, True, True)
        wait_until(lambda: not accepts("127.0.0.1", port), process)
        half.sendall(b"}")
        assert status(half, 5) == 422
        half.close()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "is killed" not in output


@pytest.mark.slow
@SQLITE_FIRST
def test_stop_timeout(settings: Settings) -> None:
    """The control: a worker whose client does not finish its request is killed after a while, and the log says so."""
    port = unused_port()
    variables = {"DATABASE_URL": settings.database_url, "PORT": port, "WORKERS": 1, "STOP_TIMEOUT": 1}
    with listening(SERVE, "127.0.0.1", port, **variables) as process, ExitStack() as stack:
        wait_until(lambda: answers(port, "/readyz"), process)
        opened(stack, port, 1, DECLARED + b"{")
        (worker,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert f"worker {worker.pid} has not ended within STOP_TIMEOUT=1, and is killed" in output
    assert process.returncode == 0


@pytest.mark.slow
@SQLITE_FIRST
def test_sigterm_to_a_worker_alone(settings: Settings) -> None:
    """The control: a worker without the signal leaves its polls waiting."""
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=settings.database_url, PORT=port, WORKERS=1) as process:
        wait_until(lambda: answers(port, "/readyz"), process)
        with ExitStack() as stack:
            polls = opened(stack, port, 1, POLL)
            assert waiting(polls, 1) == polls
            (worker,) = psutil.Process(process.pid).children()
            worker.terminate()
            assert waiting(polls, 2) == polls
            worker.kill()
