"""The server: granian, started and stopped the way this project needs it, with a gateway in front of the application."""

import importlib
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings

from api import logs
from api.errors import MAX_QUERY_STRING
from api.server import metrics
from api.server.gateway import STOPPING, Gateway
from api.settings import Settings

# Milliseconds from the first byte of a request to the end of its headers, and the bytes that may wait to be read meanwhile.
HEADERS_TIMEOUT, HEADERS_SIZE = 10_000, 2 * MAX_QUERY_STRING
# Connections that the kernel keeps until a process accepts them, at least.
BACKLOG = 1024
logger = logging.getLogger(__name__)


class Server(Granian):  # type: ignore[misc, valid-type]  # granian chooses the class by platform
    """A granian server that stops once, however often it is asked, and tells those who wait before it closes the port."""

    # Seconds between a SIGTERM and the end of listening, and from then until workers that have not ended are killed.
    delay, patience = 0, 0
    _number = signal.SIGINT

    def signal_handler_interrupt(self, number: int, frame: object) -> None:
        """Stop on the first signal and ignore the others: granian's own handler deadlocks if a second one interrupts it."""
        if not self.interrupt_signal:
            self._number = signal.Signals(number)
            super().signal_handler_interrupt(number, frame)

    def shutdown(self, exit_code: int = 0) -> None:
        """Tell the workers, go on listening while a load balancer learns of it, and let each finish what it has begun."""
        for worker in multiprocessing.active_children():
            if worker.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, STOPPING)
        if self._number == signal.SIGTERM:
            time.sleep(self.delay)
        # granian's own timeout, read while another thread waits for the same worker, reports some that have ended in time.
        timer = threading.Timer(self.patience, kill_workers, (self.patience,))
        timer.daemon = True
        timer.start()
        super().shutdown(exit_code)
        timer.cancel()


def kill_workers(seconds: int) -> None:
    """Kill the workers that have not ended after some seconds."""
    for worker in multiprocessing.active_children():
        logger.warning("worker %s has not ended within STOP_TIMEOUT=%s, and is killed", worker.pid, seconds)
        worker.kill()


def run(target: str, address: str, settings: Settings) -> None:
    """Serve the application ``target`` (``module`` or ``module:name``) on an address until a signal stops the server."""
    server = Server(
        target if ":" in target else f"{target}:app",
        address=address,
        port=settings.port,
        interface=Interfaces.RSGI,
        # A slow client of HTTP/2 would need limits of its own; proxies speak HTTP/1.1 to us.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_TIMEOUT, max_buffer_size=HEADERS_SIZE),
        backlog=max(BACKLOG, settings.connections),
        backpressure=settings.connections,
        workers=settings.workers,
        respawn_failed_workers=True,
        websockets=False,
        log_dictconfig=logs.SERVER_LOGS[settings.log_format],
    )
    server.delay, server.patience = settings.stop_delay, settings.stop_timeout
    with tempfile.TemporaryDirectory(prefix="digital-cities-") as folder:
        server.serve(target_loader=partial(load_in_worker, Path(folder)))


def load_in_worker(folder: Path, target: str) -> Gateway:
    """Return the gateway to the application in a worker, and make the worker stop only when its parent says so or is gone.

    The folder is for the metrics of all workers.

    A terminal's Ctrl-C and a supervisor's SIGTERM reach every process of the group, and a worker that gets two signals
    deadlocks in granian's handler. So each worker gets its own process group.
    """
    os.setpgid(0, 0)
    # Until granian sets its own handler, the worker has the parent's, which would not stop it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    module, _, name = target.partition(":")
    app = getattr(importlib.import_module(module), name)
    settings: Settings = app.extensions["database"].settings
    gateway = Gateway(app, settings)
    metrics.share(app, settings, folder)
    return gateway


def exit_with_parent() -> None:
    """End this process when its parent was killed; otherwise an orphan would keep the port."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
