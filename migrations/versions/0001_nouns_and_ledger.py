"""The nouns, their parts, the ledger, and the triggers between them."""

import datetime as dt

import sqlalchemy as sa
from alembic import op

from migrations import tracking

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Ordered by code point, so that both databases agree.
TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
VERSION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def choice(*values: str, name: str) -> sa.Enum:
    """Return the type of a column that holds one of these values."""
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)


def upgrade() -> None:
    """Create the nouns, their parts, the ledger, and the triggers between them."""
    op.create_table(
        "cities",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("country", TEXT, nullable=False),
        sa.Column("state_capital", sa.Boolean(create_constraint=True, name="state_capital"), nullable=True),
        sa.Column("summary", TEXT, nullable=True),
        sa.CheckConstraint("length(country) = 2 and country = upper(country)", name=op.f("ck_cities_country")),
        sa.CheckConstraint("length(state) = 2 and state = upper(state)", name=op.f("ck_cities_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cities")),
        sa.UniqueConstraint("country", "state", "name", name=op.f("uq_cities_country_state_name")),
    )
    op.create_index(op.f("ix_cities_name_id"), "cities", ["name", "id"], unique=False)
    op.create_table(
        "ledger_dirty",
        sa.Column("seq", VERSION, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_dirty")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("version", VERSION, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.CheckConstraint("one = 1", name=op.f("ck_ledger_head_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "priorities",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_priorities")),
        sa.UniqueConstraint("name", name=op.f("uq_priorities_name")),
    )
    op.create_index(op.f("ix_priorities_name_id"), "priorities", ["name", "id"], unique=False)
    op.create_table(
        "records",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.CheckConstraint("'-' || id || '-' not like '%--%' and length(id) between 1 and 200", name=op.f("ck_records_slug")),
        sa.CheckConstraint("trim(id, 'abcdefghijklmnopqrstuvwxyz0123456789-') = ''", name=op.f("ck_records_characters")),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_records")),
    )
    op.create_table(
        "revision",
        sa.Column("version", VERSION, autoincrement=False, nullable=False),
        sa.Column("commit_version", VERSION, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("op", choice("upsert", "delete", name="op"), nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("document", TEXT, nullable=True),
        sa.Column("hash", TEXT, nullable=True),
        sa.Column("superseded", VERSION, nullable=True),
        sa.CheckConstraint(
            "(op = 'delete') = (document is null) and (document is null) = (hash is null)", name=op.f("ck_revision_document")
        ),
        sa.CheckConstraint("superseded > version", name=op.f("ck_revision_superseded")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_revision")),
    )
    op.create_index(
        "ix_revision_current",
        "revision",
        ["kind", "id"],
        unique=True,
        sqlite_where=sa.text("superseded IS NULL"),
        postgresql_where=sa.text("superseded IS NULL"),
    )
    op.create_index(op.f("ix_revision_kind_id_version"), "revision", ["kind", "id", "version"], unique=False)
    op.create_table(
        "initiatives",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("city_id", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("summary", TEXT, nullable=False),
        sa.Column(
            "status",
            choice("planned", "draft", "pilot", "in_progress", "in_operation", "completed", name="status"),
            nullable=False,
        ),
        sa.Column("started", TEXT, nullable=True),
        sa.Column("parent_id", TEXT, nullable=True),
        sa.CheckConstraint("length(started) between 4 and 10", name=op.f("ck_initiatives_started")),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_initiatives_parent")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_initiatives_city_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["initiatives.id"], name=op.f("fk_initiatives_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_initiatives")),
        sa.UniqueConstraint("city_id", "title", name=op.f("uq_initiatives_city_id_title")),
    )
    op.create_index(op.f("ix_initiatives_city_id"), "initiatives", ["city_id"], unique=False)
    op.create_index(op.f("ix_initiatives_parent_id"), "initiatives", ["parent_id"], unique=False)
    op.create_index(op.f("ix_initiatives_title_id"), "initiatives", ["title", "id"], unique=False)
    op.create_table(
        "organizations",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column(
            "type",
            choice("company", "government_agency", "city_office", "coalition", "research_center", "publisher", name="type"),
            nullable=False,
        ),
        sa.Column("parent_id", TEXT, nullable=True),
        sa.Column("city_id", TEXT, nullable=True),
        sa.Column("summary", TEXT, nullable=True),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_organizations_parent")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_organizations_city_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["organizations.id"], name=op.f("fk_organizations_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("name", "city_id", name=op.f("uq_organizations_name_city_id")),
    )
    op.create_index(op.f("ix_organizations_city_id"), "organizations", ["city_id"], unique=False)
    op.create_index(op.f("ix_organizations_name_id"), "organizations", ["name", "id"], unique=False)
    op.create_index(op.f("ix_organizations_parent_id"), "organizations", ["parent_id"], unique=False)
    op.create_table(
        "initiative_metrics",
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.Numeric(precision=21, scale=6, asdecimal=False), nullable=False),
        sa.Column("unit", TEXT, nullable=False),
        sa.Column("qualifier", choice("exactly", "more_than", "nearly", "at_least", name="qualifier"), nullable=False),
        sa.Column("as_of", TEXT, nullable=True),
        sa.CheckConstraint("value between -9007199254740991 and 9007199254740991", name=op.f("ck_initiative_metrics_value")),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiatives.id"], name=op.f("fk_initiative_metrics_initiative_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("initiative_id", "position", name=op.f("pk_initiative_metrics")),
        sa.UniqueConstraint("initiative_id", "name", name=op.f("uq_initiative_metrics_initiative_id_name")),
    )
    op.create_table(
        "initiative_partners",
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("organization_id", TEXT, nullable=False),
        sa.Column("role", choice("coordinator", "builder", "funder", "partner", "member", name="role"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiatives.id"], name=op.f("fk_initiative_partners_initiative_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_initiative_partners_organization_id")),
        sa.PrimaryKeyConstraint("initiative_id", "organization_id", "role", name=op.f("pk_initiative_partners")),
        sa.UniqueConstraint("initiative_id", "position", name=op.f("uq_initiative_partners_initiative_id_position")),
    )
    op.create_index(op.f("ix_initiative_partners_organization_id"), "initiative_partners", ["organization_id"], unique=False)
    op.create_table(
        "initiative_priorities",
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("priority_id", TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiatives.id"], name=op.f("fk_initiative_priorities_initiative_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["priority_id"], ["priorities.id"], name=op.f("fk_initiative_priorities_priority_id")),
        sa.PrimaryKeyConstraint("initiative_id", "priority_id", name=op.f("pk_initiative_priorities")),
        sa.UniqueConstraint("initiative_id", "position", name=op.f("uq_initiative_priorities_initiative_id_position")),
    )
    op.create_index(op.f("ix_initiative_priorities_priority_id"), "initiative_priorities", ["priority_id"], unique=False)
    op.create_table(
        "sources",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("type", choice("article", "report", "press_release", "list", name="type"), nullable=False),
        sa.Column("summary", TEXT, nullable=True),
        sa.Column("publisher_id", TEXT, nullable=True),
        sa.Column("part", sa.Integer(), nullable=True),
        sa.Column("parts", sa.Integer(), nullable=True),
        sa.Column("language", TEXT, nullable=False),
        sa.Column("text_sha256", TEXT, nullable=False),
        sa.CheckConstraint("length(text_sha256) = 64", name=op.f("ck_sources_text_sha256")),
        sa.CheckConstraint("part >= 1 and cast(part as integer) = part", name=op.f("ck_sources_part")),
        sa.CheckConstraint("parts >= part and cast(parts as integer) = parts", name=op.f("ck_sources_parts")),
        sa.ForeignKeyConstraint(["publisher_id"], ["organizations.id"], name=op.f("fk_sources_publisher_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
    )
    op.create_index(op.f("ix_sources_publisher_id"), "sources", ["publisher_id"], unique=False)
    op.create_index(op.f("ix_sources_title_id"), "sources", ["title", "id"], unique=False)
    op.create_table(
        "surveys",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("year_basis", choice("stated", "inferred", name="year_basis"), nullable=False),
        sa.Column("conducted_by_id", TEXT, nullable=False),
        sa.Column("summary", TEXT, nullable=True),
        sa.Column("cities_recognized", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "cities_recognized >= 0 and cast(cities_recognized as integer) = cities_recognized",
            name=op.f("ck_surveys_cities_recognized"),
        ),
        sa.CheckConstraint("year between 1000 and 9999 and cast(year as integer) = year", name=op.f("ck_surveys_year")),
        sa.ForeignKeyConstraint(["conducted_by_id"], ["organizations.id"], name=op.f("fk_surveys_conducted_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_surveys")),
        sa.UniqueConstraint("name", "year", name=op.f("uq_surveys_name_year")),
    )
    op.create_index(op.f("ix_surveys_conducted_by_id"), "surveys", ["conducted_by_id"], unique=False)
    op.create_index(op.f("ix_surveys_year_id"), "surveys", ["year", "id"], unique=False)
    op.create_table(
        "citations",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("subject_kind", TEXT, nullable=False),
        sa.Column("subject_id", TEXT, nullable=False),
        sa.Column("field", TEXT, nullable=False),
        sa.Column("source_id", TEXT, nullable=False),
        sa.Column("paragraph", sa.Integer(), nullable=False),
        sa.Column("sentence", sa.Integer(), nullable=False),
        sa.Column("sentence_sha256", TEXT, nullable=False),
        sa.Column("basis", choice("stated", "inferred", "editorial", name="basis"), nullable=False),
        sa.CheckConstraint("subject_kind <> 'citations'", name=op.f("ck_citations_subject_kind")),
        sa.CheckConstraint("substr(field, 1, 1) = '/'", name=op.f("ck_citations_field")),
        sa.CheckConstraint("length(sentence_sha256) = 64", name=op.f("ck_citations_sentence_sha256")),
        sa.CheckConstraint("paragraph >= 1 and cast(paragraph as integer) = paragraph", name=op.f("ck_citations_paragraph")),
        sa.CheckConstraint("sentence >= 1 and cast(sentence as integer) = sentence", name=op.f("ck_citations_sentence")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_citations_source_id")),
        sa.ForeignKeyConstraint(
            ["subject_kind", "subject_id"],
            ["records.kind", "records.id"],
            name=op.f("fk_citations_subject_kind_subject_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_citations")),
        sa.UniqueConstraint(
            "subject_kind", "subject_id", "field", "source_id", "paragraph", "sentence", name="uq_citations_locator"
        ),
    )
    op.create_index(
        op.f("ix_citations_source_id_paragraph_sentence"), "citations", ["source_id", "paragraph", "sentence"], unique=False
    )
    op.create_table(
        "survey_categories",
        sa.Column("survey_id", TEXT, nullable=False),
        sa.Column("category", TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("min_population", sa.Integer(), nullable=True),
        sa.Column("max_population", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "max_population >= min_population and cast(max_population as integer) = max_population",
            name=op.f("ck_survey_categories_max_population"),
        ),
        sa.CheckConstraint(
            "min_population >= 0 and cast(min_population as integer) = min_population",
            name=op.f("ck_survey_categories_min_population"),
        ),
        sa.ForeignKeyConstraint(["survey_id"], ["surveys.id"], name=op.f("fk_survey_categories_survey_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("survey_id", "category", name=op.f("pk_survey_categories")),
        sa.UniqueConstraint("survey_id", "position", name=op.f("uq_survey_categories_survey_id_position")),
    )
    op.create_table(
        "survey_priorities",
        sa.Column("survey_id", TEXT, nullable=False),
        sa.Column("priority_id", TEXT, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.CheckConstraint("place >= 1 and cast(place as integer) = place", name=op.f("ck_survey_priorities_place")),
        sa.ForeignKeyConstraint(
            ["priority_id"], ["priorities.id"], name=op.f("fk_survey_priorities_priority_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["survey_id"], ["surveys.id"], name=op.f("fk_survey_priorities_survey_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("survey_id", "priority_id", name=op.f("pk_survey_priorities")),
        sa.UniqueConstraint("survey_id", "place", name=op.f("uq_survey_priorities_survey_id_place")),
    )
    op.create_index(op.f("ix_survey_priorities_priority_id"), "survey_priorities", ["priority_id"], unique=False)
    op.create_table(
        "survey_states",
        sa.Column("survey_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("cities_recognized", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "cities_recognized >= 0 and cast(cities_recognized as integer) = cities_recognized",
            name=op.f("ck_survey_states_cities_recognized"),
        ),
        sa.CheckConstraint("length(state) = 2 and state = upper(state)", name=op.f("ck_survey_states_state")),
        sa.ForeignKeyConstraint(["survey_id"], ["surveys.id"], name=op.f("fk_survey_states_survey_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("survey_id", "state", name=op.f("pk_survey_states")),
    )
    op.create_table(
        "awards",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("survey_id", TEXT, nullable=False),
        sa.Column("category", TEXT, nullable=False),
        sa.Column("city_id", TEXT, nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("tied", sa.Boolean(create_constraint=True, name="tied"), nullable=True),
        sa.Column("summary", TEXT, nullable=True),
        sa.CheckConstraint("rank >= 1 and cast(rank as integer) = rank", name=op.f("ck_awards_rank")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_awards_city_id")),
        sa.ForeignKeyConstraint(
            ["survey_id", "category"],
            ["survey_categories.survey_id", "survey_categories.category"],
            name=op.f("fk_awards_survey_id_category"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_awards")),
        sa.UniqueConstraint("survey_id", "category", "city_id", name=op.f("uq_awards_survey_id_category_city_id")),
    )
    op.create_index(op.f("ix_awards_city_id"), "awards", ["city_id"], unique=False)
    op.create_index(
        op.f("ix_awards_survey_id_category_rank_id"), "awards", ["survey_id", "category", "rank", "id"], unique=False
    )
    op.create_table(
        "survey_competitors",
        sa.Column("survey_id", TEXT, nullable=False),
        sa.Column("category", TEXT, nullable=False),
        sa.Column("city_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["city_id"], ["cities.id"], name=op.f("fk_survey_competitors_city_id")),
        sa.ForeignKeyConstraint(
            ["survey_id", "category"],
            ["survey_categories.survey_id", "survey_categories.category"],
            name=op.f("fk_survey_competitors_survey_id_category"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("survey_id", "category", "city_id", name=op.f("pk_survey_competitors")),
    )
    op.create_index(op.f("ix_survey_competitors_city_id"), "survey_competitors", ["city_id"], unique=False)
    op.create_table(
        "initiative_awards",
        sa.Column("initiative_id", TEXT, nullable=False),
        sa.Column("award_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["award_id"], ["awards.id"], name=op.f("fk_initiative_awards_award_id")),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiatives.id"], name=op.f("fk_initiative_awards_initiative_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("initiative_id", "award_id", name=op.f("pk_initiative_awards")),
    )
    op.create_index(op.f("ix_initiative_awards_award_id"), "initiative_awards", ["award_id"], unique=False)
    tracking.install()
    for noun in ("cities", "priorities", "organizations", "initiatives", "sources", "surveys", "citations", "awards"):
        tracking.track_record(noun)
    for part in ("survey_states", "survey_categories", "survey_competitors"):
        tracking.track(part, ("surveys", "survey_id"))
    tracking.track("survey_priorities", ("surveys", "survey_id"), ("priorities", "priority_id"))
    for part in ("initiative_awards", "initiative_priorities", "initiative_partners", "initiative_metrics"):
        tracking.track(part, ("initiatives", "initiative_id"))
    head = sa.table("ledger_head", sa.column("one"), sa.column("epoch"), sa.column("version"), sa.column("changed_at", INSTANT))
    op.bulk_insert(head, [{"one": 1, "epoch": 0, "version": 0, "changed_at": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)}])


def downgrade() -> None:
    """Drop everything."""
    op.drop_table("initiative_awards")
    op.drop_table("survey_competitors")
    op.drop_table("awards")
    op.drop_table("survey_states")
    op.drop_table("survey_priorities")
    op.drop_table("survey_categories")
    op.drop_table("citations")
    op.drop_table("surveys")
    op.drop_table("sources")
    op.drop_table("initiative_priorities")
    op.drop_table("initiative_partners")
    op.drop_table("initiative_metrics")
    op.drop_table("organizations")
    op.drop_table("initiatives")
    op.drop_table("revision")
    op.drop_table("records")
    op.drop_table("priorities")
    op.drop_table("ledger_head")
    op.drop_table("ledger_dirty")
    op.drop_table("cities")
    tracking.uninstall()
