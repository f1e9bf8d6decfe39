"""Search finds words in more spellings; the upgrade rebuilds the index of words."""

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table: the stamp of the index tells the upgrade to rebuild it."""


def downgrade() -> None:
    """Change no table."""
