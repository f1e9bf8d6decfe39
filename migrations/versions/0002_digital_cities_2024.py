"""The facts of part one of the series on California in the Digital Cities Survey."""

from migrations.seeding import Layout, Part, load, unload

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EDITION = "digital-cities-2024"
SHA256 = "414997a584f76b35c9497e9e2d0e413202ee7b6a5f6bc5d6dd21374d663bb3ec"

SURVEY = {"survey_id": "id"}
INITIATIVE = {"initiative_id": "id"}
COMPETITORS = Part("survey_competitors", {"survey_id": "survey_id", "category": "category"}, value="city_id")
LAYOUT: Layout = {
    "cities": {},
    "organizations": {},
    "priorities": {},
    "surveys": {
        "states": Part("survey_states", SURVEY),
        "categories": Part("survey_categories", SURVEY, position="position", parts={"also_competing": COMPETITORS}),
        "priorities": Part("survey_priorities", SURVEY, value="priority_id", position="place", first=1),
    },
    "sources": {},
    "awards": {},
    "initiatives": {
        "awards": Part("initiative_awards", INITIATIVE, value="award_id"),
        "priorities": Part("initiative_priorities", INITIATIVE, value="priority_id", position="position"),
        "partners": Part("initiative_partners", INITIATIVE, position="position"),
        "metrics": Part("initiative_metrics", INITIATIVE, position="position"),
    },
    "citations": {},
}


def upgrade() -> None:
    """Insert the edition."""
    load(EDITION, SHA256, LAYOUT)


def downgrade() -> None:
    """Delete it."""
    unload(EDITION, SHA256, LAYOUT)
