"""The tree of the digest, in memory: its shape depends on the set of records only, so a change rewrites just the paths to it.

A node has all records of a noun whose keys, in hexadecimal, begin with its prefix. With at most `MOST` records it is a bucket,
with more it is an inner node with 16 children. Keys are SHA-256 hashes: to have 33 of them with 10 digits in common takes more
than 2^40 trials for each, so no one can make paths long. A path has at most 64 digits, the whole key.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from struct import Struct
from typing import NamedTuple, TypeVar

from api.ledger import merkle

Value = TypeVar("Value")
# Records of a bucket.
MOST = 32
DIGITS = "0123456789abcdef"
# A record in a bucket: its key, its leaf and its version.
ENTRY = Struct(f">{merkle.SIZE}s{merkle.SIZE}sQ")


class Entry(NamedTuple):
    """A record in the tree: its leaf, and the version of its revision."""

    leaf: bytes
    version: int


# The records that differ from those of a tree, by key; None is a record that is no more.
Changes = Mapping[bytes, Entry | None]


class Node(NamedTuple):
    """A node: its number of records, and its entries in the order of their keys, or the hashes of its children."""

    records: int
    content: bytes

    @property
    def is_bucket(self) -> bool:
        """Whether it has records, and not children."""
        return self.records <= MOST

    @property
    def sha256(self) -> bytes:
        """Its hash."""
        if self.is_bucket:
            return merkle.bucket(leaf for _, leaf, _ in ENTRY.iter_unpack(self.content))
        return merkle.node(self.content)

    @property
    def entries(self) -> dict[bytes, Entry]:
        """The records of a bucket, by key."""
        return {key: Entry(leaf, version) for key, leaf, version in ENTRY.iter_unpack(self.content)}

    @property
    def children(self) -> list[bytes]:
        """The hashes of the children of an inner node."""
        return [self.content[start : start + merkle.SIZE] for start in range(0, len(self.content), merkle.SIZE)]


EMPTY = Node(0, b"")


def top(kind: str) -> str:
    """Return the path of a noun's top node; the path of another node continues with the digits of its prefix."""
    return f"{kind}/"


def kind_of(path: str) -> str:
    """Return the noun of a node."""
    return path[: path.index("/")]


def prefix_of(path: str) -> str:
    """Return the prefix of a node's keys."""
    return path[path.index("/") + 1 :]


def bucket(entries: Mapping[bytes, Entry]) -> Node:
    """Return the bucket of some records."""
    return Node(len(entries), b"".join(ENTRY.pack(key, *entries[key]) for key in sorted(entries)))


def deepest(nodes: Mapping[str, Node], path: str) -> tuple[str, Node]:
    """Return the node of a path, or the bucket above it that has its records, with the path of that one."""
    length = len(top(kind_of(path)))
    while not (node := nodes.get(path[:length], EMPTY)).is_bucket and length < len(path):
        length += 1
    return path[:length], node


class Tree:
    """A tree as it is after changes. ``nodes`` has its nodes by path, as far as they are known; ``changed`` are paths.

    ``below`` reads all stored nodes below a path. The nodes on the paths to all changes must be known. ``gained`` counts the
    records that are new and subtracts those that are no more, by noun and by the first byte of their keys.
    """

    def __init__(self, nodes: dict[str, Node], below: Callable[[str], Mapping[str, Node]]) -> None:
        """Begin without changes."""
        self.nodes, self.below = nodes, below
        self.changed: set[str] = set()
        self.gained: Counter[tuple[str, int]] = Counter()

    def change(self, path: str, changes: Changes) -> Node:
        """Carry out changes of records below a node, and return the node as it is then."""
        node = self.nodes.get(path, EMPTY)
        if node.is_bucket:
            entries = node.entries
            for key, entry in changes.items():
                self.gained[kind_of(path), key[0]] += (entry is not None) - (key in entries)
            return self._build(path, {key: entry for key, entry in {**entries, **changes}.items() if entry})
        records, children = node.records, node.children
        for number, some in _by_digit(path, changes):
            child = path + DIGITS[number]
            before = self.nodes.get(child, EMPTY).records
            after_it = self.change(child, some)
            records, children[number] = records + after_it.records - before, after_it.sha256
        if records <= MOST:
            self.nodes = {**self.below(path), **self.nodes}
            return self._build(path, dict(self._take(path)))
        return self._put(path, Node(records, b"".join(children)))

    def _build(self, path: str, entries: Mapping[bytes, Entry]) -> Node:
        """Put a node of these records in the place of a bucket."""
        if len(entries) <= MOST:
            return self._put(path, bucket(entries))
        children = [merkle.EMPTY] * len(DIGITS)
        for number, some in _by_digit(path, entries):
            children[number] = self._build(path + DIGITS[number], some).sha256
        return self._put(path, Node(len(entries), b"".join(children)))

    def _take(self, path: str) -> Iterator[tuple[bytes, Entry]]:
        """Yield the records below an inner node that is to be a bucket, and take the nodes below it away."""
        for child in (path + digit for digit in DIGITS):
            node = self.nodes.get(child, EMPTY)
            yield from node.entries.items() if node.is_bucket else self._take(child)
            if node.records:
                self._put(child, EMPTY)

    def _put(self, path: str, node: Node) -> Node:
        self.nodes[path] = node
        self.changed.add(path)
        return node


def _by_digit(path: str, records: Mapping[bytes, Value]) -> Iterator[tuple[int, Mapping[bytes, Value]]]:
    """Yield the records below each child of a node that has any, with the number of the child."""
    place = len(prefix_of(path))
    children: defaultdict[int, dict[bytes, Value]] = defaultdict(dict)
    for key, value in records.items():
        children[int(key.hex()[place], 16)][key] = value
    yield from sorted(children.items())
