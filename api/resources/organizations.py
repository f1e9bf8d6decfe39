"""Organizations: who conducts surveys, publishes, funds, builds and coordinates."""

from enum import StrEnum

from marshmallow import fields
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Record, choice
from api.documents import Document, identifier, slug, text
from api.resource import Resource, Sort


class OrganizationType(StrEnum):
    """What kind of body it is."""

    COMPANY = "company"
    GOVERNMENT_AGENCY = "government_agency"
    CITY_OFFICE = "city_office"
    COALITION = "coalition"
    RESEARCH_CENTER = "research_center"
    PUBLISHER = "publisher"


class Organization(Record):
    """A body other than a city."""

    __tablename__ = "organizations"
    name: Mapped[str]
    type: Mapped[OrganizationType] = mapped_column(choice(OrganizationType, "type"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    city_id: Mapped[str | None] = mapped_column(ForeignKey("cities.id"), index=True)
    summary: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("name", "city_id"),
        CheckConstraint("parent_id <> id", name="parent"),
        Index(None, "name", "id"),
    )


class OrganizationSchema(Document):
    """A body that conducts, publishes, funds, builds or coordinates."""

    id = identifier("amazon-web-services")
    name = text("Name of the organization.", "Amazon Web Services")
    type = fields.Enum(
        OrganizationType,
        by_value=fields.String,
        required=True,
        metadata={"description": "What kind of body it is.", "example": "company"},
    )
    parent = slug("Id of the organization that it belongs to, if any.", "e-republic", attribute="parent_id", allow_none=True)
    city = slug(
        "Id of the city whose government it is an office of, if any.", "san-diego-ca", attribute="city_id", allow_none=True
    )
    summary = text("What a source says of it, in our words.", "A provider of computing services.", allow_none=True)


organizations = Resource(
    model=Organization,
    schema=OrganizationSchema,
    singular="organization",
    description="Who conducts surveys, publishes sources, and funds, builds or coordinates initiatives.",
    default_sort=[Sort(Organization.name)],
)
