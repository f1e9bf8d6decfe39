"""The database says which releases may use it, so that an older one knows whether a newer schema is good for it."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
# The code of this revision, and of later ones, may run on the database; the upgrade writes it into the new table.
oldest = "0021"


def upgrade() -> None:
    """Add the table with its row."""
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    table = op.create_table(
        "schema_compatibility",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest", text, nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_schema_compatibility_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_schema_compatibility")),
    )
    op.bulk_insert(table, [{"one": 1, "oldest": oldest}])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("schema_compatibility")
