"""Operations can be proposed: they are stored, and published or refused later."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
# Code that does not know the table leaves it alone.
oldest = "0023"
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)
STATES = sa.Enum("open", "published", "refused", "expired", name="state", native_enum=False, create_constraint=True, length=40)


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "proposals",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("author", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=True),
        sa.Column("operations", TEXT, nullable=False),
        sa.Column("state", STATES, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("decided_by", TEXT, nullable=True),
        sa.Column("decided_at", INSTANT, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
    )
    op.create_index(op.f("ix_proposals_created_at_id"), "proposals", ["created_at", "id"])


def downgrade() -> None:
    """Drop the table, with the proposals."""
    op.drop_table("proposals")
