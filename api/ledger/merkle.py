"""The hashes of the digest (of records, buckets, inner nodes, nouns and the whole dataset), and the chain of revisions.

The digest is a Merkle tree (R. C. Merkle, CRYPTO '87). The digits of the hash of a record's key are its path. Every hash is
SHA-256 and begins with a label of its kind, so that none can pass for one of another kind. `docs/digest.md` specifies all of
it on one page, with test vectors; `api.ledger.tree` has the shape of the tree.
"""

import hashlib
from collections.abc import Iterable, Mapping

SIZE = 32
LABEL = "digital-cities/{}/1\n"
KEY, LEAF, BUCKET, NODE, NOUN, ROOT, CHAIN = (
    LABEL.format(name).encode() for name in ("key", "leaf", "bucket", "node", "noun", "root", "chain")
)
# The hash before the first revision.
GENESIS = bytes(SIZE)


def key(kind: str, id: str) -> bytes:
    """Hash the name of a record: its digits are the path to the record."""
    return hashlib.sha256(KEY + f"{kind}\n{id}".encode()).digest()


def leaf(kind: str, id: str, document: bytes) -> bytes:
    """Hash a record: its key, and its RFC 8785 document with all members."""
    return hashlib.sha256(LEAF + f"{kind}\n{id}\n".encode() + document).digest()


def bucket(leaves: Iterable[bytes]) -> bytes:
    """Hash a bucket: its leaves, concatenated in the order of their keys."""
    return hashlib.sha256(BUCKET + b"".join(leaves)).digest()


EMPTY = bucket(())


def node(children: bytes) -> bytes:
    """Hash an inner node: the hashes of its 16 children, concatenated."""
    return hashlib.sha256(NODE + children).digest()


def noun(kind: str, top: bytes) -> bytes:
    """Hash a noun: its name, and the hash of its top node."""
    return hashlib.sha256(NOUN + f"{kind}\n".encode() + top).digest()


def root(nouns: Mapping[str, bytes]) -> bytes:
    """Hash the dataset: the hashes of the nouns that have records, in the order of their names."""
    return hashlib.sha256(ROOT + b"".join(nouns[kind] for kind in sorted(nouns))).digest()


def link(before: bytes, *facts: object, leaf: bytes | None) -> bytes:
    """Return the next hash of the chain: over the hash before, a line for each fact of a revision, and its leaf, if any."""
    lines = "".join(f"{fact}\n" for fact in facts).encode()
    return hashlib.sha256(CHAIN + before + lines + (leaf or b"")).digest()
