"""The full-text index."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create an empty index; the end of the upgrade fills it."""
    if op.get_bind().dialect.name == "sqlite":
        # Words are separated by spaces, and characters outside ASCII belong to words. No query ranks by the length of a text.
        op.execute("create virtual table search_index using fts5(title, body, name, tokenize = 'ascii', columnsize = 0)")
        return
    op.create_table(
        "search_index",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vector", postgresql.TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_search_index")),
    )
    op.create_index(op.f("ix_search_index_vector"), "search_index", ["vector"], unique=False, postgresql_using="gin")


def downgrade() -> None:
    """Drop the index."""
    op.drop_table("search_index")
