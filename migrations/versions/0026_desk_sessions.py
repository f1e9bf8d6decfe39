"""People sign in at the desk: their sessions are stored, by hashes of the tokens in their cookies."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
# Code that does not know the table leaves it alone.
oldest = "0023"
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "desk_sessions",
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("secret_sha256", TEXT, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_desk_sessions")),
    )


def downgrade() -> None:
    """Drop the table, which signs everybody out."""
    op.drop_table("desk_sessions")
