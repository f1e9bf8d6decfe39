"""API keys, stored answers, the authors of commits, and deferrable foreign keys."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, and make foreign keys deferrable on PostgreSQL, as they always are on SQLite."""
    op.create_table(
        "api_keys",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("secret_sha256", TEXT, nullable=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.Column("last_used_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_keys_secret_sha256")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("request_sha256", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["api_key"], ["api_keys.name"], name=op.f("fk_idempotency_keys_api_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("api_key", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.add_column("revision", sa.Column("author", TEXT, nullable=True))
    op.create_index(op.f("ix_revision_commit_version"), "revision", ["commit_version"])
    defer("deferrable initially immediate")
    if op.get_bind().dialect.name == "postgresql":
        # 2^53 - 1 has 16 digits before the point; SQLite does not limit the digits of a column.
        op.alter_column("initiative_metrics", "value", type_=sa.Numeric(precision=22, scale=6), existing_nullable=False)


def downgrade() -> None:
    """Undo the upgrade."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("initiative_metrics", "value", type_=sa.Numeric(precision=21, scale=6), existing_nullable=False)
    defer("not deferrable")
    op.drop_index(op.f("ix_revision_commit_version"), "revision")
    op.drop_column("revision", "author")
    op.drop_table("idempotency_keys")
    op.drop_table("api_keys")


def defer(how: str) -> None:
    """Alter every foreign key on PostgreSQL."""
    if op.get_bind().dialect.name == "postgresql":
        inspector = sa.inspect(op.get_bind())
        for table in inspector.get_table_names():
            for reference in inspector.get_foreign_keys(table):
                op.execute(f'alter table "{table}" alter constraint "{reference["name"]}" {how}')
