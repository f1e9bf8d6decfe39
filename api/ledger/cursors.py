"""The cursors of the feed: how far a reader has come, as a text."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from api.ledger.parts import Part
from api.resources import BY_NAME

# Bytes of a cursor's proof.
PROOF = 12
# The cursor of a change: its version, the version up to which its page was compacted, and the first digits of the chain there.
# Its numbers have a fixed width, so that cursors sort as texts in the order of the feed.
OF_CHANGE = re.compile(r"([0-9]{16})-([0-9]{16})-([0-9a-f]{16})")


class NoCursorError(ValueError):
    """A text that is not one of our cursors."""


@dataclass(frozen=True)
class Position:
    """How far a reader has come: it knows every change of some nouns up to ``version``.

    ``mark`` is that of the scopes if it knows only what belongs to them.

    If there is a ``target``, the reader is on its way to that version, and was not sent changes that are superseded before it.
    ``fresh``: the reader began with nothing, so deletions before its target mean nothing to it. ``compacted``: a reader that
    goes on after one change of a page was not sent changes that are superseded before this version.
    """

    version: int
    kinds: tuple[str, ...] = ()
    target: int = 0
    fresh: bool = False
    compacted: int = 0
    mark: str = ""

    @property
    def known(self) -> int:
        """The highest version that the reader depends on: everything that it knows comes from the chain up to it."""
        return max(self.version, self.target, self.compacted)

    def cursor(self, chain: bytes) -> str:
        """Return the position as an opaque text, with a proof that the chain at `known` had this hash."""
        return self._encoded(self._proof(chain))

    @classmethod
    def read(cls, cursor: str) -> tuple[Self, bytes]:
        """Return the position and the proof of a cursor. Raises NoCursorError."""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            version, target, fresh, kinds, *mark = raw[PROOF:].decode("ascii").split(".")
            nouns = tuple(kinds.split(",")) if kinds else ()
            position = cls(int(version), nouns, int(target), fresh == "1", mark=".".join(mark))
        except (ValueError, binascii.Error):
            raise NoCursorError(cursor) from None
        if position.version < 0 or not 0 <= position.known < 2**63 or set(position.kinds) - set(BY_NAME):
            raise NoCursorError(cursor)
        # A position has one encoding, so that two cursors are equal if their positions are.
        if position._encoded(raw[:PROOF]) != cursor:
            raise NoCursorError(cursor)
        return position, raw[:PROOF]

    def _encoded(self, proof: bytes) -> str:
        return base64.urlsafe_b64encode(proof + str(self).encode()).decode().rstrip("=")

    def __str__(self) -> str:
        """Return the position as one line of text, which its proof covers."""
        mark = f".{self.mark}" if self.mark else ""
        return f"{self.version}.{self.target}.{int(self.fresh)}.{','.join(self.kinds)}{mark}"

    def covers(self, kinds: Sequence[str]) -> bool:
        """Tell whether the reader knows the changes of all these nouns; an empty list stands for every noun."""
        return not self.kinds or (bool(kinds) and set(kinds) <= set(self.kinds))

    def _proof(self, chain: bytes) -> bytes:
        return hashlib.sha256(f"digital-cities/cursor/1\n{self}\n".encode() + chain).digest()[:PROOF]

    def holds(self, proof: bytes, chain: bytes) -> bool:
        """Tell whether a cursor with this proof was made from a chain with this hash."""
        return proof == self._proof(chain)


def read_of_change(cursor: str, part: Part) -> tuple[Position, str] | None:
    """Return the position and the proof of the cursor of a change; None if the text is none."""
    if not (match := OF_CHANGE.fullmatch(cursor)):
        return None
    return Position(int(match[1]), part.kinds, compacted=int(match[2]), mark=part.mark), match[3]


def proof_of_change(chain: bytes) -> str:
    """Return the proof in the cursors of changes, from the chain's hash at the version that they depend on."""
    return chain.hex()[:16]
