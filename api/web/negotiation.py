"""Which media type and which coding a request prefers: `Accept` and `Accept-Encoding` as programs send them.

werkzeug chooses (RFC 9110, 12.5). It drops items whose weight begins with a point, as in `q=.2`, and knows no bare `*` among
media types, both of which Java sends, so the headers are split here.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import TypeVar

from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_list_header

from api.schema.formats import FORMATS

HTML = FORMATS["html"].media_type
# A feed for people's readers (RFC 4287).
ATOM = "application/atom+xml"
# Every media type that is negotiated, in the server's order of preference.
MEDIA_TYPES = (*(row.media_type for row in FORMATS.values()), ATOM)
# The same for codings: each costs less time than it saves on the network.
CODINGS = ("zstd", "br", "gzip")
WEIGHT = re.compile(r"0?\.\d+|[01]\.?|1\.0+")
# What Java's HttpURLConnection sends unless it is told otherwise, before and since version 19: it is no browser.
JAVA = {"text/html,image/gif,image/jpeg,*;q=.2,*/*;q=.2", "text/html,image/gif,image/jpeg,*/*;q=0.2"}
# Choices for longer headers are not remembered, so that nobody can fill the memory with them.
MAX_REMEMBERED = 500
# Characters of a header that are read: werkzeug's time grows with their square, and the event loop waits for it.
MAX_READ = 1_000


Choice = TypeVar("Choice")


def beginning(header: str) -> str:
    """Return the whole items among the characters of a header that are read."""
    return header if len(header) <= MAX_READ else header[:MAX_READ].rpartition(",")[0]


def _remembered(choose: Callable[[str], Choice]) -> Callable[[str], Choice]:
    """Remember the choices for the headers that were seen last: to parse one takes 80 µs."""
    remembering = lru_cache(maxsize=256)(choose)

    @wraps(choose)
    def choice(header: str) -> Choice:
        return remembering(header) if len(header) <= MAX_REMEMBERED else choose(beginning(header))

    return choice


@_remembered
def preferred_types(accept: str) -> tuple[str, ...]:
    """Return the media types of ours that an `Accept` header allows, the best first. It decides every choice between them."""
    header = "*/*" if re.sub(r"\s", "", accept) in JAVA else accept
    # All our text is UTF-8, and no media type of ours has another parameter that matters: only the weights count.
    items = [("*/*" if item == "*" else item, weight) for item, weight in _weighed(header)]
    accepted = MIMEAccept(items or [("*/*", 1)])
    left, result = list(MEDIA_TYPES), []
    while best := accepted.best_match(left):
        left.remove(best)
        result.append(best)
    return tuple(result)


@_remembered
def preferred_coding(accept_encoding: str) -> str | None:
    """Return the coding that an `Accept-Encoding` header prefers; None for no coding."""
    best = Accept(_weighed(accept_encoding)).best_match((*CODINGS, "identity"))
    return best if best in CODINGS else None


def accepts_coding(accept_encoding: str | None, coding: str) -> bool:
    """Tell whether a client can decode a coding. Without the header it can decode any (RFC 9110, 12.5.3)."""
    return accept_encoding is None or Accept(_weighed(beginning(accept_encoding))).quality(coding) > 0


def _weighed(header: str) -> Iterator[tuple[str, float]]:
    """Yield the items of a header with their weights; an item whose weight is none is left out, as werkzeug does."""
    for item in parse_list_header(header):
        name, *parameters = (part.strip() for part in item.split(";"))
        pairs = [(key.strip().lower(), value.strip()) for key, _, value in (row.partition("=") for row in parameters)]
        weight = next((value for key, value in pairs if key == "q"), "1")
        if WEIGHT.fullmatch(weight):
            yield name, float(weight)
