"""Compress answers as `Accept-Encoding` asks, and give each coding an entity tag of its own (RFC 9110, 8.4, 8.8.3, 12.5.3).

Flask-Compress does most of this, but it sends gzip to a client that refuses it with `gzip;q=0`, it does not read a weight that
follows a space, and its gzip bytes hold the time, so one strong entity tag would name different bytes.
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import brotli
from flask import Request, Response

from api.web import tags
from api.web.negotiation import preferred_coding

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

# Each level costs less time than it saves on the network. Every coding makes the same bytes from the same body, which a strong
# entity tag promises.
COMPRESSORS: dict[str, Callable[[], Any]] = {
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
    """Compress a 200 if its client accepts a coding, and add the coding to its entity tag; always set `Vary`.

    The tag of a body that stays as it is names the coding, too, so that a tag can be checked before there is a body.
    """
    if "Vary" in response.headers:
        response.vary.add("Accept-Encoding")
    else:
        # Most answers have none: to parse and write the set of an empty header takes longer than to compress some bodies.
        response.headers["Vary"] = "Accept-Encoding"
    accept_encoding = request.headers.get("Accept-Encoding")
    coding = preferred_coding(accept_encoding or "")
    if response.status_code != 200 or coding is None:  # noqa: PLR2004 - a 304 has its tag already
        return response
    response.set_etag(tags.coded(str(response.get_etag()[0]), accept_encoding))
    size = response.content_length
    if response.mimetype not in COMPRESSIBLE or (size is not None and size < MIN_BYTES):
        return response
    response.direct_passthrough = False
    pieces = _compressed(COMPRESSORS[coding](), response.iter_encoded())
    if response.is_streamed:
        response.response = pieces
        response.headers.pop("Content-Length", None)
    else:
        response.set_data(b"".join(pieces))
    response.headers["Content-Encoding"] = coding
    return response


def _compressed(compressor: Any, pieces: Iterable[bytes]) -> Iterator[bytes]:
    # Brotli names its methods differently.
    is_brotli = isinstance(compressor, brotli.Compressor)
    add, finish = (compressor.process, compressor.finish) if is_brotli else (compressor.compress, compressor.flush)
    for piece in pieces:
        if output := add(piece):
            yield output
    yield finish()
