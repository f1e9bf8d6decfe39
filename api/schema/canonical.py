"""The canonical form of documents (RFC 8785), and their hashes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

PUBLICATION = ("version", "updated_at")

Content = dict[str, Any]


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return the one byte string of a document: JSON Canonicalization Scheme, RFC 8785."""
    return rfc8785.dumps(dict(content))


def canonical_members(content: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the members of a document in that form, which costs the most: a document is hashed, and stored with two more."""
    return {name: rfc8785.dumps(value) for name, value in content.items()}


def joined(members: Mapping[str, bytes]) -> bytes:
    """Return the document of canonical members, whose names are ASCII."""
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), members[name]) for name in sorted(members)) + b"}"


def sha256(members: Mapping[str, bytes]) -> str:
    """Hash what a document says: SHA-256 over its RFC 8785 form without ``version`` and ``updated_at``.

    Two databases that hold the same facts agree on it, whenever each learned them.
    """
    return hashlib.sha256(joined({name: value for name, value in members.items() if name not in PUBLICATION})).hexdigest()


def content_sha256(content: Mapping[str, Any]) -> str:
    """Hash a document, as `sha256` does its members."""
    return sha256(canonical_members(content))
