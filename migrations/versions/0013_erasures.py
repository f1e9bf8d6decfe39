"""Erasures have a place in the feed, so that copies hear of them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no revision of before erases."""
    op.add_column("revision", sa.Column("erases", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Drop the column; erasures stay in the chain as the deletions that they are to an earlier release."""
    op.drop_column("revision", "erases")
