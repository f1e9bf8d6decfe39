"""The ledger's tables."""

import datetime as dt
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger, false
from sqlalchemy.orm import Mapped, mapped_column

from api.db.statements import constant
from api.db.types import Base, Version, choice

# The versions of epoch n are above n times this.
EPOCH = 10**12
# What readers are told of an erasure, and of a document that was erased.
ERASE = "erase"
# Revisions that are read or published at once.
BATCH = 500


class Op(StrEnum):
    """The effect of a revision on its record."""

    UPSERT = "upsert"
    DELETE = "delete"


class Revision(Base):
    """One published state of one record; the last one is not superseded.

    A deletion that ``erases`` tells copies to delete all that they have of the record; if it lives on, it is published again in
    the same commit.
    """

    __tablename__ = "revision"
    version: Mapped[int] = mapped_column(Version, primary_key=True, autoincrement=False)
    commit_version: Mapped[int] = mapped_column(Version)
    kind: Mapped[str]
    id: Mapped[str]
    op: Mapped[Op] = mapped_column(choice(Op, "op"))
    erases: Mapped[bool] = mapped_column(server_default=false())
    reason: Mapped[str | None]
    author: Mapped[str | None]
    # Of the first revision of a commit: the import that the commit is a piece of.
    import_id: Mapped[str | None]
    # Of a deletion: the id of the record that took its place.
    merged_into: Mapped[str | None]
    changed_at: Mapped[dt.datetime]
    document: Mapped[str | None]
    hash: Mapped[str | None]
    superseded: Mapped[int | None] = mapped_column(Version)
    # The first byte of the key's hash: it divides the records of a noun into 256 parts.
    bucket: Mapped[int] = mapped_column(SmallInteger)
    leaf: Mapped[bytes | None] = mapped_column(LargeBinary)
    chain: Mapped[bytes] = mapped_column(LargeBinary)
    __table_args__ = (
        CheckConstraint("(op = 'delete') = (hash is null) and (hash is null) = (leaf is null)", name="hash"),
        # `retention` cuts superseded documents.
        CheckConstraint("document is null or op = 'upsert'", name="deletion"),
        CheckConstraint("document is not null or op = 'delete' or superseded is not null", name="document"),
        CheckConstraint("superseded > version", name="superseded"),
        Index(None, "kind", "id", "version"),
        Index(None, "kind", "version"),
        Index(None, "changed_at", "version"),
        Index(None, "commit_version"),
        # For parts of a noun. It has more columns than they need, for the digest of an older release.
        Index("ix_revision_bucket", "kind", "bucket", "id", "version", "superseded", "leaf"),
    )


# The revisions that readers see: the last one of each record, unless it is a deletion.
CURRENT = (Revision.superseded.is_(None), Revision.op == constant(Op.UPSERT.value))

Index(
    "ix_revision_current",
    Revision.kind,
    Revision.id,
    unique=True,
    sqlite_where=CURRENT[0],
    postgresql_where=CURRENT[0],
)
Index(
    "ix_revision_current_version",
    Revision.kind,
    Revision.version,
    sqlite_where=CURRENT[0],
    postgresql_where=CURRENT[0],
)
# The first revision of each commit.
IS_FIRST = Revision.version == Revision.commit_version
Index("ix_revision_first", Revision.version, sqlite_where=IS_FIRST, postgresql_where=IS_FIRST)
IS_IMPORTED = Revision.import_id.is_not(None)
Index("ix_revision_import_id", Revision.import_id, sqlite_where=IS_IMPORTED, postgresql_where=IS_IMPORTED)
Index("ix_revision_feed", Revision.version, sqlite_where=CURRENT[0], postgresql_where=CURRENT[0])


class RevisionScope(Base):
    """A city or a survey (``kind`` and ``id``) to which a revision belongs, or to which its record belonged just before.

    A revision that belongs no more is a tombstone to readers of that city or survey. An erasure belongs to all to which any
    earlier revision of its record does, so that each of their copies is told.
    """

    __tablename__ = "revision_scope"
    version: Mapped[int] = mapped_column(Version, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    belongs: Mapped[bool]
    belonged: Mapped[bool]
    __table_args__ = (Index(None, "kind", "id", "version"),)


class Head(Base):
    """The one row with the last version of the ledger; its lock orders publications."""

    __tablename__ = "ledger_head"
    one: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    version: Mapped[int] = mapped_column(Version)
    changed_at: Mapped[dt.datetime]
    chain: Mapped[bytes] = mapped_column(LargeBinary)
    # The system and timeline of PostgreSQL's log: another origin means that versions may be lost.
    origin: Mapped[str | None]
    # The `bitmaps.stamp` of the last version at which the bitmap index was complete; an older release does not update it.
    indexed: Mapped[str | None]
    # The last version at which `RevisionScope` was complete; an older release does not update it.
    scoped: Mapped[int] = mapped_column(Version)
    # Versions from this one on can be read.
    trimmed: Mapped[int] = mapped_column(Version)
    # Counts the cuts of documents, because each one changes answers about the past.
    cuts: Mapped[int]
    __table_args__ = (CheckConstraint("one = 1", name="one"),)


class DigestNode(Base):
    """A node of the digest's tree, by its path: a noun, a slash, and the first digits of its records' keys.

    ``content`` has the entries of a bucket, or the hashes of the children of an inner node. ``version`` is the last one that
    changed the node. The root has the empty path and the version of the whole tree; an older release does not update it.
    """

    __tablename__ = "digest_node"
    path: Mapped[str] = mapped_column(primary_key=True)
    records: Mapped[int]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(Version)


class Bucket(Base):
    """A part of a noun in the digest of an older release, which counts records by it; this release updates only the counts."""

    __tablename__ = "digest_bucket"
    kind: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    records: Mapped[int]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)


class Dirty(Base):
    """A note that a record changed since its last publication; triggers write it, and a correction adds who did it and why."""

    __tablename__ = "ledger_dirty"
    seq: Mapped[int] = mapped_column(Version, primary_key=True)
    kind: Mapped[str]
    id: Mapped[str]
    reason: Mapped[str | None]
    author: Mapped[str | None]


class ReplacedRecord(Base):
    """A record that a correction replaced: its rows in JSON, each with its table, none if it was new; for a downgrade."""

    __tablename__ = "replaced_records"
    number: Mapped[int] = mapped_column(Version, primary_key=True)
    revision: Mapped[str]
    kind: Mapped[str]
    id: Mapped[str]
    rows: Mapped[str]
    __table_args__ = (Index(None, "kind", "id"),)
