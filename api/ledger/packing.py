"""Contents of many records in little memory."""

import zlib
from collections.abc import Iterable

import orjson

from api.schema.canonical import Content

# The fastest compression, with a window of 4 KB: it holds one record, and costs less to set up than a larger one.
LEVEL, WINDOW = 1, 12


class Packed:
    """Contents of records of one noun by id, each compressed with the first of them as its dictionary.

    Records of one noun have their members' names in common, and often values: one takes some 50 to 300 bytes.
    """

    def __init__(self) -> None:
        """Begin without records."""
        self.dictionary = b""
        self.by_id: dict[str, bytes] = {}

    def add(self, id: str, content: Content) -> None:
        """Add a record, or replace it."""
        text = orjson.dumps(content)
        self.dictionary = self.dictionary or text
        packer = zlib.compressobj(LEVEL, wbits=WINDOW, zdict=self.dictionary)
        self.by_id[id] = packer.compress(text) + packer.flush()

    def discard(self, id: str) -> None:
        """Remove a record, if it is there."""
        self.by_id.pop(id, None)

    def of(self, ids: Iterable[str]) -> dict[str, Content]:
        """Return the contents of those records that are there, by id."""
        packed = {id: self.by_id[id] for id in ids if id in self.by_id}
        return {id: orjson.loads(zlib.decompressobj(zdict=self.dictionary).decompress(data)) for id, data in packed.items()}
