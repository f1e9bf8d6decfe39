"""Compress answers as `Accept-Encoding` asks, and give each coding an entity tag of its own (RFC 9110, 8.4, 8.8.3, 12.5.3).

Flask-Compress does most of this, but it sends gzip to a client that refuses it with `gzip;q=0`, it does not read a weight that
follows a space, and its gzip bytes hold the time, so one strong entity tag would name different bytes.
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import brotli
from flask import Request, Response
from werkzeug.datastructures import Accept, ETags
from werkzeug.http import parse_accept_header

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

# The server's order of preference, for clients that weigh several codings the same. Each level costs less time than it saves
# on the network. Every coding makes the same bytes from the same body, which a strong entity tag promises.
CODINGS: dict[str, Callable[[], Any]] = {
    "zstd": lambda: ZstdCompressor(level=3),
    "br": lambda: brotli.Compressor(quality=4),
    "gzip": lambda: zlib.compressobj(6, wbits=31),
}
COMPRESSIBLE = {
    *("application/json", "application/x-ndjson", "text/csv"),
    *("text/html", "text/css", "text/javascript", "application/javascript"),
}
# Compressing a smaller body saves nothing: it fits into one packet either way.
MIN_BYTES = 500


def compress(request: Request, response: Response) -> Response:
    """Compress a 200 if its client accepts a coding, and add the coding to its entity tag; always set `Vary`."""
    response.vary.add("Accept-Encoding")
    size = response.content_length
    is_small = size is not None and size < MIN_BYTES
    if response.status_code != 200 or response.mimetype not in COMPRESSIBLE or is_small:  # noqa: PLR2004
        return response
    coding = choose(request.headers.get("Accept-Encoding", ""))
    if coding is None:
        return response
    response.direct_passthrough = False
    pieces = _compressed(CODINGS[coding](), response.iter_encoded())
    if response.is_streamed:
        response.response = pieces
        response.headers.pop("Content-Length", None)
    else:
        response.set_data(b"".join(pieces))
    response.headers["Content-Encoding"] = coding
    response.set_etag(f"{response.get_etag()[0]}:{coding}")
    return response


@lru_cache(maxsize=128)
def choose(accept_encoding: str) -> str | None:
    """Return the coding that an `Accept-Encoding` header prefers, or None for no coding; parsing one takes 80 µs."""
    best = parse_accept_header(accept_encoding, Accept).best_match((*CODINGS, "identity"))
    return best if best in CODINGS else None


def _compressed(compressor: Any, pieces: Iterable[bytes]) -> Iterator[bytes]:
    # Brotli names its methods differently.
    is_brotli = isinstance(compressor, brotli.Compressor)
    add, finish = (compressor.process, compressor.finish) if is_brotli else (compressor.compress, compressor.flush)
    for piece in pieces:
        if output := add(piece):
            yield output
    yield finish()


def matching(tags: ETags, etag: str) -> str | None:
    """Return the tag in `If-None-Match` that names this answer, compressed or not; None if the client has another version."""
    return next((tag for tag in (etag, *(f"{etag}:{coding}" for coding in CODINGS)) if tags.contains_weak(tag)), None)


def plain(tag: str) -> str:
    """Return an entity tag without its coding."""
    name, _, coding = tag.rpartition(":")
    return name if coding in CODINGS else tag
