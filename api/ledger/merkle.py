"""The hashes of the digest (of records, buckets, nouns and the whole dataset), and the chain of revisions.

The digest is a Merkle tree (R. C. Merkle, CRYPTO '87) of fixed shape: the hash of a record's key assigns it to one of its
noun's 256 buckets. Every hash is SHA-256 and begins with a label of its kind, so that none can pass for one of another kind.
`docs/digest.md` specifies all of it on one page, with test vectors.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

BUCKETS = 256
SIZE = 32
LABEL = "digital-cities/{}/1\n"
KEY, LEAF, BUCKET, NOUN, ROOT, CHAIN = (
    LABEL.format(name).encode() for name in ("key", "leaf", "bucket", "noun", "root", "chain")
)
# The hash before the first revision.
GENESIS = bytes(SIZE)


def bucket_of(kind: str, id: str) -> int:
    """Return the number of a record's bucket, from 0 to 255: the first byte of its key's hash."""
    return hashlib.sha256(KEY + f"{kind}\n{id}".encode()).digest()[0]


def leaf(kind: str, id: str, document: bytes) -> bytes:
    """Hash a record: its key, and its RFC 8785 document with all members."""
    return hashlib.sha256(LEAF + f"{kind}\n{id}\n".encode() + document).digest()


def bucket(leaves: Iterable[bytes]) -> bytes:
    """Hash a bucket: its leaves, concatenated in the order of their ids by code point."""
    return hashlib.sha256(BUCKET + b"".join(leaves)).digest()


EMPTY = bucket(())


def noun(kind: str, buckets: Sequence[bytes]) -> bytes:
    """Hash a noun: the hashes of its 256 buckets, in order."""
    return hashlib.sha256(NOUN + f"{kind}\n".encode() + b"".join(buckets)).digest()


def root(nouns: Mapping[str, bytes]) -> bytes:
    """Hash the dataset: the hashes of the nouns that have records, in the order of their names."""
    return hashlib.sha256(ROOT + b"".join(nouns[kind] for kind in sorted(nouns))).digest()


def link(before: bytes, *facts: object, leaf: bytes | None) -> bytes:
    """Return the next hash of the chain: over the hash before, a line for each fact of a revision, and its leaf, if any."""
    lines = "".join(f"{fact}\n" for fact in facts).encode()
    return hashlib.sha256(CHAIN + before + lines + (leaf or b"")).digest()
