"""Receives the bodies of requests, with a limit of size, time and number, before any thread is busy with them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from api.settings import Settings
from api.web.places import Places

# The methods without a body; if a client sends one, it is not read.
BODILESS_METHODS = ("GET", "HEAD", "OPTIONS")
# How much is read of a body that is not wanted, and for how long: to close a connection with unread bytes resets it, and its
# client may never see the answer (RFC 9112, 9.6).
DRAINED_BYTES, DRAINED_SECONDS = 4_000_000, 1.0
# A reason not to carry a request out: the arguments of a `ProblemError`.
Refusal = tuple[Any, ...]


class Bodies:
    """The bodies that a process is receiving."""

    def __init__(self, settings: Settings) -> None:
        """Take the limits from the settings."""
        self.limit, self.timeout, self.places = settings.max_body, settings.body_timeout, Places(settings.bodies)

    async def receive(self, environ: dict[str, Any], proto: Any) -> tuple[bytes, Refusal | None]:
        """Return the body of a request, or why it is refused; for a body that is cut off, the client is gone."""
        is_chunked = environ.pop("HTTP_TRANSFER_ENCODING", None) is not None
        length = None if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        if length == 0:
            return b"", None
        address, refusal = environ["REMOTE_ADDR"], None
        if environ["REQUEST_METHOD"] not in BODILESS_METHODS:
            if length is not None and length > self.limit:
                refusal = self._too_large()
            elif self.places.take(address):
                return await self._received(proto, length, address)
            else:
                refusal = "unavailable", "Too many bodies are being received at the moment."
        # Who expects `100 Continue` has sent nothing yet, and sends nothing after a refusal.
        if "HTTP_EXPECT" not in environ and (length or 0) <= DRAINED_BYTES:
            await drain(chunk async for chunk in proto)
        return b"", refusal

    async def _received(self, proto: Any, length: int | None, address: str) -> tuple[bytes, Refusal | None]:
        """Return a body for which a place was taken."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._collect(proto, length)
        except TimeoutError:
            return b"", ("request-timeout", f"The body did not arrive within {self.timeout} seconds.")
        finally:
            self.places.release(address)

    async def _collect(self, proto: Any, length: int | None) -> tuple[bytes, Refusal | None]:
        chunks: list[bytes] = []
        size = ends = 0
        # granian gives one iterator of a body, and that gives no other: a generator can be left and taken up again.
        received = (chunk async for chunk in proto)
        async for chunk in received:
            chunks.append(chunk)
            size += len(chunk)
            ends += not chunk
            if size > self.limit:
                await drain(received)
                return b"", self._too_large()
        # granian marks the end by one empty chunk, and a body that breaks off, or has trailers, by two.
        if size != length if length is not None else ends != 1:
            return b"", ("bad-request", "The body is not complete.")
        return b"".join(chunks), None

    def _too_large(self) -> Refusal:
        return "content-too-large", f"The body has more than {self.limit} bytes."


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the rest of a body that is not wanted, up to a limit, so that its client comes to read the answer."""
    left = DRAINED_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAINED_SECONDS):
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    return
