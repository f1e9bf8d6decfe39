"""Whole numbers up to 2^53 - 1 on PostgreSQL, as on SQLite."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = {
    "surveys": ("year", "cities_recognized"),
    "survey_states": ("cities_recognized",),
    "survey_categories": ("min_population", "max_population"),
    "survey_priorities": ("place",),
    "awards": ("rank",),
    "sources": ("part", "parts"),
    "citations": ("paragraph", "sentence"),
}


def upgrade() -> None:
    """Widen the columns of whole numbers; SQLite's integers have 64 bits already."""
    _alter("bigint")


def downgrade() -> None:
    """Narrow the columns; fails if a number does not fit, and changes nothing then."""
    _alter("integer")


def _alter(type: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in COLUMNS.items():
        # One statement for each table, because each writes the whole table.
        op.execute(f"alter table {table} " + ", ".join(f"alter column {column} type {type}" for column in columns))
