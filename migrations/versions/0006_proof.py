"""The proof of copies (leaves, buckets and the chain), the beginning of history, and webhooks."""

import datetime as dt
import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
VERSION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
GENESIS = bytes(32)
CURRENT = sa.text("superseded IS NULL")
BATCH = 1000


def upgrade() -> None:
    """Add the proof of copies, also to existing revisions, and the table of webhooks."""
    with op.batch_alter_table("revision") as batch:
        batch.drop_constraint(op.f("ck_revision_document"), type_="check")
        batch.add_column(sa.Column("bucket", sa.SmallInteger(), nullable=True))
        batch.add_column(sa.Column("leaf", sa.LargeBinary(), nullable=True))
        batch.add_column(sa.Column("chain", sa.LargeBinary(), nullable=True))
    op.add_column("ledger_head", sa.Column("chain", sa.LargeBinary(), nullable=True))
    op.add_column("ledger_head", sa.Column("origin", TEXT, nullable=True))
    op.add_column("ledger_head", sa.Column("trimmed", VERSION, nullable=False, server_default="0"))
    op.add_column("ledger_head", sa.Column("cuts", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "digest_bucket",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "number", name=op.f("pk_digest_bucket")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("url", TEXT, nullable=False),
        sa.Column("secret", TEXT, nullable=False),
        sa.Column(
            "state",
            sa.Enum("active", "paused", name="state", native_enum=False, create_constraint=True, length=40),
            nullable=False,
        ),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("told", VERSION, nullable=False),
        sa.Column("message", TEXT, nullable=True),
        sa.Column("message_version", VERSION, nullable=True),
        sa.Column("message_body", TEXT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("last_attempt_at", INSTANT, nullable=True),
        sa.Column("last_outcome", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    fill()
    with op.batch_alter_table("revision") as batch:
        batch.alter_column("bucket", existing_type=sa.SmallInteger(), nullable=False)
        batch.alter_column("chain", existing_type=sa.LargeBinary(), nullable=False)
        batch.create_check_constraint(
            op.f("ck_revision_hash"), "(op = 'delete') = (hash is null) and (hash is null) = (leaf is null)"
        )
        batch.create_check_constraint(op.f("ck_revision_deletion"), "document is null or op = 'upsert'")
        batch.create_check_constraint(
            op.f("ck_revision_document"), "document is not null or op = 'delete' or superseded is not null"
        )
    with op.batch_alter_table("ledger_head") as batch:
        batch.alter_column("chain", existing_type=sa.LargeBinary(), nullable=False)
        batch.alter_column("trimmed", existing_type=VERSION, server_default=None)
        batch.alter_column("cuts", existing_type=sa.Integer(), server_default=None)
    op.create_index("ix_revision_bucket", "revision", ["kind", "bucket", "id", "version", "superseded", "leaf"])
    op.create_index("ix_revision_feed", "revision", ["version"], sqlite_where=CURRENT, postgresql_where=CURRENT)


def downgrade() -> None:
    """Undo the upgrade; revisions whose document was cut get an empty one, which the former schema requires."""
    op.drop_index("ix_revision_feed", "revision")
    op.drop_index("ix_revision_bucket", "revision")
    op.drop_table("webhooks")
    op.drop_table("digest_bucket")
    op.execute("update revision set document = '{}' where document is null and op = 'upsert'")
    for column in ("chain", "origin", "trimmed", "cuts"):
        op.drop_column("ledger_head", column)
    with op.batch_alter_table("revision") as batch:
        for name in ("hash", "deletion", "document"):
            batch.drop_constraint(op.f(f"ck_revision_{name}"), type_="check")
        for column in ("bucket", "leaf", "chain"):
            batch.drop_column(column)
        batch.create_check_constraint(
            op.f("ck_revision_document"), "(op = 'delete') = (document is null) and (document is null) = (hash is null)"
        )


def fill() -> None:
    """Hash the existing revisions as the ledger does; its code is repeated here, because a revision must never change."""
    connection = op.get_bind()
    table = sa.table(
        "revision",
        *(sa.column(name) for name in ("version", "kind", "id", "op", "document", "superseded", "bucket", "leaf", "chain")),
        sa.column("changed_at", INSTANT),
    )
    columns = (table.c.version, table.c.kind, table.c.id, table.c.op, table.c.changed_at, table.c.document)
    write = (
        sa.update(table)
        .where(table.c.version == sa.bindparam("v"))
        .values(bucket=sa.bindparam("b"), leaf=sa.bindparam("l"), chain=sa.bindparam("c"))
    )
    chain, last = GENESIS, -1
    while rows := connection.execute(
        sa.select(*columns).where(table.c.version > last).order_by(table.c.version).limit(BATCH)
    ).all():
        hashed = []
        for row in rows:
            leaf = sha256("leaf", f"{row.kind}\n{row.id}\n{row.document}") if row.document else None
            facts = f"{row.version}\n{row.kind}\n{row.id}\n{row.op}\n{instant(row.changed_at)}\n".encode()
            chain = hashlib.sha256(b"digital-cities/chain/1\n" + chain + facts + (leaf or b"")).digest()
            number = sha256("key", f"{row.kind}\n{row.id}")[0]
            hashed.append({"v": row.version, "b": number, "l": leaf, "c": chain})
        connection.execute(write, hashed)
        last = rows[-1].version
    head = sa.table("ledger_head", sa.column("chain"))
    connection.execute(sa.update(head).values(chain=chain))
    buckets: dict[tuple[str, int], list[bytes]] = {}
    current = sa.select(table.c.kind, table.c.bucket, table.c.leaf).where(
        table.c.superseded.is_(None), table.c.leaf.is_not(None)
    )
    for kind, number, leaf in connection.execute(current.order_by(table.c.id)):
        buckets.setdefault((kind, number), []).append(leaf)
    filled = sa.table("digest_bucket", *(sa.column(name) for name in ("kind", "number", "records", "sha256")))
    rows = [
        {
            "kind": kind,
            "number": number,
            "records": len(leaves),
            "sha256": hashlib.sha256(b"digital-cities/bucket/1\n" + b"".join(leaves)).digest(),
        }
        for (kind, number), leaves in buckets.items()
    ]
    if rows:
        op.bulk_insert(filled, rows)


def sha256(label: str, text: str) -> bytes:
    """Return the hash of a label and a text."""
    return hashlib.sha256(f"digital-cities/{label}/1\n{text}".encode()).digest()


def instant(moment: dt.datetime) -> str:
    """Return a moment as documents have it."""
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{moment.microsecond // 1000:03d}Z"
