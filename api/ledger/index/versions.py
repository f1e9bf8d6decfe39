"""Sets of versions, as roaring bitmaps.

S. Chambi, D. Lemire, O. Kaser and R. Godin, "Better bitmap performance with Roaring bitmaps", Software: Practice and
Experience, 2016.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyroaring import BitMap

# A bitmap has 32 bits, and no stored piece crosses a multiple of this.
WIDTH = 1 << 32
# Rows fetched from a driver's cursor at once.
FETCHED = 10_000


class UnreadableError(Exception):
    """A stored piece is not a bitmap."""


def read_piece(stored: bytes) -> BitMap:
    """Return a stored piece. Raises UnreadableError."""
    try:
        return BitMap.deserialize(stored)
    except (ValueError, IndexError) as error:
        raise UnreadableError from error


class Versions:
    """A set of versions: a bitmap of their low 32 bits for each value of their high bits, which differ between epochs.

    A 64-bit bitmap would do, but is several times slower, because it keeps its blocks in a tree.
    """

    def __init__(self, versions: Iterable[int] = ()) -> None:
        """Make a set of these versions."""
        several = list(versions)
        self.parts: dict[int, BitMap] = defaultdict(BitMap)
        # A facet makes a set for each of its values, and then fills it.
        if not several:
            return
        high = min(several) // WIDTH
        if max(several) // WIDTH == high:
            start = high * WIDTH
            self.parts[high] = BitMap([version - start for version in several] if start else several)
            return
        for version in several:
            self.add(version)

    def add(self, version: int) -> None:
        """Add a version."""
        self.parts[version // WIDTH].add(version % WIDTH)

    @classmethod
    def taken(cls, cursor: Any) -> "Versions":
        """Return the versions that a driver's cursor has as its rows."""
        result = cls()
        while rows := cursor.fetchmany(FETCHED):
            result |= cls(version for (version,) in rows)
        return result

    @classmethod
    def read(cls, rows: Iterable[Sequence[Any]]) -> "Versions":
        """Join stored pieces: the last columns of a row are the piece's first version and its bytes. Raises UnreadableError."""
        return cls.of((row[-2] // WIDTH, read_piece(row[-1])) for row in rows)

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, BitMap]]) -> "Versions":
        """Join pieces, each with the high bits of its versions."""
        by_high = defaultdict(list)
        for high, piece in pieces:
            by_high[high].append(piece)
        result = cls()
        result.parts |= {high: some[0] if len(some) == 1 else BitMap().union(*some) for high, some in by_high.items()}
        return result

    @classmethod
    def union(cls, sets: Iterable["Versions"]) -> "Versions":
        """Return the union of any number of sets."""
        return cls.of(part for one in sets for part in one.parts.items())

    def __and__(self, other: "Versions") -> "Versions":
        """Return the intersection."""
        return Versions.of((high, part & other.parts[high]) for high, part in self.parts.items() if high in other.parts)

    def __sub__(self, other: "Versions") -> "Versions":
        """Return the difference."""
        return Versions.of((high, part - other.parts.get(high, BitMap())) for high, part in self.parts.items())

    def __or__(self, other: "Versions") -> "Versions":
        """Return the union."""
        return Versions.union((self, other))

    def __iter__(self) -> Iterator[int]:
        """Yield the versions in ascending order."""
        return (high * WIDTH + low for high, part in sorted(self.parts.items()) for low in part)

    def __len__(self) -> int:
        """Return the number of versions."""
        return sum(map(len, self.parts.values()))

    def common(self, other: "Versions") -> int:
        """Return the number of versions that are in both sets."""
        parts = ((part, other.parts[high]) for high, part in self.parts.items() if high in other.parts)
        return sum(part.intersection_cardinality(theirs) for part, theirs in parts)

    def within(self, start: int, end: int) -> "Versions":
        """Return the versions from the first of two versions up to, and without, the second."""
        result = Versions()
        for high, part in self.parts.items():
            some = part.copy()
            some.remove_range(0, min(max(start - high * WIDTH, 0), WIDTH))
            some.remove_range(min(max(end - high * WIDTH, 0), WIDTH), WIDTH)
            result.parts[high] = some
        return result

    def meets(self, other: "Versions") -> bool:
        """Tell whether the sets have a version in common."""
        return any(part.intersect(other.parts[high]) for high, part in self.parts.items() if high in other.parts)
