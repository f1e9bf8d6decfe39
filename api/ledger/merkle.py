"""The maths of the proof: hashes of records, of buckets, of nouns and of the whole; and the chain of revisions.

A Merkle tree (R. C. Merkle, CRYPTO '87) of fixed shape: records fall into 256 buckets a noun by the hash of their key.
Every hash is SHA-256 over a label of its own, so that none can be passed off as another kind; `docs/digest.md` has it
all on one page, with vectors to test against.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

BUCKETS = 256
SIZE = 32
LABEL = "digital-cities/{}/1\n"
KEY, LEAF, BUCKET, NOUN, ROOT, CHAIN = (
    LABEL.format(name).encode() for name in ("key", "leaf", "bucket", "noun", "root", "chain")
)
# What the chain's first link is joined to.
GENESIS = bytes(SIZE)


def bucket_of(kind: str, id: str) -> int:
    """Return the number of a record's bucket, from 0 to 255: the first byte of its key's hash."""
    return hashlib.sha256(KEY + f"{kind}\n{id}".encode()).digest()[0]


def leaf(kind: str, id: str, document: bytes) -> bytes:
    """Hash a record: its key, and its RFC 8785 document with all its members."""
    return hashlib.sha256(LEAF + f"{kind}\n{id}\n".encode() + document).digest()


def bucket(leaves: Iterable[bytes]) -> bytes:
    """Hash a bucket: its leaves one after the other, in the order of their ids' code points."""
    return hashlib.sha256(BUCKET + b"".join(leaves)).digest()


EMPTY = bucket(())


def noun(kind: str, buckets: Sequence[bytes]) -> bytes:
    """Hash a noun: its 256 buckets in their order."""
    return hashlib.sha256(NOUN + f"{kind}\n".encode() + b"".join(buckets)).digest()


def root(nouns: Mapping[str, bytes]) -> bytes:
    """Hash everything: the nouns that have records, in the order of their names."""
    return hashlib.sha256(ROOT + b"".join(nouns[kind] for kind in sorted(nouns))).digest()


def link(before: bytes, *facts: object, leaf: bytes | None) -> bytes:
    """Return the next hash of the chain, over the one before, a line for each fact of a revision, and its leaf, if any."""
    lines = "".join(f"{fact}\n" for fact in facts).encode()
    return hashlib.sha256(CHAIN + before + lines + (leaf or b"")).digest()
