"""Initiatives of cities, with the priorities that they serve, their awards, partners and metrics."""

from marshmallow import fields, validate
from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.db.types import Base, beyond_ascii_index, choice, folded_index
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.resources.lists import Alias, Gap, aliases, incomplete, left_open, named_also
from api.resources.metrics import InitiativeMetric, MetricSchema
from api.schema.choices import Choice
from api.schema.dates import LONGEST
from api.schema.fields import Part, Rule, edtf, flag, identifier, one_of, prose, reference, text, titled
from api.schema.resource import Look, Relation, Resource


class Status(Choice):
    """The progress of an initiative."""

    PLANNED = "planned", "It is intended, or money is set aside or granted for it; nothing says that it has begun."
    DRAFT = "draft", "A text of it is written, but not in force."
    IN_DEVELOPMENT = "in_development", "It is being made, and not in use yet."
    PILOT = "pilot", "It is tried out."
    IN_OPERATION = "in_operation", "It is in use."
    COMPLETED = "completed", "It is finished."


class PartnerRole(Choice):
    """The part that a partner plays in an initiative."""

    LEADER = "leader", "It leads the initiative."
    COORDINATOR = "coordinator", "It brings the others together."
    BUILDER = "builder", "It makes what the initiative needs."
    FUNDER = "funder", "It gives money."
    PARTNER = "partner", "It takes part; the source does not say how."
    MEMBER = "member", "It is a member of the group that the initiative is about."


class Initiative(Cited):
    """An initiative of a city."""

    __tablename__ = "initiatives"
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id"))
    title: Mapped[str]
    summary: Mapped[str | None]
    status: Mapped[Status | None] = mapped_column(choice(Status, "status"))
    evolving: Mapped[bool | None] = mapped_column(Boolean(create_constraint=True, name="evolving"))
    started: Mapped[str | None]
    started_period: Mapped[str | None]
    started_month: Mapped[int | None]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("initiatives.id"))
    awards: Mapped[list["InitiativeAward"]] = relationship(order_by="InitiativeAward.award_id", lazy="raise")
    priorities: Mapped[list["InitiativePriority"]] = relationship(order_by="InitiativePriority.position", lazy="raise")
    partners: Mapped[list["InitiativePartner"]] = relationship(order_by="InitiativePartner.position", lazy="raise")
    metrics: Mapped[list[InitiativeMetric]] = relationship(order_by=InitiativeMetric.position, lazy="raise")
    aliases: Mapped[list["InitiativeAlias"]] = relationship(order_by="InitiativeAlias.alias", lazy="raise")
    incomplete: Mapped[list["InitiativeGap"]] = relationship(order_by="InitiativeGap.pointer", lazy="raise")
    __table_args__ = (
        UniqueConstraint("city_id", "title"),
        CheckConstraint(f"length(started) between 4 and {LONGEST}", name="started"),
        CheckConstraint("parent_id <> id", name="parent"),
        Index(None, "title", "id"),
        Index(None, "city_id", "title", "id"),
        Index(None, "city_id", "started_period", "id"),
        Index(None, "status", "title", "id"),
        Index(None, "evolving", "title", "id"),
        Index(None, "parent_id", "title", "id"),
        Index(None, "started", "id"),
        Index(None, "started_period", "id"),
        Index(None, "started_month", "id"),
    )


folded_index(Initiative.title)
beyond_ascii_index(Initiative.city_id, Initiative.title)
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


class InitiativeAlias(Alias, Base):
    """Another name of the initiative."""

    __tablename__ = "initiative_aliases"
    initiative_id: Mapped[str] = _owner()
    __table_args__ = (Index(None, "alias", "initiative_id"),)


folded_index(InitiativeAlias.alias)


class InitiativeGap(Gap, Base):
    """A list of the initiative that its source leaves open."""

    __tablename__ = "initiative_incomplete"
    initiative_id: Mapped[str] = _owner()
    __table_args__ = (Index(None, "pointer", "initiative_id"),)


class InitiativeAwardSchema(Part):
    """An award that credits the initiative."""

    award = reference("awards", "Id of the award.", "digital-cities-2024-san-diego-ca", attribute="award_id")


class InitiativePrioritySchema(Part):
    """A priority that the initiative serves."""

    priority = reference("priorities", "Id of the priority.", "cybersecurity", attribute="priority_id")


class PartnerSchema(Part):
    """An organization that takes part in an initiative."""

    organization = reference("organizations", "Id of the organization.", "amazon-web-services", attribute="organization_id")
    role = one_of(PartnerRole, "Its part in the initiative.", "builder")


class InitiativeGapSchema(Part):
    """A list that the source leaves open."""

    pointer = text(
        "JSON Pointer to the list.",
        "/partners",
        validate=validate.OneOf(["/awards", "/priorities", "/partners", "/metrics"]),
    )


class InitiativeSchema(SubjectDocument):
    """An initiative of a city."""

    rules = (Rule("parent", "is another initiative", lambda row: row["parent_id"] != row["id"]),)
    id = identifier("san-diego-ca-records-digitization")
    city = reference("cities", "Id of the city.", "san-diego-ca", attribute="city_id")
    title = titled("Title of the initiative, in a few words.", "Records digitization")
    summary = prose(
        "What it is and does, in our words.", "The city is turning paper records into searchable files.", allow_none=True
    )
    status = one_of(Status, "How far it has progressed; null if no source says so.", "in_operation", allow_none=True)
    evolving = flag("Whether it is still being extended; null if no source says so.", example=True, allow_none=True)
    started = edtf("When it began, in EDTF; null if no source says so.", "2024-07")
    parent = reference(
        "initiatives",
        "Id of the initiative that it is part of, if any.",
        "san-diego-ca-ai-adoption",
        attribute="parent_id",
        allow_none=True,
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
    aliases = aliases("Other names of the initiative", "Paper to files")
    incomplete = incomplete(InitiativeGapSchema, "/partners")


initiatives = Resource(
    model=Initiative,
    schema=InitiativeSchema,
    singular="initiative",
    description="Initiatives of cities: status, start, priorities, awards, partners and figures.",
    default_sort="title",
    label=Initiative.title,
    search=("title", "summary", "aliases"),
    tree="parent",
    belonging=("citations",),
    judged=("priorities",),
    agree={"parent": "city", "awards": "city"},
    facets=(
        *("city", "city.state", "status", "evolving", "priority", "award", "award.survey", "partner", "partner.role"),
        *("metric.kind", "metric.unit", "incomplete", "basis"),
    ),
    look=Look(columns=("city", "status", "priorities", "metrics"), filters=("city", "priority", "status"), lists=("children",)),
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
        named_also(InitiativeAlias.initiative_id, InitiativeAlias.alias),
        left_open(InitiativeGap.initiative_id, InitiativeGap.pointer, InitiativeGapSchema),
        *about("initiatives"),
    ),
)
