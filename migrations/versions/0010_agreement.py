"""Organizations without a city have unique names; stops at records that contradict each other, and at unclean names."""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

from migrations import names

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CIRCLE = """
    with recursive above (start, id) as (
        select id, parent_id from {table} where parent_id is not null
        union select above.start, {table}.parent_id from {table} join above on {table}.id = above.id
        where {table}.parent_id is not null
    )
    select start from above where start = id
"""
PLACINGS = """
    select id from awards join (
        select survey_id, category, rank, count(*) as number from awards group by survey_id, category, rank
    ) as placings on placings.survey_id = awards.survey_id and placings.category = awards.category and placings.rank = awards.rank
"""
# Faults, each with the query for its records and the SQL that mends one.
FAULTS = (
    (
        "is part of itself, through its parents",
        CIRCLE.format(table="organizations"),
        "update organizations set parent_id = null where id = '{}'",
    ),
    (
        "is part of itself, through its parents",
        CIRCLE.format(table="initiatives"),
        "update initiatives set parent_id = null where id = '{}'",
    ),
    (
        "has a parent in another city",
        "select a.id from initiatives a join initiatives b on a.parent_id = b.id where a.city_id <> b.city_id",
        "update initiatives set parent_id = null where id = '{}'",
    ),
    (
        "has an award of another city",
        """
        select distinct a.id from initiatives a join initiative_awards c on c.initiative_id = a.id
        join awards b on b.id = c.award_id where a.city_id <> b.city_id
        """,
        "delete from initiative_awards where initiative_id = '{}' and award_id = '...'",
    ),
    (
        "is tied with no other award",
        f"{PLACINGS} where number = 1 and tied",
        "update awards set tied = null where id = '{}'",
    ),
    (
        "shares its placing, but is not tied",
        f"{PLACINGS} where number > 1 and not tied",
        "update awards set tied = null where id = '{}'",
    ),
)


def upgrade() -> None:
    """Create the index. Raises `CommandError` with each record that breaks a rule, and the SQL that mends it."""
    lines = [
        f"{id} {fault}: {mend.format(id)};"
        for fault, query, mend in FAULTS
        for (id,) in op.get_bind().execute(sa.text(query)).all()
    ]
    lines += names.faults()
    if lines:
        raise CommandError("\n".join(["these records break rules of this release; mend them and upgrade again:", *lines]))
    nowhere = sa.text("city_id is null")
    op.create_index(
        "ix_organizations_name", "organizations", ["name"], unique=True, sqlite_where=nowhere, postgresql_where=nowhere
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_organizations_name", "organizations")
