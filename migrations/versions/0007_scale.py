"""Indexes with which the cost of a page depends on its length, and not on the size of the dataset."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the feed by noun, and add the noun to the full-text index, which is emptied and filled again."""
    op.create_index("ix_revision_kind_version", "revision", ["kind", "version"])
    op.create_index("ix_initiatives_id_city_id_status", "initiatives", ["id", "city_id", "status"])
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("search_index")
        op.execute("create virtual table search_index using fts5(title, body, name, noun, tokenize = 'ascii', columnsize = 0)")
        return
    op.execute("delete from search_index")
    op.add_column("search_index", sa.Column("kind", sa.String(collation="C"), nullable=False))
    op.create_index(op.f("ix_search_index_kind_version"), "search_index", ["kind", "version"])


def downgrade() -> None:
    """Restore the former indexes; the next upgrade fills the full-text index again."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_table("search_index")
        op.execute("create virtual table search_index using fts5(title, body, name, tokenize = 'ascii', columnsize = 0)")
    else:
        op.drop_index(op.f("ix_search_index_kind_version"), "search_index")
        op.drop_column("search_index", "kind")
        op.execute("delete from search_index")
    op.drop_index("ix_initiatives_id_city_id_status", "initiatives")
    op.drop_index("ix_revision_kind_version", "revision")
