"""Sends answers that are made while they are sent, and no faster than the client reads them.

granian buffers without a limit what an application sends it piece by piece. So it gets a pipe instead, which it reads like a
file: a full pipe stops the writer, and the writer sees whether the client moves on.
"""

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Iterable

from api.settings import Settings

# Between two looks whether granian has opened the pipe.
PAUSE = 0.001


class StalledError(Exception):
    """The client did not read in time, or is gone."""


class Pipe:
    """A pipe from which granian reads an answer."""

    def __init__(self, settings: Settings) -> None:
        """Open the pipe. The whole answer may take ``stream_timeout`` from now on."""
        self.patience = settings.send_timeout
        self.deadline = time.monotonic() + settings.stream_timeout
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        self._room = select.poll()
        self._room.register(self.writer, select.POLLOUT)

    @property
    def path(self) -> str:
        """The path by which this process can open the pipe's end for reading."""
        return f"/dev/fd/{self.reader}"

    def send(self, pieces: Iterable[bytes]) -> None:
        """Write all pieces. Raises StalledError if the client does not take them in time."""
        for piece in pieces:
            self._write(piece)

    def close(self) -> None:
        """Close what is open of the pipe: granian takes that for the end of the answer."""
        os.close(self.writer)
        if self.reader >= 0:
            os.close(self.reader)

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            limit = min(self.patience, self.deadline - time.monotonic())
            if limit <= 0 or not self._room.poll(limit * 1000):
                raise StalledError
            try:
                rest = rest[os.write(self.writer, rest) :]
            except BrokenPipeError:
                raise StalledError from None
            self._await_reader()

    def _await_reader(self) -> None:
        """Wait until granian has the pipe open, then close our own end for reading, so that writing fails when granian's is."""
        patience = time.monotonic() + self.patience
        while self.reader >= 0:
            (unread,) = struct.unpack("i", fcntl.ioctl(self.reader, termios.FIONREAD, bytes(4)))
            if not unread:
                os.close(self.reader)
                self.reader = -1
            elif time.monotonic() > patience:
                raise StalledError
            else:
                time.sleep(PAUSE)
