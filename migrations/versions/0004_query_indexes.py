"""Indexes for the filters of lists, each followed by the columns of the list's order."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CURRENT = sa.text("superseded IS NULL")
# Table: the columns of each of its new indexes.
ADDED = {
    "cities": [("state", "name", "id"), ("state_capital", "name", "id")],
    "awards": [
        ("category", "survey_id", "rank", "id"),
        ("city_id", "survey_id", "category", "rank", "id"),
        ("rank", "survey_id", "category", "id"),
        ("tied", "survey_id", "category", "rank", "id"),
    ],
    "initiatives": [
        ("city_id", "title", "id"),
        ("city_id", "started", "id"),
        ("status", "title", "id"),
        ("parent_id", "title", "id"),
        ("started", "id"),
    ],
    "initiative_awards": [("award_id", "initiative_id")],
    "initiative_priorities": [("priority_id", "initiative_id")],
    "initiative_partners": [("organization_id", "initiative_id"), ("role", "initiative_id")],
    "initiative_metrics": [(column, "initiative_id") for column in ("name", "value", "unit", "qualifier", "as_of")],
    "organizations": [("type", "name", "id"), ("parent_id", "name", "id"), ("city_id", "name", "id")],
    "sources": [(column, "title", "id") for column in ("type", "publisher_id", "part", "parts", "language", "text_sha256")],
    "surveys": [(column, "year", "id") for column in ("year_basis", "conducted_by_id", "cities_recognized")],
    "citations": [
        (column, "id")
        for column in ("subject_id", "subject_kind", "field", "source_id", "paragraph", "sentence", "sentence_sha256", "basis")
    ],
    "revision": [("changed_at", "version")],
}
# Those that begin one of the new ones.
REPLACED = {
    "awards": ["city_id"],
    "initiatives": ["city_id", "parent_id"],
    "initiative_awards": ["award_id"],
    "initiative_priorities": ["priority_id"],
    "initiative_partners": ["organization_id"],
    "organizations": ["parent_id", "city_id"],
    "sources": ["publisher_id"],
    "surveys": ["conducted_by_id"],
}
# Names are looked up without regard to the case of ASCII letters.
FOLDED = {
    "cities": ["name"],
    "initiatives": ["title"],
    "initiative_metrics": ["name", "unit"],
    "organizations": ["name"],
    "priorities": ["name"],
    "sources": ["title"],
    "surveys": ["name"],
}


def upgrade() -> None:
    """Create them, and drop those that they make superfluous."""
    for table, columns in REPLACED.items():
        for column in columns:
            op.drop_index(f"ix_{table}_{column}", table)
    for table, indexes in ADDED.items():
        for columns in indexes:
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
    op.create_index(
        "ix_revision_current_version", "revision", ["kind", "version"], sqlite_where=CURRENT, postgresql_where=CURRENT
    )
    for table, column in ((table, column) for table, columns in FOLDED.items() for column in columns):
        op.create_index(f"ix_{table}_{column}_folded", table, [sa.text(f"lower({column})")])
    if op.get_bind().dialect.name == "postgresql":
        # SQLite reads one index in both directions with nulls last; PostgreSQL needs an index for each.
        op.create_index(
            "ix_initiatives_started_nulls_last", "initiatives", [sa.text("started desc nulls last"), sa.text("id desc")]
        )


def downgrade() -> None:
    """Restore the former indexes."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_initiatives_started_nulls_last", "initiatives")
    for table, column in ((table, column) for table, columns in FOLDED.items() for column in columns):
        op.drop_index(f"ix_{table}_{column}_folded", table)
    op.drop_index("ix_revision_current_version", "revision")
    for table, indexes in ADDED.items():
        for columns in indexes:
            op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
    for table, columns in REPLACED.items():
        for column in columns:
            op.create_index(f"ix_{table}_{column}", table, [column])
