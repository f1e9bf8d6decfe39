"""Headers of requests and answers, as the OpenAPI document describes them."""

from typing import Any

from api.web import tags
from api.web.cache import ASK

UNCHANGED = "You have the latest version already."


def header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of one header of an answer, by its name."""
    return {name: {"description": description, "schema": {"type": "string"}, "example": example}}


VARIES = "The headers of the request on which the answer depends."
REQUEST_ID = header("X-Request-Id", "Names this request in our log.", "0b6a4ac1b2c84a0e")
ENCODED = header("Content-Encoding", "How the body is compressed, if it is; see `Accept-Encoding`.", "zstd")
NOT_KEPT = header("Cache-Control", "The answer must not be cached.", "no-store") | REQUEST_ID
HEADERS = (
    header("ETag", "Tag of this answer, for `If-None-Match` and `If-Match`.", tags.EXAMPLE)
    | header("Cache-Control", "How the answer may be cached.", ASK)
    | header("Vary", VARIES, "Accept-Encoding")
    | ENCODED
    | header("Age", "Seconds since the answer was computed. It was still the latest when it was sent.", "0")
    | header("Server-Timing", "Whether the answer was cached, and the time to compute it.", "cache;desc=hit")
    | REQUEST_ID
)
VARY = header("Vary", VARIES, "Accept, Accept-Encoding")
LINK = header(
    "Link",
    "The links of `links` (RFC 8288); only `next` if all take more than 4,000 characters.",
    '<https://api.example.org/cities?limit=2>; rel="self"',
)
CONTENT_RANGE = header("Content-Range", "The part that this is, and the size of the whole.", "bytes 0-99/2048")
WHOLE_RANGE = header("Content-Range", "The size of the whole.", "bytes */2048")
ALLOW = header("Allow", "The methods that work here.", "OPTIONS, POST")
CHALLENGE = header("WWW-Authenticate", "How to authenticate (RFC 6750).", 'Bearer realm="digital-cities"')
RATE_LIMIT = header(
    "RateLimit-Policy", "The limit that applies: requests (`q`) in a window of seconds (`w`).", '"writes";q=600;w=60'
) | header("RateLimit", "Requests left (`r`), and seconds until there are more (`t`).", '"writes";r=599;t=60')
REPLAYED = header("Idempotent-Replayed", "This is the stored answer to an earlier request with this key.", "true")
# Only the answers to writes have these, and not all of them.
COUNTED = RATE_LIMIT | REPLAYED
RETRY_AFTER = header("Retry-After", "Seconds to wait before trying again.", "5")


def header_parameter(name: str, description: str, example: str | None = None, **schema: Any) -> dict[str, Any]:
    """Return the description of one header of a request."""
    more = {} if example is None else {"example": example}
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}, **more}


IF_NONE_MATCH = header_parameter(
    "If-None-Match",
    "`ETag` of your copy: the answer is a 304 if the copy is up to date.",
    # Nothing has version 0, so a tool that sends the example gets a whole answer.
    tags.EXAMPLE_OF_NOTHING,
)
IF_MATCH = header_parameter("If-Match", "`ETag` of your copy, or `*`: the answer is a 412 if the copy is not up to date.", "*")
# Without an example, which tools would send.
RANGE = header_parameter("Range", "The bytes that you want of a list below about 1 MB, such as `bytes=0-99`.")
CONDITIONS = [IF_NONE_MATCH, IF_MATCH]
