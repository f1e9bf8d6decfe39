"""The digest is a tree whose upkeep costs the same for any number of records; the upgrade fills it after its publication."""

import hashlib
from itertools import groupby

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
# Code that does not know the tree leaves it behind, which its version tells, and keeps the buckets, which stay as they are.
oldest = "0023"
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
BATCH = 500


def upgrade() -> None:
    """Add the table of the nodes, and no column to any other table, so that readers of an older release need not wait."""
    op.create_table(
        "digest_node",
        sa.Column("path", TEXT, nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_digest_node")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A full bucket stays in its row, and a page has room for new versions of its rows: every write changes the upper nodes.
        op.execute("alter table digest_node set (toast_tuple_target = 4096, fillfactor = 80)")


def downgrade() -> None:
    """Drop the table, and hash the buckets of the older release again: this one only kept their numbers of records."""
    op.drop_table("digest_node")
    names = ("kind", "bucket", "id", "leaf", "superseded")
    revisions = sa.table("revision", *(sa.column(name) for name in names))
    buckets = sa.table("digest_bucket", *(sa.column(name) for name in ("kind", "number", "records", "sha256")))
    current = sa.select(revisions.c.kind, revisions.c.bucket, revisions.c.leaf).where(
        revisions.c.superseded.is_(None), revisions.c.leaf.is_not(None)
    )
    op.execute(sa.delete(buckets))
    ordered = current.order_by(revisions.c.kind, revisions.c.bucket, revisions.c.id)
    rows = op.get_bind().execute(ordered.execution_options(yield_per=BATCH))
    hashes = []
    for (kind, number), some in groupby(rows, lambda row: (row.kind, row.bucket)):
        leaves = [bytes(row.leaf) for row in some]
        sha256 = hashlib.sha256(b"digital-cities/bucket/1\n" + b"".join(leaves)).digest()
        hashes.append({"kind": kind, "number": number, "records": len(leaves), "sha256": sha256})
    if hashes:
        op.bulk_insert(buckets, hashes)
