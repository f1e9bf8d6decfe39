"""A commit as it is made: its revisions get the next versions, and are linked to the chain."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api.ledger import merkle
from api.ledger.models import Op
from api.ledger.rendering import document_of
from api.ledger.tree import Entry
from api.schema.canonical import Content, sha256
from api.schema.fields import instant


class Cause(NamedTuple):
    """Why a record changed, and who changed it."""

    reason: str | None
    author: str | None


UNKNOWN = Cause(None, None)


@dataclass
class Commit:
    """The revisions of one publication as they are made: those after ``before``, so far up to ``version``.

    ``chain`` is the hash of the last one. The digest has all up to ``hashed`` and lacks the ``changes``, by noun. ``replaced``
    are the nouns of records that had a revision before, and ``added`` has the rows of the first revisions, by noun and id.
    ``indexed``: the bitmap index has all of them. ``merged`` has the ids of the records that take the places of deleted ones,
    by noun and id.
    """

    before: int
    chain: bytes
    changed_at: dt.datetime
    reason: str | None
    author: str | None
    indexed: bool
    import_id: str | None = None
    merged: Mapping[tuple[str, str], str] = field(default_factory=dict)
    version: int = field(init=False)
    hashed: int = field(init=False)
    changes: dict[str, dict[bytes, Entry | None]] = field(default_factory=dict)
    added: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without revisions."""
        self.version = self.hashed = self.before

    def versions(self, kind: str) -> list[int]:
        """Return the versions of a noun's revisions, none if ``added`` lacks some of the commit's rows."""
        if self.version - self.before != len(self.added):
            return []
        return [row["version"] for row in self.added.values() if row["kind"] == kind]

    def revision(self, kind: str, id: str, content: Content | None, cause: Cause = UNKNOWN) -> dict[str, Any]:
        """Return the row of the next revision: a record's content, or None for a deletion.

        A cause of the record's own goes before the commit's.
        """
        self.version += 1
        document = document_of(content, self.version, self.changed_at) if content else None
        row: dict[str, Any] = {
            "version": self.version,
            "commit_version": self.before + 1,
            "kind": kind,
            "id": id,
            "op": Op.UPSERT if content else Op.DELETE,
            **(cause if cause.reason else Cause(self.reason, self.author))._asdict(),
            "import_id": self.import_id if self.version == self.before + 1 else None,
            "merged_into": None if content else self.merged.get((kind, id)),
            "changed_at": self.changed_at,
            "document": document and document.decode(),
            "hash": content and sha256(content),
            "bucket": (key := merkle.key(kind, id))[0],
            "leaf": document and merkle.leaf(kind, id, document),
        }
        self.chain = linked(self.chain, row)
        self.changes.setdefault(kind, {})[key] = Entry(row["leaf"], self.version) if document else None
        return {**row, "chain": self.chain}


def linked(before: bytes, row: Mapping[str, Any]) -> bytes:
    """Return the chain's hash at a revision, given the hash at the revision before it."""
    facts = (row["version"], row["kind"], row["id"], row["op"].value, instant(row["changed_at"]))
    return merkle.link(before, *facts, leaf=row["leaf"])
