"""The ledger knows to which cities and surveys each revision belongs, so that feeds and snapshots can be of some of them."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# How each database reads a member of a document, and the items of a list.
MEMBER = {"sqlite": "json_extract({0}.document, '$.{1}')", "postgresql": "({0}.document::json ->> '{1}')"}
ITEMS = {
    "sqlite": "json_each({0}.document, '$.{1}') as item on item.value",
    "postgresql": "json_array_elements_text({0}.document::json -> '{1}') as item (value) on item.value",
}
ADD = "insert into revision_scope (version, kind, id, belongs, belonged) select distinct {}, true, false from {} on conflict do nothing"
# Members that name a city or a survey.
DIRECT = (
    ("awards", "city", "cities"),
    ("awards", "survey", "surveys"),
    ("initiatives", "city", "cities"),
    ("organizations", "city", "cities"),
)
# Each revision `v` with the next one of its record; and the revisions of another record that were current together with it.
REVISIONS = "revision v left join revision following on following.version = v.superseded"
TOGETHER = (
    "(case when following.version is null then giver.superseded is null else giver.commit_version < following.commit_version"
    " and (giver.superseded is null or giver.superseded > v.version) end)"
)
GIVEN = "join revision_scope s on s.version = giver.version and s.belongs"
FORMER = """
    insert into revision_scope (version, kind, id, belongs, belonged)
    select former.superseded, s.kind, s.id, false, true from revision former join revision_scope s on s.version = former.version
    where former.op = 'upsert' and former.superseded is not null and s.belongs
    on conflict (version, kind, id) do update set belonged = true
"""


def upgrade() -> None:
    """Add the table, and fill it from the documents of all revisions.

    A superseded revision gets what it belonged to at any time, because a record that moved did not yet have others published
    again. One whose document was trimmed or erased gets nothing: no feed and no earlier state shows it.
    """
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    version = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "revision_scope",
        sa.Column("version", version, autoincrement=False, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("id", text, nullable=False),
        sa.Column("belongs", sa.Boolean(), nullable=False),
        sa.Column("belonged", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("version", "kind", "id", name=op.f("pk_revision_scope")),
    )
    fill(op.get_bind().dialect.name)
    op.create_index("ix_revision_scope_kind_id_version", "revision_scope", ["kind", "id", "version"])
    op.add_column("ledger_head", sa.Column("scoped", version, nullable=False, server_default="0"))
    op.execute("update ledger_head set scoped = version")
    with op.batch_alter_table("ledger_head") as batch:
        batch.alter_column("scoped", existing_type=version, server_default=None)


def downgrade() -> None:
    """Drop the table."""
    op.drop_column("ledger_head", "scoped")
    op.drop_table("revision_scope")


def fill(dialect: str) -> None:
    """Store the scopes of every revision: first of those that name them, then of those that have them from others."""
    member = MEMBER[dialect].format
    add("v.version, v.kind, v.id", "revision v where v.kind in ('cities', 'surveys') and v.op = 'upsert'")
    for kind, name, scope in DIRECT:
        add(
            f"v.version, '{scope}', {member('v', name)}",
            f"revision v where v.kind = '{kind}' and {member('v', name)} is not null",
        )
    add(
        "v.version, s.kind, s.id",
        f"{REVISIONS} join {ITEMS[dialect].format('v', 'awards')} is not null"
        f" join revision giver on giver.kind = 'awards' and giver.id = item.value and {TOGETHER} {GIVEN} where v.kind = 'initiatives'",
    )
    subject = f"giver.kind = {member('v', 'subject_kind')} and giver.id = {member('v', 'subject_id')}"
    add(
        "v.version, s.kind, s.id",
        f"{REVISIONS} join revision giver on {subject} and {TOGETHER} {GIVEN} where v.kind = 'citations'",
    )
    of_record = "giver.kind = v.kind and giver.id = v.id and giver.version < v.version"
    add("v.version, s.kind, s.id", f"revision v join revision giver on {of_record} {GIVEN} where v.erases")
    op.execute(FORMER)


def add(columns: str, rows: str) -> None:
    """Add the scopes that a query finds and that are not stored yet."""
    op.execute(ADD.format(columns, rows))
