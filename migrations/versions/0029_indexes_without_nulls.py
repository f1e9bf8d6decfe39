"""Indexes of members that few figures have leave out the others: each write added an entry to each of them."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
# Code that does not know the indexes reads and writes the same rows.
oldest = "0023"

TABLE, OWNER = "initiative_metrics", "initiative_id"
COLUMNS = ("direction", "period", "period_period", "period_month", "as_of", "as_of_period", "as_of_month")


def upgrade() -> None:
    """Add the new indexes, then drop the old ones: that keeps readers out only at the end."""
    for column in COLUMNS:
        given = sa.text(f"{column} is not null")
        op.create_index(f"ix_{TABLE}_{column}_given", TABLE, [column, OWNER], sqlite_where=given, postgresql_where=given)
    for column in COLUMNS:
        op.drop_index(f"ix_{TABLE}_{column}_{OWNER}", TABLE)


def downgrade() -> None:
    """Add the old indexes, and drop the new ones."""
    for column in COLUMNS:
        op.create_index(f"ix_{TABLE}_{column}_{OWNER}", TABLE, [column, OWNER])
        op.drop_index(f"ix_{TABLE}_{column}_given", TABLE)
