"""Entity tags: made here, and compared here with the tags that clients send (RFC 9110, 8.8.3 and 13.1).

A tag is the representation, the state and the coding, as in `5f1c0d7a-618-3c59dc04-0:gzip`. The representation is a hash of
the OpenAPI document, which has the release, and of the public address, which is in links. The state is a version with the
first digits of a hash: the chain's for the dataset, the document's for a record. A version alone does not tell a restored
database from the future that it lost. The coding is the one that the request prefers.
"""

import hashlib
import re
from functools import lru_cache

from flask import current_app
from werkzeug.http import parse_etags

from api.ledger.head import DatasetState
from api.ledger.history import RevisionRow
from api.ledger.models import Revision
from api.web.negotiation import CODINGS, accepts_coding, beginning, preferred_coding
from api.web.urls import base_url

DIGITS = 8
# Apache and Caddy add the coding with which they compress an answer; nginx makes the tag weak.
OF_PROXY = re.compile(r"(.+?)--?(gzip|deflate|br|zstd)")
OF_RECORD = re.compile(rf"[0-9a-f]{{{DIGITS}}}-([0-9]{{1,19}})-([0-9a-f]{{{DIGITS}}})(?:[-:].*)?")
# Tags for examples.
EXAMPLE, EXAMPLE_OF_NOTHING = '"5f1c0d7a-618-3c59dc04"', '"5f1c0d7a-0-00000000"'


def of_dataset(state: DatasetState, *parts: object) -> str:
    """Return the tag of an answer that shows the dataset as it is; ``parts`` tell it from others at the same address."""
    noted = () if state.settled else (f"u{state.noted}",)
    return of_version(state, state.version, state.chain, *noted, *parts)


def of_version(state: DatasetState, version: int, chain: bytes, *parts: object) -> str:
    """Return the tag of an answer that shows a past version. Documents that are cut change such answers."""
    return _joined(version, _digits(chain), state.cuts, *parts)


def of_record(revision: Revision | RevisionRow, included: DatasetState | None = None, *parts: object) -> str:
    """Return the tag of a record, which `If-Match` of a write understands; ``included``: it shows other records, too."""
    others = (included.version, _digits(included.chain), included.cuts) if included else ()
    return _joined(revision.version, digits_of(revision), *others, *parts)


def digits_of(revision: Revision | RevisionRow) -> str:
    """Return the digits that tell a record's revision from another of the same version, in a future that was lost."""
    return _digits(revision.leaf or b"")


def record_version(tag: str) -> tuple[int, str] | None:
    """Return the version and the digits in a record's tag, whatever its representation and coding; None if it is none."""
    match = OF_RECORD.fullmatch(tag)
    return (int(match[1]), match[2]) if match else None


def coded(tag: str, accept_encoding: str | None) -> str:
    """Return the tag of the coding that a request prefers. A body that is too small to be compressed has it all the same."""
    coding = preferred_coding(accept_encoding or "")
    return f"{tag}:{coding}" if coding else tag


def matches(header: str, selected: str, accept_encoding: str | None) -> bool:
    """Tell whether a list of tags, or `*`, names the answer that a request selects: its own tag, or one that a proxy changed.

    Weak tags count in `If-Match`, too: a proxy that compresses makes ours weak, and ours name a state.
    """
    # Most clients send the one tag that they got.
    if header[1:-1] == selected or header.strip() == "*":
        return True
    # werkzeug reads an empty tag as None.
    return any(_names(tag or "", selected, accept_encoding) for tag in parse_etags(beginning(header)).as_set(include_weak=True))


def _names(tag: str, selected: str, accept_encoding: str | None) -> bool:
    """Compare a tag; what a proxy compressed is as good as what was selected if the client can decode it."""
    if tag == selected or not (proxied := OF_PROXY.fullmatch(tag)):
        return tag == selected
    original, coding = proxied.groups()
    return original in {selected, _plain(selected)} and accepts_coding(accept_encoding, coding)


def _plain(tag: str) -> str:
    name, _, coding = tag.rpartition(":")
    return name if coding in CODINGS else tag


def _joined(*parts: object) -> str:
    return "-".join(map(str, (_representation(current_app.extensions["release"], base_url()), *parts)))


@lru_cache
def _representation(release: str, address: str) -> str:
    return hashlib.sha256(f"{release} {address}".encode()).hexdigest()[:DIGITS]


def _digits(sha256: bytes) -> str:
    return sha256.hex()[:DIGITS].ljust(DIGITS, "0")
