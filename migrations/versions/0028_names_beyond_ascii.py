"""Names that are not in ASCII are found by an index: a new name is compared with them one by one."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
# Code that does not know the indexes writes the same rows.
oldest = "0023"

# The keys with a name, which is last, by table; null is equal to null.
KEYS = {
    "cities": ["coalesce(country, '')", "coalesce(state, '')", "name"],
    "initiatives": ["coalesce(city_id, '')", "title"],
    "organizations": ["coalesce(city_id, '')", "name"],
    "priorities": ["name"],
    "surveys": ["coalesce(year, 0)", "name"],
}


def upgrade() -> None:
    """Add the indexes."""
    for table, columns in KEYS.items():
        name = columns[-1]
        op.create_index(
            f"ix_{table}_{name}_beyond_ascii",
            table,
            [sa.text(column) for column in columns],
            sqlite_where=sa.text(f"{name} glob '*[^ -~]*'"),
            postgresql_where=sa.text(f"{name} ~ '[^ -~]'"),
        )


def downgrade() -> None:
    """Drop the indexes."""
    for table, columns in KEYS.items():
        op.drop_index(f"ix_{table}_{columns[-1]}_beyond_ascii", table)
