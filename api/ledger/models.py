"""The ledger's tables."""

import datetime as dt
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Base, Version, choice

EPOCH = 10**12
BATCH = 500


class Op(StrEnum):
    """What a revision did to its record."""

    UPSERT = "upsert"
    DELETE = "delete"


class Revision(Base):
    """One published state of one record; the current one is not superseded."""

    __tablename__ = "revision"
    version: Mapped[int] = mapped_column(Version, primary_key=True, autoincrement=False)
    commit_version: Mapped[int] = mapped_column(Version)
    kind: Mapped[str]
    id: Mapped[str]
    op: Mapped[Op] = mapped_column(choice(Op, "op"))
    reason: Mapped[str | None]
    author: Mapped[str | None]
    changed_at: Mapped[dt.datetime]
    document: Mapped[str | None]
    hash: Mapped[str | None]
    superseded: Mapped[int | None] = mapped_column(Version)
    bucket: Mapped[int] = mapped_column(SmallInteger)
    leaf: Mapped[bytes | None] = mapped_column(LargeBinary)
    chain: Mapped[bytes] = mapped_column(LargeBinary)
    __table_args__ = (
        CheckConstraint("(op = 'delete') = (hash is null) and (hash is null) = (leaf is null)", name="hash"),
        # What was superseded can be cut, as `api.retention` does.
        CheckConstraint("document is null or op = 'upsert'", name="deletion"),
        CheckConstraint("document is not null or op = 'delete' or superseded is not null", name="document"),
        CheckConstraint("superseded > version", name="superseded"),
        Index(None, "kind", "id", "version"),
        Index(None, "kind", "version"),
        Index(None, "changed_at", "version"),
        Index(None, "commit_version"),
        # All that the digest asks for, at any version.
        Index("ix_revision_bucket", "kind", "bucket", "id", "version", "superseded", "leaf"),
    )


# What readers see: the last revision of each record that is not deleted.
CURRENT = (Revision.superseded.is_(None), Revision.op == Op.UPSERT)

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
Index("ix_revision_feed", Revision.version, sqlite_where=CURRENT[0], postgresql_where=CURRENT[0])


class Head(Base):
    """The one row that says how far the ledger is."""

    __tablename__ = "ledger_head"
    one: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    version: Mapped[int] = mapped_column(Version)
    changed_at: Mapped[dt.datetime]
    chain: Mapped[bytes] = mapped_column(LargeBinary)
    # Where PostgreSQL's log is written: another system or timeline is another future.
    origin: Mapped[str | None]
    # At which version the bitmap index was whole, as `bitmaps.mark` says it: a release that doesn't know it leaves it behind.
    indexed: Mapped[str | None]
    # From this version on, the past can be read.
    trimmed: Mapped[int] = mapped_column(Version)
    # How often something was cut: what is read of the past since is another answer.
    cuts: Mapped[int]
    __table_args__ = (CheckConstraint("one = 1", name="one"),)


class Bucket(Base):
    """The hash of one of a noun's buckets, as `api.digest` has it, and how many records are in it; none where it is empty."""

    __tablename__ = "digest_bucket"
    kind: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    records: Mapped[int]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)


class Dirty(Base):
    """A record that changed since it was last published; written by triggers only."""

    __tablename__ = "ledger_dirty"
    seq: Mapped[int] = mapped_column(Version, primary_key=True)
    kind: Mapped[str]
    id: Mapped[str]
