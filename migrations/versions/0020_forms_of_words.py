"""Search finds joined and abbreviated words in more spellings; the upgrade rebuilds the index of words."""

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table: the stamp of the index tells the upgrade to rebuild it."""


def downgrade() -> None:
    """Change no table."""
