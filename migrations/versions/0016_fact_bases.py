"""Each record says how its facts are known, and whom to credit: the weakest basis of each cited member, next to the record."""

import sqlalchemy as sa
from alembic import op

from migrations import seeding

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SUBJECTS = ("surveys", "cities", "awards", "initiatives", "priorities", "organizations", "sources")
# The statements of a trigger for a citation; `{0}` is its row before or after a change. Plainly stated facts need no row.
FORGET = "delete from fact_bases where subject_kind = {0}.subject_kind and subject_id = {0}.subject_id and field = {0}.field;"
KEEP = (
    "insert into fact_bases (subject_kind, subject_id, field, basis)"
    " select subject_kind, subject_id, field, basis from citations"
    " where subject_kind = {0}.subject_kind and subject_id = {0}.subject_id and field = {0}.field and basis <> 'stated'"
    " order by case basis when 'editorial' then 1 when 'inferred' then 2 when 'attributed' then 3 else 4 end limit 1;"
)
# A citation of a data set, whose attribution its subject shows.
IS_CREDIT = "{0}.locator_record is not null"
CREDITED = "insert into ledger_dirty (kind, id) select distinct subject_kind, subject_id from citations where locator_record is not null"
# The columns of a citation that decide these.
CITED = "subject_kind, subject_id, field, source_id, locator_record, basis"
NOTE = "insert into ledger_dirty (kind, id) values ({0}.subject_kind, {0}.subject_id);"


def upgrade() -> None:
    """Create the table with its triggers, fill it from the citations, and publish every record with the new member."""
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.create_table(
        "fact_bases",
        *(sa.Column(name, text, nullable=False) for name in ("subject_kind", "subject_id", "field", "basis")),
        sa.PrimaryKeyConstraint("subject_kind", "subject_id", "field", name=op.f("pk_fact_bases")),
    )
    op.create_index("ix_fact_bases_subject_kind_basis_subject_id", "fact_bases", ["subject_kind", "basis", "subject_id"])
    op.create_index("ix_fact_bases_subject_kind_field_subject_id", "fact_bases", ["subject_kind", "field", "subject_id"])
    if op.get_bind().dialect.name == "postgresql":
        _track_on_postgresql()
    else:
        _track_on_sqlite()
    # Each citation passes the triggers.
    op.execute("update citations set basis = basis")
    for kind in SUBJECTS:
        seeding.republish(kind)


def downgrade() -> None:
    """Drop the table and its triggers, and publish every record without the member."""
    if op.get_bind().dialect.name == "postgresql":
        for event in ("basis", "basis_truncate"):
            op.execute(f"drop trigger citations_{event} on citations")
        op.execute("drop trigger sources_credit on sources")
        op.drop_table("fact_bases")
        op.execute("drop function source_credit()")
        op.execute("drop function citation_basis()")
        op.execute("drop function fact_basis_note()")
    else:
        for event in ("insert", "update", "delete"):
            op.execute(f"drop trigger citations_basis_{event}")
            op.execute(f"drop trigger citations_credit_{event}")
        op.execute("drop trigger sources_credit_update")
        op.drop_table("fact_bases")
    for kind in SUBJECTS:
        seeding.republish(kind)


def _track_on_sqlite() -> None:
    for event, rows in (("insert", ["new"]), (f"update of {CITED}", ["old", "new"]), ("delete", ["old"])):
        statements = [statement.format(row) for row in rows for statement in (FORGET, KEEP)]
        _create_on_sqlite("citations", "basis", event, statements)
        _create_on_sqlite("fact_bases", "note", event.split()[0], [NOTE.format(row) for row in rows])
        is_credit = " or ".join(IS_CREDIT.format(row) for row in rows)
        _create_on_sqlite("citations", "credit", event, [NOTE.format(row) for row in rows], is_credit)
    is_new = "old.attribution is not new.attribution or old.licence is not new.licence"
    _create_on_sqlite("sources", "credit", "update", [f"{CREDITED} and source_id = new.id;"], is_new)


def _create_on_sqlite(table: str, name: str, event: str, statements: list[str], condition: str = "true") -> None:
    trigger = (
        f"create trigger {table}_{name}_{event.split(maxsplit=1)[0]} after {event} on {table} for each row when {condition}"
    )
    op.execute(f"{trigger} begin {' '.join(statements)} end")


def _track_on_postgresql() -> None:
    forget_old, keep_old, forget_new, keep_new = (row.format(name) for name in ("old", "new") for row in (FORGET, KEEP))
    # The parts are our own literals.
    op.execute(f"""
        create function citation_basis() returns trigger language plpgsql as $$
        begin
            if tg_op = 'TRUNCATE' then
                delete from fact_bases;
                {CREDITED};
                return null;
            end if;
            if tg_op <> 'INSERT' then
                {forget_old} {keep_old}
                if {IS_CREDIT.format("old")} then {NOTE.format("old")} end if;
            end if;
            if tg_op <> 'DELETE' then
                {forget_new} {keep_new}
                if {IS_CREDIT.format("new")} then {NOTE.format("new")} end if;
            end if;
            return null;
        end $$""")  # noqa: S608
    op.execute(f"""
        create function fact_basis_note() returns trigger language plpgsql as $$
        begin
            if tg_op = 'TRUNCATE' then
                insert into ledger_dirty (kind, id) select subject_kind, subject_id from fact_bases;
                return null;
            end if;
            if tg_op <> 'INSERT' then {NOTE.format("old")} end if;
            if tg_op <> 'DELETE' then {NOTE.format("new")} end if;
            return null;
        end $$""")  # noqa: S608
    op.execute(f"""
        create function source_credit() returns trigger language plpgsql as $$
        begin
            {CREDITED} and source_id = new.id;
            return null;
        end $$""")
    each = "after insert or update{} or delete on {} for each row execute function {}()"
    op.execute(f"create trigger citations_basis {each.format(f' of {CITED}', 'citations', 'citation_basis')}")
    op.execute(f"create trigger fact_bases_note {each.format('', 'fact_bases', 'fact_basis_note')}")
    op.execute("""
        create trigger sources_credit after update on sources for each row
        when (old.attribution is distinct from new.attribution or old.licence is distinct from new.licence)
        execute function source_credit()""")
    # TRUNCATE fires no row triggers.
    statement = "create trigger {0}_truncate before truncate on {1} for each statement execute function {2}()"
    op.execute(statement.format("citations_basis", "citations", "citation_basis"))
    op.execute(statement.format("fact_bases_note", "fact_bases", "fact_basis_note"))
