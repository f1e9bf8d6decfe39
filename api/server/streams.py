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
from collections.abc import Callable, Iterable

from api.settings import Settings

# Seconds between two looks whether granian has opened the pipe, and whether a stream has to end.
PAUSE, LOOK = 0.001, 0.1


class StalledError(Exception):
    """The client did not read in time, is gone, or keeps others waiting."""


class Pipe:
    """A pipe from which granian reads an answer."""

    def __init__(self, settings: Settings, must_end: Callable[[], bool]) -> None:
        """Open the pipe. The whole answer may take ``stream_timeout`` from now on, and ends when ``must_end`` says so."""
        self.must_end = must_end
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
            self._await_room()
            try:
                rest = rest[os.write(self.writer, rest) :]
            except BrokenPipeError:
                raise StalledError from None
            self._await_reader()

    def _await_room(self) -> None:
        """Wait until the pipe takes more. A client that reads little by little keeps a piece for long, so each wait looks."""
        limit = min(time.monotonic() + self.patience, self.deadline)
        while (rest := limit - time.monotonic()) > 0 and not self.must_end():
            if self._room.poll(min(rest, LOOK) * 1000):
                return
        raise StalledError

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
