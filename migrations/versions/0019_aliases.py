"""Type-ahead knows the aliases of records; the upgrade rebuilds the index of words."""

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table: the stamp of the index tells the upgrade to rebuild it."""


def downgrade() -> None:
    """Change no table."""
