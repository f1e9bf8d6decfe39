"""Organizations that conduct surveys, publish sources, or fund, build and coordinate initiatives."""

from enum import StrEnum

from marshmallow import fields
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Record, choice, folded_index
from api.resources.citations import about
from api.resources.initiatives import InitiativePartner, PartnerSchema
from api.resources.sources import Source
from api.resources.surveys import Survey
from api.schema.fields import Document, Rule, identifier, named, prose, slug
from api.schema.resource import Relation, Resource

NOWHERE = sql("city_id is null")


class OrganizationType(StrEnum):
    """The kinds of organizations."""

    COMPANY = "company"
    GOVERNMENT_AGENCY = "government_agency"
    CITY_OFFICE = "city_office"
    COALITION = "coalition"
    RESEARCH_CENTER = "research_center"
    PUBLISHER = "publisher"


class Organization(Record):
    """An organization, which is not a city itself."""

    __tablename__ = "organizations"
    name: Mapped[str]
    type: Mapped[OrganizationType] = mapped_column(choice(OrganizationType, "type"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"))
    city_id: Mapped[str | None] = mapped_column(ForeignKey("cities.id"))
    summary: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("name", "city_id"),
        # The constraint takes nulls for distinct.
        Index("ix_organizations_name", "name", unique=True, sqlite_where=NOWHERE, postgresql_where=NOWHERE),
        CheckConstraint("parent_id <> id", name="parent"),
        Index(None, "name", "id"),
        Index(None, "type", "name", "id"),
        Index(None, "parent_id", "name", "id"),
        Index(None, "city_id", "name", "id"),
    )


folded_index(Organization.name)


class OrganizationSchema(Document):
    """An organization that conducts surveys, publishes sources, or takes part in initiatives."""

    rules = (Rule("parent", "is another organization", lambda row: row["parent_id"] != row["id"]),)
    id = identifier("amazon-web-services")
    name = named("Name of the organization.", "Amazon Web Services")
    type = fields.Enum(
        OrganizationType,
        by_value=fields.String,
        required=True,
        metadata={"description": "Kind of organization.", "example": "company"},
    )
    parent = slug("Id of the organization that it belongs to, if any.", "e-republic", attribute="parent_id", allow_none=True)
    city = slug(
        "Id of the city whose government it is an office of, if any.", "san-diego-ca", attribute="city_id", allow_none=True
    )
    summary = prose("What a source says about it, in our words.", "A provider of computing services.", allow_none=True)


organizations = Resource(
    model=Organization,
    schema=OrganizationSchema,
    singular="organization",
    description="Organizations that conduct surveys, publish sources, or fund, build and coordinate initiatives.",
    default_sort="name",
    label=Organization.name,
    search=("name", "summary"),
    tree="parent",
    facets=("type", "city", "initiative.role"),
    relations=(
        Relation(
            name="parent",
            prefix="parent",
            owner=Organization.id,
            target=Organization.parent_id,
            to="organizations",
            offers=("name", "type"),
            description="The organization that it belongs to.",
        ),
        Relation(
            name="children",
            prefix="child",
            owner=Organization.parent_id,
            target=Organization.id,
            to="organizations",
            offers=("name", "type"),
            description="The organizations that belong to it.",
        ),
        Relation(
            name="city",
            prefix="city",
            owner=Organization.id,
            target=Organization.city_id,
            to="cities",
            offers=("name", "state"),
            description="The city whose government it is an office of.",
        ),
        Relation(
            name="initiatives",
            prefix="initiative",
            owner=InitiativePartner.organization_id,
            target=InitiativePartner.initiative_id,
            to="initiatives",
            part=PartnerSchema,
            offers=("city", "status", "priority", "city.state"),
            description="The initiatives in which it takes part.",
        ),
        Relation(
            name="surveys",
            prefix="survey",
            owner=Survey.conducted_by_id,
            target=Survey.id,
            to="surveys",
            offers=("name", "year"),
            description="The surveys that it conducts.",
        ),
        Relation(
            name="sources",
            prefix="source",
            owner=Source.publisher_id,
            target=Source.id,
            to="sources",
            offers=("label", "type"),
            description="The sources that it published.",
        ),
        about("organizations"),
    ),
)
