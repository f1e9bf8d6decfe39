"""The largest sums of money are found by an index: the start page shows them."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

INDEX = "ix_initiative_metrics_kind_unit_value_initiative_id"


def upgrade() -> None:
    """Add the index."""
    op.create_index(INDEX, "initiative_metrics", ["kind", "unit", "value", "initiative_id"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index(INDEX, "initiative_metrics")
