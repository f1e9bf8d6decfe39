"""The ledger knows which record took the place of a deleted one, and which import a commit is a piece of; it lists its commits."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
# Code that does not know the columns leaves them null, which is what they mean there.
oldest = "0023"

INDEXES = (
    ("ix_revision_first", "version", "version = commit_version"),
    ("ix_revision_import_id", "import_id", "import_id IS NOT NULL"),
)


def upgrade() -> None:
    """Add the columns, and the indexes of the first revisions of all commits and of imports."""
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    for name in ("import_id", "merged_into"):
        op.add_column("revision", sa.Column(name, text, nullable=True))
    for name, column, condition in INDEXES:
        op.create_index(name, "revision", [column], sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))


def downgrade() -> None:
    """Drop them; the records that were merged into others stay deleted."""
    for name, _, _ in INDEXES:
        op.drop_index(name, "revision")
    for name in ("import_id", "merged_into"):
        op.drop_column("revision", name)
