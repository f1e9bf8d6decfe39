"""Webhooks can listen to some nouns only, and a new secret replaces the previous one without a gap."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a receiver of today hears of all nouns and has one secret."""
    op.add_column("webhooks", sa.Column("previous_secrets", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("webhooks", sa.Column("kinds", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for column in ("kinds", "previous_secrets"):
        op.drop_column("webhooks", column)
