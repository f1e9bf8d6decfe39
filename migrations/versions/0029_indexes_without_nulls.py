"""Indexes of members that most records lack leave out the nulls: every write had an entry in each of them."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
# Code that does not know the indexes reads and writes the same rows.
oldest = "0023"

# The columns of the former indexes by table, each followed by the others of its index.
COLUMNS = {
    "initiatives": (["evolving"], ["title", "id"]),
    "initiative_metrics": (
        ["qualifier", "direction", "period", "period_period", "period_month", "as_of", "as_of_period", "as_of_month"],
        ["initiative_id"],
    ),
}


def upgrade() -> None:
    """Add the new indexes, then drop the old ones: that keeps readers out only at the end."""
    for table, (columns, others) in COLUMNS.items():
        for column in columns:
            given = sa.text(f"{column} is not null")
            name = f"ix_{table}_{column}_given"
            op.create_index(name, table, [column, *others], sqlite_where=given, postgresql_where=given)
    for table, (columns, others) in COLUMNS.items():
        for column in columns:
            op.drop_index(f"ix_{table}_{'_'.join([column, *others])}", table)


def downgrade() -> None:
    """Add the old indexes, and drop the new ones."""
    for table, (columns, others) in COLUMNS.items():
        for column in columns:
            op.create_index(f"ix_{table}_{'_'.join([column, *others])}", table, [column, *others])
            op.drop_index(f"ix_{table}_{column}_given", table)
