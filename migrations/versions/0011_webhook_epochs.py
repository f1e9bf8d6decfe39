"""Webhooks remember the epoch that they were told of, so that they hear of a restored database."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a receiver that is told of changes today knows the current epoch."""
    op.add_column("webhooks", sa.Column("told_epoch", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("webhooks", sa.Column("message_epoch", sa.Integer(), nullable=True))
    op.execute("update webhooks set told_epoch = (select epoch from ledger_head)")
    op.execute("update webhooks set message_epoch = told_epoch where message is not null")


def downgrade() -> None:
    """Drop the columns."""
    for column in ("message_epoch", "told_epoch"):
        op.drop_column("webhooks", column)
