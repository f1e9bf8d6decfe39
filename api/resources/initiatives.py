"""Initiatives of cities, with the priorities that they serve, their awards, partners and metrics."""

from enum import StrEnum

from marshmallow import fields, validate
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.db.types import Base, Record, choice, folded_index
from api.resources.citations import about
from api.schema.dates import LONGEST
from api.schema.fields import MAX_INTEGER, Document, Number, Part, Rule, edtf, identifier, named, prose, slug, titled
from api.schema.resource import Relation, Resource


class Status(StrEnum):
    """The progress of an initiative."""

    PLANNED = "planned"
    DRAFT = "draft"
    PILOT = "pilot"
    IN_PROGRESS = "in_progress"
    IN_OPERATION = "in_operation"
    COMPLETED = "completed"


class PartnerRole(StrEnum):
    """The part that a partner plays in an initiative."""

    COORDINATOR = "coordinator"
    BUILDER = "builder"
    FUNDER = "funder"
    PARTNER = "partner"
    MEMBER = "member"


class Qualifier(StrEnum):
    """How a source qualifies a figure."""

    EXACTLY = "exactly"
    MORE_THAN = "more_than"
    NEARLY = "nearly"
    AT_LEAST = "at_least"


class Initiative(Record):
    """An initiative of a city."""

    __tablename__ = "initiatives"
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id"))
    title: Mapped[str]
    summary: Mapped[str]
    status: Mapped[Status] = mapped_column(choice(Status, "status"))
    started: Mapped[str | None]
    started_period: Mapped[str | None]
    started_month: Mapped[int | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("initiatives.id"))
    awards: Mapped[list["InitiativeAward"]] = relationship(order_by="InitiativeAward.award_id", lazy="raise")
    priorities: Mapped[list["InitiativePriority"]] = relationship(order_by="InitiativePriority.position", lazy="raise")
    partners: Mapped[list["InitiativePartner"]] = relationship(order_by="InitiativePartner.position", lazy="raise")
    metrics: Mapped[list["InitiativeMetric"]] = relationship(order_by="InitiativeMetric.position", lazy="raise")
    __table_args__ = (
        UniqueConstraint("city_id", "title"),
        CheckConstraint(f"length(started) between 4 and {LONGEST}", name="started"),
        CheckConstraint("parent_id <> id", name="parent"),
        Index(None, "title", "id"),
        Index(None, "city_id", "title", "id"),
        Index(None, "city_id", "started_period", "id"),
        Index(None, "status", "title", "id"),
        Index(None, "parent_id", "title", "id"),
        Index(None, "started", "id"),
        Index(None, "started_period", "id"),
        Index(None, "started_month", "id"),
    )


folded_index(Initiative.title)
# SQLite reads one index in both directions with nulls last; PostgreSQL needs an index for each.
Index("ix_initiatives_started_period_nulls_last", Initiative.started_period.desc().nulls_last(), Initiative.id.desc()).ddl_if(
    "postgresql"
)


def _owner() -> Mapped[str]:
    return mapped_column(ForeignKey("initiatives.id", ondelete="CASCADE"), primary_key=True)


class InitiativeAward(Base):
    """An award that credits the initiative."""

    __tablename__ = "initiative_awards"
    initiative_id: Mapped[str] = _owner()
    award_id: Mapped[str] = mapped_column(ForeignKey("awards.id"), primary_key=True)
    __table_args__ = (Index(None, "award_id", "initiative_id"),)


class InitiativePriority(Base):
    """A priority that the initiative serves, in our judgement."""

    __tablename__ = "initiative_priorities"
    initiative_id: Mapped[str] = _owner()
    priority_id: Mapped[str] = mapped_column(ForeignKey("priorities.id"), primary_key=True)
    position: Mapped[int]
    __table_args__ = (UniqueConstraint("initiative_id", "position"), Index(None, "priority_id", "initiative_id"))


class InitiativePartner(Base):
    """An organization that takes part, in one role."""

    __tablename__ = "initiative_partners"
    initiative_id: Mapped[str] = _owner()
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    role: Mapped[PartnerRole] = mapped_column(choice(PartnerRole, "role"), primary_key=True)
    position: Mapped[int]
    __table_args__ = (
        UniqueConstraint("initiative_id", "position"),
        Index(None, "organization_id", "initiative_id"),
        Index(None, "role", "initiative_id"),
    )


class InitiativeMetric(Base):
    """A figure that a source gives for the initiative."""

    __tablename__ = "initiative_metrics"
    initiative_id: Mapped[str] = _owner()
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    value: Mapped[float]
    unit: Mapped[str]
    qualifier: Mapped[Qualifier] = mapped_column(choice(Qualifier, "qualifier"))
    as_of: Mapped[str | None]
    as_of_period: Mapped[str | None]
    as_of_month: Mapped[int | None]
    __table_args__ = (
        UniqueConstraint("initiative_id", "name"),
        CheckConstraint(f"value between -{MAX_INTEGER} and {MAX_INTEGER}", name="value"),
        Index(None, "name", "initiative_id"),
        Index(None, "value", "initiative_id"),
        Index(None, "unit", "initiative_id"),
        Index(None, "qualifier", "initiative_id"),
        Index(None, "as_of", "initiative_id"),
        Index(None, "as_of_period", "initiative_id"),
        Index(None, "as_of_month", "initiative_id"),
    )


