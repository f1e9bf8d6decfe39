"""Corrects the facts of part one of the series: each says what its source says, and names the sentence that says so."""

import sqlalchemy as sa
from alembic import op

from migrations.correcting import Correction
from migrations.seeding import Layout, Part

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SURVEY, INITIATIVE, CITY, ORGANIZATION = ({f"{noun}_id": "id"} for noun in ("survey", "initiative", "city", "organization"))
COMPETITORS = Part("survey_competitors", {"survey_id": "survey_id", "category": "category"}, value="city_id")
LAYOUT: Layout = {
    "cities": {"aliases": Part("city_aliases", CITY, value="alias"), "identifiers": Part("city_identifiers", CITY)},
    "organizations": {
        "aliases": Part("organization_aliases", ORGANIZATION, value="alias"),
        "identifiers": Part("organization_identifiers", ORGANIZATION),
    },
    "priorities": {},
    "surveys": {
        "states": Part("survey_states", SURVEY),
        "categories": Part("survey_categories", SURVEY, position="position", parts={"also_competing": COMPETITORS}),
        "priorities": Part("survey_priorities", SURVEY, value="priority_id", position="listed", first=1),
        "incomplete": Part("survey_incomplete", SURVEY, value="pointer"),
    },
    "sources": {},
    "awards": {},
    "initiatives": {
        "awards": Part("initiative_awards", INITIATIVE, value="award_id"),
        "priorities": Part("initiative_priorities", INITIATIVE, value="priority_id", position="position"),
        "partners": Part("initiative_partners", INITIATIVE, position="position"),
        "metrics": Part("initiative_metrics", INITIATIVE, position="position"),
        "aliases": Part("initiative_aliases", INITIATIVE, value="alias"),
        "incomplete": Part("initiative_incomplete", INITIATIVE, value="pointer"),
    },
    "citations": {},
}
CORRECTION = Correction(
    revision=revision,
    edition="digital-cities-2024-r2",
    sha256="52be7f5bcc40f32e3ca1a13b08e3c17eff70821bb72daf1dfb8f42606fa371f3",
    layout=LAYOUT,
    reason="Correction of the Digital Cities Survey 2024: each fact says no more than its source",
)
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
VERSION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make a place for replaced records and for the reasons of changes, and correct the facts."""
    op.create_table(
        "replaced_records",
        sa.Column("number", VERSION, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("revision", "kind", "id", "rows")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_replaced_records")),
    )
    op.create_index("ix_replaced_records_kind_id", "replaced_records", ["kind", "id"])
    for column in ("reason", "author"):
        op.add_column("ledger_dirty", sa.Column(column, TEXT, nullable=True))
    CORRECTION.apply()


def downgrade() -> None:
    """Restore the former facts."""
    CORRECTION.revert()
    for column in ("reason", "author"):
        op.drop_column("ledger_dirty", column)
    op.drop_table("replaced_records")
