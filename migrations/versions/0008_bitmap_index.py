"""The bitmap index for facets; the full-text index marks words of titles."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create an empty bitmap index, and empty the full-text index; the end of the upgrade fills both."""
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    version = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "bitmap_index",
        sa.Column("kind", text, nullable=False),
        sa.Column("dimension", text, nullable=False),
        sa.Column("value", text, nullable=False),
        sa.Column("first", version, autoincrement=False, nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("versions", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "dimension", "value", "first", name=op.f("pk_bitmap_index")),
    )
    op.add_column("ledger_head", sa.Column("indexed", text, nullable=True))
    op.execute("delete from search_index")
    # Facets use the bitmap index instead.
    op.drop_index("ix_initiatives_id_city_id_status", "initiatives")


def downgrade() -> None:
    """Drop the bitmap index; the former release fills its full-text index, which has other words, by `ledger reindex`."""
    op.execute("delete from search_index")
    op.create_index("ix_initiatives_id_city_id_status", "initiatives", ["id", "city_id", "status"])
    op.drop_column("ledger_head", "indexed")
    op.drop_table("bitmap_index")
