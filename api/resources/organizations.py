"""Organizations that conduct surveys, publish sources, or fund, build and coordinate initiatives."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.db.types import Base, beyond_ascii_index, choice, folded_index
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.resources.initiatives import InitiativePartner, PartnerSchema
from api.resources.lists import Alias, Identifier, aliases, identified, identifiers, named_also
from api.resources.sources import Source
from api.resources.surveys import Survey
from api.schema.choices import Choice
from api.schema.fields import Rule, identifier, named, one_of, prose, reference
from api.schema.resource import Look, Relation, Resource

NOWHERE = sql("city_id is null")


class OrganizationType(Choice):
    """The kinds of organizations."""

    COMPANY = "company", "A business."
    GOVERNMENT_AGENCY = "government_agency", "A government, or an agency of a state, a country or a region."
    CITY_OFFICE = "city_office", "An office or a department of a city's government."
    COALITION = "coalition", "A group of organizations."
    RESEARCH_CENTER = "research_center", "An organization that does research."
    PUBLISHER = "publisher", "A newspaper, a magazine, a site, or their publisher."


class Organization(Cited):
    """An organization, such as a company, an agency, or the government of a city."""

    __tablename__ = "organizations"
    name: Mapped[str]
    type: Mapped[OrganizationType | None] = mapped_column(choice(OrganizationType, "type"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"))
    city_id: Mapped[str | None] = mapped_column(ForeignKey("cities.id"))
    summary: Mapped[str | None]
    aliases: Mapped[list["OrganizationAlias"]] = relationship(order_by="OrganizationAlias.alias", lazy="raise")
    identifiers: Mapped[list["OrganizationIdentifier"]] = relationship(
        order_by="(OrganizationIdentifier.scheme, OrganizationIdentifier.value)", lazy="raise"
    )
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
beyond_ascii_index(Organization.city_id, Organization.name)


class OrganizationAlias(Alias, Base):
    """Another name of the organization."""

    __tablename__ = "organization_aliases"
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    __table_args__ = (Index(None, "alias", "organization_id"),)


folded_index(OrganizationAlias.alias)


class OrganizationIdentifier(Identifier, Base):
    """An id that the organization has elsewhere."""

    __tablename__ = "organization_identifiers"
    organization_id: Mapped[str] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), index=True)


class OrganizationSchema(SubjectDocument):
    """An organization that conducts surveys, publishes sources, or takes part in initiatives."""

    rules = (Rule("parent", "is another organization", lambda row: row["parent_id"] != row["id"]),)
    id = identifier("amazon-web-services")
    name = named("Name of the organization.", "Amazon Web Services")
    type = one_of(OrganizationType, "Kind of organization; null if no source shows it.", "company", allow_none=True)
    parent = reference(
        "organizations",
        "Id of the organization that it belongs to, if any.",
        "e-republic",
        attribute="parent_id",
        allow_none=True,
    )
    city = reference(
        "cities",
        "Id of the city whose government it is, or belongs to, if any.",
        "san-diego-ca",
        attribute="city_id",
        allow_none=True,
    )
    summary = prose("What a source says about it, in our words.", "A provider of computing services.", allow_none=True)
    aliases = aliases("Other names of the organization", "AWS")
    identifiers = identifiers()


organizations = Resource(
    model=Organization,
    schema=OrganizationSchema,
    singular="organization",
    description="Organizations that conduct surveys, publish sources, or fund, build and coordinate initiatives.",
    default_sort="name",
    label=Organization.name,
    search=("name", "summary", "aliases"),
    tree="parent",
    belonging=("citations",),
    facets=("type", "city", "initiative.role", "basis"),
    look=Look(columns=("type", "city", "summary"), filters=("type", "city"), lists=("initiatives", "sources", "surveys")),
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
            description="The city whose government it is, or belongs to.",
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
        named_also(OrganizationAlias.organization_id, OrganizationAlias.alias),
        identified(OrganizationIdentifier.organization_id),
        *about("organizations"),
    ),
)
