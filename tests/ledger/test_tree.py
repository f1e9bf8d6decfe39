"""The tree of the digest, in memory: whatever came before, it is that of its records."""

import random
from collections.abc import Mapping

import hypothesis
import hypothesis.strategies as st
import pytest

from api.ledger import merkle
from api.ledger.tree import EMPTY, ENTRY, MOST, Changes, Entry, Node, Tree, bucket, deepest, kind_of, prefix_of, top
from tests.support.lengths import examples

TOP = top("cities")
# Keys that share their first digits, which makes the tree deep; real keys are hashes, and spread evenly.
KEYS = [bytes([0x11, first, second, *[third] * 29]) for first in (0x11, 0x1F) for second in (0, 3) for third in range(25)]


def nodes_of(entries: Mapping[bytes, Entry]) -> dict[str, Node]:
    """Return the tree of some records, from scratch."""
    tree = Tree({}, lambda _: {})
    tree.change(TOP, entries)
    return {path: node for path, node in tree.nodes.items() if node.records}


def changed(stored: Mapping[str, Node], changes: Changes, *, reads_below: bool = True) -> dict[str, Node]:
    """Return a tree after changes; it knows only the nodes on the paths to these, and what it asks for."""
    ways = {TOP + key.hex()[:length] for key in changes for length in range(8)}
    known = {path: node for path, node in stored.items() if path in ways}

    def below(path: str) -> Mapping[str, Node]:
        return {other: node for other, node in stored.items() if reads_below and other != path and other.startswith(path)}

    tree = Tree(known, below)
    tree.change(TOP, changes)
    after = {**stored, **{path: tree.nodes[path] for path in tree.changed}}
    return {path: node for path, node in after.items() if node.records}


@hypothesis.given(
    st.lists(
        st.dictionaries(st.sampled_from(KEYS), st.one_of(st.none(), st.integers(1, 9)), min_size=1, max_size=len(KEYS)),
        max_size=5,
    )
)
@hypothesis.settings(max_examples=examples(100))
def test_a_tree_is_that_of_its_records(batches: list[dict[bytes, int | None]]) -> None:
    """After any batches of new, changed and deleted records the nodes are those of a tree from scratch."""
    stored: dict[str, Node] = {}
    entries: dict[bytes, Entry] = {}
    for batch in batches:
        changes = {key: version and Entry(bytes([version] * merkle.SIZE), version) for key, version in batch.items()}
        stored = changed(stored, {key: entry or None for key, entry in changes.items()})
        entries = {key: entry for key, entry in {**entries, **changes}.items() if entry}
        assert stored == nodes_of(entries)


def test_it_grows_and_shrinks() -> None:
    """With 33 records a bucket becomes an inner node, also if that takes many levels, and with 32 a bucket again."""
    entries = {key: Entry(merkle.EMPTY, 1) for key in KEYS[:MOST]}
    stored = nodes_of(entries)
    assert [*stored] == [TOP]
    grown = changed(stored, {KEYS[MOST]: Entry(merkle.EMPTY, 2)})
    assert len(grown) > 3
    assert grown[TOP] == Node(MOST + 1, merkle.EMPTY + bucket_hash(grown, "1") + merkle.EMPTY * 14)
    assert changed(grown, {KEYS[MOST]: None}) == stored
    assert changed(grown, dict.fromkeys([*entries, KEYS[MOST]])) == {}


def bucket_hash(nodes: Mapping[str, Node], prefix: str) -> bytes:
    """Return the hash of a node."""
    return nodes[TOP + prefix].sha256


def test_control_siblings_are_needed() -> None:
    """The control: a tree that does not read the siblings of a node that shrinks is another one than from scratch."""
    entries = {key: Entry(merkle.EMPTY, 1) for key in KEYS[: MOST + 1]}
    grown = nodes_of(entries)
    rest = {key: entry for key, entry in entries.items() if key != KEYS[0]}
    assert changed(grown, {KEYS[0]: None}) == nodes_of(rest)
    assert changed(grown, {KEYS[0]: None}, reads_below=False) != nodes_of(rest)


@pytest.mark.parametrize("count", [1, 33, 700])
def test_it_depends_on_no_order(count: int) -> None:
    """Records that come one by one, in any order, and with others that go again, make the same tree as all at once."""
    chance = random.Random(count)  # noqa: S311 - nothing is secret
    keys = [merkle.key("cities", f"c-{number}") for number in range(count + 50)]
    entries = {key: Entry(key, number) for number, key in enumerate(keys[:count])}
    tree = Tree({}, lambda _: {})
    for key in chance.sample(keys, len(keys)):
        tree.change(TOP, {key: Entry(key, keys.index(key))})
    for key in keys[count:]:
        tree.change(TOP, {key: None})
    assert {path: node for path, node in tree.nodes.items() if node.records} == nodes_of(entries)
    assert sum(tree.gained.values()) == count


def test_ways_to_records() -> None:
    """The way to a record ends at its bucket, and to what no record is below, at the bucket that would have it."""
    nodes = nodes_of({key: Entry(key, 1) for key in (merkle.key("cities", f"c-{number}") for number in range(100))})
    for path in (TOP + merkle.key("cities", f"c-{number}").hex() for number in range(100)):
        place, node = deepest(nodes, path)
        assert (place, node.is_bucket) == (TOP + prefix_of(path)[: len(prefix_of(place))], True)
        assert bytes.fromhex(prefix_of(path)) in node.entries
        assert kind_of(place) == "cities"
    assert deepest({}, f"{TOP}ab") == (TOP, EMPTY)
    assert bucket({}) == EMPTY
    assert ENTRY.size * MOST < 3_000
