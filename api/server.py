"""The server: granian, as we run it."""

import importlib
import multiprocessing
import os
import signal
import threading

from flask import Flask
from granian import Granian
from granian.constants import Interfaces

from api.settings import ROOT, Settings


class Server(Granian):  # type: ignore[misc, valid-type]  # granian chooses the class by platform
    """A server that can be told to stop many times: granian's handler deadlocks when it is interrupted by itself."""

    def signal_handler_interrupt(self, *signal_and_frame: object) -> None:
        """Stop, once."""
        if not self.interrupt_signal:
            super().signal_handler_interrupt(*signal_and_frame)


def run(target: str, address: str, settings: Settings) -> None:
    """Serve the application at ``target`` (``module`` or ``module:name``) on an address, until a signal stops it."""
    Server(
        target if ":" in target else f"{target}:app",
        address=address,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        working_dir=ROOT,
        respawn_failed_workers=True,
        websockets=False,
        workers_kill_timeout=10,
    ).serve(target_loader=load_in_worker)


def load_in_worker(target: str) -> Flask:
    """Return the application to a worker, which stops when its parent says so or is no more, and for nobody else.

    A terminal's Ctrl-C, and a supervisor's SIGTERM, reach every process of the group; a worker that is told twice
    deadlocks in granian's handler.
    """
    os.setpgid(0, 0)
    # Until granian sets its own handler, the parent's is inherited, which stops nothing here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()
    module, _, name = target.partition(":")
    app: Flask = getattr(importlib.import_module(module), name)
    return app


def end_with_parent() -> None:
    """End this process when its parent was killed: its port would stay taken, and nobody would know whom to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
