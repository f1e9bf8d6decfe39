"""Dates in EDTF, with columns that stand for them in filters and sort keys."""

import datetime as dt

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

from migrations import seeding

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

DATES = {"initiatives": ("id", "started"), "initiative_metrics": ("initiative_id", "as_of")}
FORMER, LONGEST = 10, 23
MEND = "{id} has the {column} {date}: update {table} set {column} = null where {owner} = '{id}' and {column} = '{date}';"
BY_CITY, BY_CITY_AND_PERIOD = ["city_id", "started", "id"], ["city_id", "started_period", "id"]


def upgrade() -> None:
    """Add the columns, which the end of the upgrade fills, and allow longer dates."""
    _limit(FORMER, LONGEST)
    text = sa.String().with_variant(sa.String(collation="C"), "postgresql")
    op.drop_index("ix_initiatives_city_id_started_id", "initiatives")
    _drop_descending("started")
    for table, (owner, column) in DATES.items():
        op.add_column(table, sa.Column(f"{column}_period", text, nullable=True))
        op.add_column(table, sa.Column(f"{column}_month", sa.Integer(), nullable=True))
        for derived in (f"{column}_period", f"{column}_month"):
            op.create_index(f"ix_{table}_{derived}_{owner}", table, [derived, owner])
    op.create_index("ix_initiatives_city_id_started_period_id", "initiatives", BY_CITY_AND_PERIOD)
    _create_descending("started_period")
    seeding.republish("initiatives")


def downgrade() -> None:
    """Drop the columns. Raises `CommandError` with the dates that the former release cannot read."""
    lines = [
        MEND.format(id=id, table=table, column=column, date=date, owner=owner)
        for table, (owner, column) in DATES.items()
        for id, date in op.get_bind().execute(sa.select(sa.column(owner), sa.column(column)).select_from(sa.table(table)))
        if date is not None and not _is_former(date)
    ]
    if lines:
        raise CommandError("\n".join(["the former release has no such dates; change them and downgrade again:", *lines]))
    _drop_descending("started_period")
    op.drop_index("ix_initiatives_city_id_started_period_id", "initiatives")
    for table, (owner, column) in DATES.items():
        for derived in (f"{column}_month", f"{column}_period"):
            op.drop_index(f"ix_{table}_{derived}_{owner}", table)
            op.drop_column(table, derived)
    _limit(LONGEST, FORMER)
    op.create_index("ix_initiatives_city_id_started_id", "initiatives", BY_CITY)
    _create_descending("started")


def _is_former(date: str) -> bool:
    """Tell whether the former release can read a date: a year, a month or a day."""
    try:
        dt.date.fromisoformat(date + "-01-01"[len(date) - 4 :])
    except ValueError:
        return False
    return len(date) in {len("2024"), len("2024-07"), len("2024-07-31")}


def _create_descending(column: str) -> None:
    """Create the index that PostgreSQL needs to read a column backwards with nulls last."""
    if op.get_bind().dialect.name == "postgresql":
        terms = [sa.text(f"{column} desc nulls last"), sa.text("id desc")]
        op.create_index(f"ix_initiatives_{column}_nulls_last", "initiatives", terms)


def _drop_descending(column: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index(f"ix_initiatives_{column}_nulls_last", "initiatives")


def _limit(old: int, new: int) -> None:
    """Change the longest length of a date."""
    check = "length(started) between 4 and {}"
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("ck_initiatives_started", "initiatives")
        op.create_check_constraint(op.f("ck_initiatives_started"), "initiatives", check.format(new))
        return
    # SQLite alters no check, and to make the table again would delete the rows of its parts; this is how its manual does it.
    op.execute("pragma writable_schema = on")
    schema = sa.table("sqlite_master", sa.column("name"), sa.column("sql"))
    changed = sa.func.replace(schema.c.sql, check.format(old), check.format(new))
    op.execute(schema.update().values(sql=changed).where(schema.c.name == "initiatives"))
    op.execute("pragma writable_schema = reset")