folded_index(InitiativeMetric.name)
folded_index(InitiativeMetric.unit)


class InitiativeAwardSchema(Part):
    """An award that credits the initiative."""

    award = slug("Id of the award.", "digital-cities-2024-san-diego-ca", attribute="award_id")


class InitiativePrioritySchema(Part):
    """A priority that the initiative serves."""

    priority = slug("Id of the priority.", "cybersecurity", attribute="priority_id")


class PartnerSchema(Part):
    """An organization that takes part in an initiative."""

    organization = slug("Id of the organization.", "amazon-web-services", attribute="organization_id")
    role = fields.Enum(
        PartnerRole,
        by_value=fields.String,
        required=True,
        metadata={"description": "Its part in the initiative.", "example": "builder"},
    )


class MetricSchema(Part):
    """A figure as data: what is measured, its value and unit, and how the source qualifies it."""

    name = titled("What is measured.", "contacts handled")
    value = Number(
        required=True,
        validate=validate.Range(min=-MAX_INTEGER, max=MAX_INTEGER),
        metadata={
            "description": "The number: a whole number up to 2^53 - 1, or one with at most 6 decimals.",
            "example": 2400000,
        },
    )
    unit = named("The unit of the number; for money, the ISO 4217 code.", "contacts")
    qualifier = fields.Enum(
        Qualifier,
        by_value=fields.String,
        required=True,
        metadata={"description": "How the source qualifies the number.", "example": "more_than"},
    )
    as_of = edtf("Date or period of the number, in EDTF; null if the source gives none.", "2025")


class InitiativeSchema(Document):
    """An initiative of a city."""

    rules = (Rule("parent", "is another initiative", lambda row: row["parent_id"] != row["id"]),)
    id = identifier("san-diego-ca-records-digitization")
    city = slug("Id of the city.", "san-diego-ca", attribute="city_id")
    title = titled("Title of the initiative, in a few words.", "Records digitization")
    summary = prose("What it is and does, in our words.", "The city is turning paper records into searchable files.")
    status = fields.Enum(
        Status,
        by_value=fields.String,
        required=True,
        metadata={"description": "How far it has progressed.", "example": "in_operation"},
    )
    started = edtf("When it began, in EDTF; null if no source says so.", "2024-07")
    parent = slug(
        "Id of the initiative that it is part of, if any.", "san-diego-ca-ai-adoption", attribute="parent_id", allow_none=True
    )
    awards = fields.Pluck(
        InitiativeAwardSchema,
        "award",
        many=True,
        metadata={"description": "Ids of the awards that credit it.", "example": ["digital-cities-2024-san-diego-ca"]},
    )
    priorities = fields.Pluck(
        InitiativePrioritySchema,
        "priority",
        many=True,
        metadata={"description": "Ids of the priorities that it serves, in our judgement.", "example": ["process-automation"]},
    )
    partners = fields.List(
        fields.Nested(PartnerSchema), metadata={"description": "Organizations that take part, with their roles."}
    )
    metrics = fields.List(fields.Nested(MetricSchema), metadata={"description": "Figures that a source gives for it."})


initiatives = Resource(
    model=Initiative,
    schema=InitiativeSchema,
    singular="initiative",
    description="Initiatives of cities: status, start, priorities, awards, partners and figures.",
    default_sort="title",
    label=Initiative.title,
    search=("title", "summary"),
    tree="parent",
    judged=("priorities",),
    agree={"parent": "city", "awards": "city"},
    facets=("city", "city.state", "status", "priority", "award", "award.survey", "partner", "partner.role", "metric.unit"),
    relations=(
        Relation(
            name="city",
            prefix="city",
            owner=Initiative.id,
            target=Initiative.city_id,
            to="cities",
            offers=("name", "state", "country"),
            description="The city that carries it out.",
        ),
        Relation(
            name="parent",
            prefix="parent",
            owner=Initiative.id,
            target=Initiative.parent_id,
            to="initiatives",
            offers=("title", "status"),
            description="The initiative that it is part of.",
        ),
        Relation(
            name="children",
            prefix="child",
            owner=Initiative.parent_id,
            target=Initiative.id,
            to="initiatives",
            offers=("title", "status"),
            description="The initiatives that are part of it.",
        ),
        Relation(
            name="awards",
            prefix="award",
            owner=InitiativeAward.initiative_id,
            target=InitiativeAward.award_id,
            to="awards",
            offers=("survey", "category", "rank", "survey.year"),
            description="The awards that credit it.",
        ),
        Relation(
            name="priorities",
            prefix="priority",
            owner=InitiativePriority.initiative_id,
            target=InitiativePriority.priority_id,
            to="priorities",
            offers=("name", "survey"),
            description="The priorities that it serves.",
        ),
        Relation(
            name="partners",
            prefix="partner",
            owner=InitiativePartner.initiative_id,
            target=InitiativePartner.organization_id,
            to="organizations",
            part=PartnerSchema,
            offers=("name", "type"),
            description="The organizations that take part.",
        ),
        Relation(
            name="metrics",
            prefix="metric",
            owner=InitiativeMetric.initiative_id,
            part=MetricSchema,
            description="Its figures.",
        ),
        about("initiatives"),
    ),
)
