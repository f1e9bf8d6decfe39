"""How bodies are compressed for whoever likes that, and the tags of those that are (RFC 9110, 8.4, 8.8.3 and 12.5.3)."""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import brotli
from backports.zstd import ZstdCompressor
from flask import Request, Response
from werkzeug.datastructures import ETags

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

# Ours first, where the caller likes several as much; each at a level that costs less than what it saves on the way. All give
# the same bytes for the same body, as a tag promises.
CODINGS: dict[str, Callable[[], Any]] = {
    "zstd": lambda: ZstdCompressor(level=3),
    "br": lambda: brotli.Compressor(quality=4),
    "gzip": lambda: zlib.compressobj(6, wbits=31),
}
TEXTS = {
    *("application/json", "application/x-ndjson", "text/csv"),
    *("text/html", "text/css", "text/javascript", "application/javascript"),
}
# Less is not worth it.
LEAST = 500


def compress(request: Request, response: Response) -> Response:
    """Compress an answer if its caller likes that; it then has a tag of its own."""
    response.vary.add("Accept-Encoding")
    size = response.content_length
    if response.status_code != 200 or response.mimetype not in TEXTS or (size is not None and size < LEAST):  # noqa: PLR2004
        return response
    coding = request.accept_encodings.best_match((*CODINGS, "identity"))
    if coding not in CODINGS:
        return response
    response.direct_passthrough = False
    pieces = _packed(CODINGS[coding](), response.iter_encoded())
    if response.is_streamed:
        response.response = pieces
        response.headers.pop("Content-Length", None)
    else:
        response.set_data(b"".join(pieces))
    response.headers["Content-Encoding"] = coding
    response.set_etag(f"{response.get_etag()[0]}:{coding}")
    return response


def _packed(packer: Any, pieces: Iterable[bytes]) -> Iterator[bytes]:
    pack, end = (packer.process, packer.finish) if hasattr(packer, "process") else (packer.compress, packer.flush)
    for piece in pieces:
        if packed := pack(piece):
            yield packed
    yield end()


def matching(given: ETags, etag: str) -> str | None:
    """Return the tag, with its coding if any, of the body that the caller has of an answer; None where they have another."""
    return next((tag for tag in (etag, *(f"{etag}:{coding}" for coding in CODINGS)) if given.contains_weak(tag)), None)


def plain(tag: str) -> str:
    """Return a tag without its coding."""
    name, _, coding = tag.rpartition(":")
    return name if coding in CODINGS else tag
