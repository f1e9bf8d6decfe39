"""Receives the bodies of requests, with a limit of size, time and number, before any thread is busy with them."""

import asyncio
from typing import Any

from api.settings import Settings
from api.web.places import Places

# The methods without a body; if a client sends one, it is not read.
BODILESS_METHODS = ("GET", "HEAD", "OPTIONS")
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
        if environ["REQUEST_METHOD"] in BODILESS_METHODS or length == 0:
            return b"", None
        if length is not None and length > self.limit:
            return b"", self._too_large()
        address = environ["REMOTE_ADDR"]
        if not self.places.take(address):
            return b"", ("unavailable", "Too many bodies are being received at the moment.")
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
        async for chunk in proto:
            chunks.append(chunk)
            size += len(chunk)
            ends += not chunk
            if size > self.limit:
                return b"", self._too_large()
        # granian marks the end by one empty chunk, and a body that breaks off, or has trailers, by two.
        if size != length if length is not None else ends != 1:
            return b"", ("bad-request", "The body is not complete.")
        return b"".join(chunks), None

    def _too_large(self) -> Refusal:
        return "content-too-large", f"The body has more than {self.limit} bytes."
