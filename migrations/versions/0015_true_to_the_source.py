"""What a source says, and no more: null for what it leaves open, kinds of figures, other names, and open lists."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op

from migrations import seeding, tracking
from migrations.altering import is_sqlite, one_of, rename_constraint, set_check, set_nullable, set_unique, whole

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
CHOICE = sa.String(40)
NUMBER = sa.Numeric(21, 6).with_variant(sa.Numeric(22, 6), "postgresql")
# All nouns, because all documents change.
NOUNS = ("surveys", "cities", "awards", "initiatives", "priorities", "organizations", "sources", "citations")
NULLABLE = {
    "initiatives": ("summary", "status"),
    "initiative_metrics": ("value", "qualifier"),
    "sources": ("text_sha256",),
    "citations": ("paragraph", "sentence", "sentence_sha256"),
    "cities": ("state",),
    "awards": ("rank",),
    "organizations": ("type",),
}
ADDED: Mapping[str, Mapping[str, sa.types.TypeEngine[object]]] = {
    "initiatives": {"evolving": sa.Boolean()},
    "initiative_metrics": {
        "kind": CHOICE,
        "direction": CHOICE,
        "period": TEXT,
        "period_period": TEXT,
        "period_month": sa.Integer(),
    },
    "sources": {
        "headline": TEXT,
        "url": TEXT,
        **{f"{date}{suffix}": TEXT for date in ("published", "retrieved") for suffix in ("", "_period")},
        **{f"{date}_month": sa.Integer() for date in ("published", "retrieved")},
        "licence": TEXT,
        "attribution": TEXT,
    },
    "cities": {"location_latitude": NUMBER, "location_longitude": NUMBER},
    "awards": {"placement": TEXT},
    "citations": {"locator_record": TEXT, "locator_column": TEXT, "value_sha256": TEXT},
}
# Table, column and new name.
RENAMED = (("survey_priorities", "place", "listed"), ("sources", "title", "label"))
# The first columns of the indexes that have the title of a source, of which they also have the name.
TITLED = ((), ("type",), ("publisher_id",), ("part",), ("parts",), ("language",), ("text_sha256",))
SENTENCE = ("subject_kind", "subject_id", "field", "source_id", "paragraph", "sentence")
LOCATOR = ("locator_record", "locator_column")
# Indexes of columns that few citations have.
RARE = ("locator_record", "value_sha256")
# The unique constraint takes nulls for distinct; one of these has none.
UNIQUE = {"ix_citations_of_sentences": SENTENCE, "ix_citations_of_values": (*SENTENCE[:4], *LOCATOR)}
RENAMED_CONSTRAINTS = (("survey_priorities", "uq_survey_priorities_survey_id_place", "uq_survey_priorities_survey_id_listed"),)
# Columns that are filled before they are required.
REQUIRED = (("initiative_metrics", "kind"),)
# Table and name of each check that changes: the former condition and the new one.
CHECKS: Mapping[tuple[str, str], tuple[str | None, str | None]] = {
    ("surveys", "year_basis"): (one_of("year_basis", "stated", "inferred"), None),
    ("survey_priorities", "place"): ("place >= 1", None),
    ("survey_priorities", "listed"): (None, "listed >= 1"),
    ("sources", "type"): (
        one_of("type", "article", "report", "press_release", "list"),
        one_of("type", "article", "report", "press_release", "list", "dataset"),
    ),
    ("sources", "dataset"): (None, "(type = 'dataset') = (text_sha256 is null)"),
    ("citations", "basis"): (
        one_of("basis", "stated", "inferred", "editorial"),
        one_of("basis", "stated", "attributed", "inferred", "editorial", "external"),
    ),
    ("cities", "state"): (
        "length(state) = 2 and state = upper(state)",
        (
            "state = upper(state) and length(state) between case country when 'US' then 2 else 1 end "
            "and case country when 'US' then 2 else 3 end"
        ),
    ),
    ("cities", "location"): (
        None,
        (
            "(location_latitude is null) = (location_longitude is null) "
            "and location_latitude between -90 and 90 and location_longitude between -180 and 180"
        ),
    ),
    ("awards", "placing"): (None, "rank is not null or placement is not null"),
    ("citations", "value_sha256"): (None, "length(value_sha256) = 64"),
    ("citations", "evidence"): (
        None,
        (
            "(paragraph is null) = (sentence is null) and (paragraph is null) = (sentence_sha256 is null) "
            "and (locator_record is null) = (locator_column is null) and (locator_record is null) = (value_sha256 is null) "
            "and (paragraph is null) <> (locator_record is null)"
        ),
    ),
    ("initiatives", "status"): (
        one_of("status", "planned", "draft", "pilot", "in_progress", "in_operation", "completed"),
        one_of("status", "planned", "draft", "in_development", "pilot", "in_operation", "completed"),
    ),
    ("initiative_partners", "role"): (
        one_of("role", "coordinator", "builder", "funder", "partner", "member"),
        one_of("role", "leader", "coordinator", "builder", "funder", "partner", "member"),
    ),
    ("initiative_metrics", "kind"): (None, one_of("kind", "count", "money", "share", "change", "record")),
    ("initiative_metrics", "qualifier"): (
        one_of("qualifier", "exactly", "more_than", "nearly", "at_least"),
        one_of("qualifier", "exactly", "more_than", "less_than", "nearly", "at_least", "about", "up_to"),
    ),
    ("initiative_metrics", "direction"): (None, one_of("direction", "increase", "decrease", "highest", "lowest")),
    ("initiative_metrics", "record"): (None, "(kind = 'record') = (value is null)"),
    ("initiative_metrics", "period"): (None, "kind <> 'record' or period is not null"),
    ("initiative_metrics", "unit"): (None, "kind <> 'money' or (length(unit) = 3 and unit = upper(unit))"),
    ("initiative_metrics", "kind_direction"): (
        None,
        (
            "case kind when 'change' then direction is not null and direction in ('increase', 'decrease') "
            "when 'record' then direction is not null and direction in ('highest', 'lowest') else direction is null end"
        ),
    ),
}
# Columns of these checks are whole numbers.
WHOLE = {("survey_priorities", "place"), ("survey_priorities", "listed")}
# PostgreSQL has a type for these.
FLAGS = {("initiatives", "evolving"): "evolving IN (0, 1)"}
INDEXES: Mapping[str, Sequence[Sequence[str]]] = {
    "initiatives": [("evolving", "title", "id")],
    "cities": [(f"location_{column}", "name", "id") for column in ("latitude", "longitude")],
    "initiative_metrics": [
        (column, "initiative_id") for column in ("kind", "direction", "period", "period_period", "period_month")
    ],
}
# The columns before the rank in the indexes of awards, where a number behind all ranks stands for null.
RANKED = [[*columns.split()] for columns in ("survey_id category", "category survey_id", "city_id survey_id category")]
RANKED += [["tied", "survey_id", "category"]]
PLACED = ["placement", "survey_id", "category"]
RANK = "coalesce(rank, {}9007199254740992)"
# This one is read backwards, so its number is before all ranks.
DESCENDING = "ix_awards_survey_id_category_rank_id_descending"
# Tables of lists of texts: the noun, the column that refers to it, and the column of the texts.
LISTS = {
    "initiative_aliases": ("initiatives", "initiative_id", "alias"),
    "initiative_incomplete": ("initiatives", "initiative_id", "pointer"),
    "survey_incomplete": ("surveys", "survey_id", "pointer"),
    "city_aliases": ("cities", "city_id", "alias"),
    "organization_aliases": ("organizations", "organization_id", "alias"),
}
IDENTIFIERS = {"city_identifiers": ("cities", "city_id"), "organization_identifiers": ("organizations", "organization_id")}
NOWHERE = sa.text("state is null")
# Facts in their new form, and back.
CONVERTED = (
    "update initiatives set status = null where status = 'in_progress'",
    "update initiative_metrics set qualifier = null where qualifier = 'exactly'",
    """
    update initiative_metrics set kind = case
        when lower(name) like 'best year %' and unit = 'year' then 'record'
        when unit <> 'percent' then case when length(unit) = 3 and unit = upper(unit) then 'money' else 'count' end
        when lower(name) like '%decrease%' or lower(name) like '%reduction%' or lower(name) like '%fewer%' then 'change'
        else 'share' end
    """,
    "update initiative_metrics set direction = 'decrease' where kind = 'change'",
    """
    update initiative_metrics
    set period = cast(cast(value as integer) as varchar) || '/..', value = null, qualifier = null, direction = 'highest'
    where kind = 'record'
    """,
)
RESTORED = (
    "update initiatives set status = 'in_progress' where status is null or status = 'in_development'",
    "delete from initiative_metrics where kind = 'record' and (unit <> 'year' or period not like '____/..' or period like '%X%')",
    "update initiative_metrics set value = cast(substr(period, 1, 4) as integer) where kind = 'record'",
    "update initiative_metrics set qualifier = 'exactly' where qualifier is null or qualifier in ('about', 'less_than', 'up_to')",
    "update initiative_partners set role = 'coordinator' where role = 'leader'",
    "update organizations set type = 'company' where type is null",
    "delete from citations where paragraph is null",
    "delete from sources where type = 'dataset'",
    "update citations set basis = 'stated' where basis in ('attributed', 'external')",
)


def upgrade() -> None:
    """Change the tables, convert what is in them, and publish every record in its new form."""
    for table, columns in ADDED.items():
        for column, type in columns.items():
            op.add_column(table, sa.Column(column, type, nullable=True))
    _alter(new=True)
    op.drop_index("ix_surveys_year_basis_year_id", "surveys")
    op.drop_column("surveys", "year_basis")
    for table, columns_of_indexes in INDEXES.items():
        for names in columns_of_indexes:
            op.create_index(f"ix_{table}_{'_'.join(names)}", table, list(names))
    _index_ranks(sa.text(RANK.format("")))
    op.create_index(DESCENDING, "awards", [*RANKED[0], sa.text(RANK.format("-")), "id"])
    op.create_index(f"ix_awards_{'_'.join(PLACED)}_rank_id", "awards", [*PLACED, sa.text(RANK.format("")), "id"])
    for column in RARE:
        where = sa.text(f"{column} is not null")
        op.create_index(f"ix_citations_{column}_id", "citations", [column, "id"], sqlite_where=where, postgresql_where=where)
    for table, (noun, owner, column) in LISTS.items():
        _create_list(table, noun, owner, column)
    for table, (noun, owner) in IDENTIFIERS.items():
        _create_identifiers(table, noun, owner)
    op.create_index(
        "ix_cities_country_name", "cities", ["country", "name"], unique=True, sqlite_where=NOWHERE, postgresql_where=NOWHERE
    )
    for name, columns_of_index in UNIQUE.items():
        op.create_index(name, "citations", list(columns_of_index), unique=True)
    for noun in NOUNS:
        seeding.republish(noun)


def downgrade() -> None:
    """Restore the former tables; what they cannot hold becomes the nearest value that they can."""
    for table in (*LISTS, *IDENTIFIERS):
        op.drop_table(table)
    op.drop_index("ix_cities_country_name", "cities")
    for column in RARE:
        op.drop_index(f"ix_citations_{column}_id", "citations")
    op.drop_index(f"ix_awards_{'_'.join(PLACED)}_rank_id", "awards")
    op.drop_index(DESCENDING, "awards")
    _index_ranks("rank")
    for name in UNIQUE:
        op.drop_index(name, "citations")
    for table, columns_of_indexes in INDEXES.items():
        for names in columns_of_indexes:
            op.drop_index(f"ix_{table}_{'_'.join(names)}", table)
    op.add_column("surveys", sa.Column("year_basis", CHOICE, nullable=True))
    op.create_index("ix_surveys_year_basis_year_id", "surveys", ["year_basis", "year", "id"])
    op.execute("update surveys set year_basis = 'inferred'")
    set_nullable("surveys", "year_basis", nullable=False)
    _alter(new=False)
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column)


def _alter(*, new: bool) -> None:
    """Convert the facts between the former checks and the new ones."""
    flags = {check: (None, condition) for check, condition in FLAGS.items() if is_sqlite()}
    checks = {**CHECKS, **flags}
    for table, name in checks:
        set_check(table, name, None)
    for table, *names in RENAMED:
        former, column = names if new else reversed(names)
        op.execute(f"alter table {table} rename column {former} to {column}")
    for table, *names in RENAMED_CONSTRAINTS:
        former, constraint = names if new else reversed(names)
        rename_constraint(table, former, constraint)
    _index_sources(new=new)
    set_unique("citations", "uq_citations_locator", (*SENTENCE, *LOCATOR) if new else SENTENCE)
    if new:
        _allow_nulls(nullable=True)
    for statement in CONVERTED if new else RESTORED:
        op.execute(statement)
    if not new:
        _allow_nulls(nullable=False)
    for table, column in REQUIRED:
        set_nullable(table, column, nullable=not new)
    for (table, name), conditions in checks.items():
        if condition := conditions[new]:
            set_check(table, name, whole(name, condition) if (table, name) in WHOLE else condition)


def _index_sources(*, new: bool) -> None:
    """Create the indexes that are named after the title of a source, or after its label."""
    former, column = ("title", "label") if new else ("label", "title")
    for first in TITLED:
        op.drop_index(f"ix_sources_{'_'.join([*first, former])}_id", "sources")
        op.create_index(f"ix_sources_{'_'.join([*first, column])}_id", "sources", [*first, column, "id"])
    op.drop_index(f"ix_sources_{former}_folded", "sources")
    op.create_index(f"ix_sources_{column}_folded", "sources", [sa.text(f"lower({column})")])


def _index_ranks(rank: str | sa.TextClause) -> None:
    """Create the indexes of awards that end with the rank, or with an expression of it."""
    for columns in RANKED:
        name = f"ix_awards_{'_'.join(columns)}_rank_id"
        op.drop_index(name, "awards")
        op.create_index(name, "awards", [*columns, rank, "id"])


def _allow_nulls(*, nullable: bool) -> None:
    for table, columns in NULLABLE.items():
        for column in columns:
            set_nullable(table, column, nullable=nullable)


def _create_list(table: str, noun: str, owner: str, column: str) -> None:
    """Create the table of a list of texts."""
    op.create_table(
        table,
        sa.Column(owner, TEXT, nullable=False),
        sa.Column(column, TEXT, nullable=False),
        sa.ForeignKeyConstraint([owner], [f"{noun}.id"], name=op.f(f"fk_{table}_{owner}"), ondelete="CASCADE", **_deferrable()),
        sa.PrimaryKeyConstraint(owner, column, name=op.f(f"pk_{table}")),
    )
    op.create_index(f"ix_{table}_{column}_{owner}", table, [column, owner])
    if column == "alias":
        op.create_index(f"ix_{table}_{column}_folded", table, [sa.text(f"lower({column})")])
    tracking.track(table, (noun, owner))


def _create_identifiers(table: str, noun: str, owner: str) -> None:
    """Create the table of the ids that a noun's records have elsewhere."""
    op.create_table(
        table,
        sa.Column(owner, TEXT, nullable=False),
        sa.Column("scheme", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.ForeignKeyConstraint([owner], [f"{noun}.id"], name=op.f(f"fk_{table}_{owner}"), ondelete="CASCADE", **_deferrable()),
        sa.PrimaryKeyConstraint("scheme", "value", name=op.f(f"pk_{table}")),
    )
    op.create_index(f"ix_{table}_{owner}", table, [owner])
    tracking.track(table, (noun, owner))


def _deferrable() -> Mapping[str, object]:
    """Return the options of a foreign key: PostgreSQL's are declared deferrable, and SQLite can defer any."""
    return {} if is_sqlite() else {"deferrable": True, "initially": "IMMEDIATE"}
