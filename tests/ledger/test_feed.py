"""Cursors of the feed: a reader's position as a text."""

from hypothesis import given
from hypothesis import strategies as st

from api.ledger.cursors import Position
from api.resources import RESOURCES


@given(
    st.integers(0, 2**53 - 1),
    st.sets(st.sampled_from([row.name for row in RESOURCES])),
    st.integers(0, 2**53 - 1),
    st.booleans(),
    st.binary(min_size=32, max_size=32),
)
def test_cursor_round_trip(version: int, kinds: set[str], target: int, fresh: bool, chain: bytes) -> None:  # noqa: FBT001
    """A cursor says its position again, and holds for the chain that it was made with, and no other."""
    position = Position(version, tuple(sorted(kinds)), target, fresh)
    read, proof = Position.read(position.cursor(chain))
    assert (read, read.holds(proof, chain), read.holds(proof, bytes(32))) == (position, True, chain == bytes(32))
