"""Cities that a survey recognized, or that a source names as competing."""

from sqlalchemy import Boolean, CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Record, folded_index
from api.resources.awards import Award
from api.resources.citations import about
from api.resources.initiatives import Initiative
from api.resources.organizations import Organization
from api.schema.fields import Document, Pattern, Rule, flag, identifier, named, prose, text
from api.schema.resource import Relation, Resource


class City(Record):
    """A city whose government takes part in surveys."""

    __tablename__ = "cities"
    name: Mapped[str]
    state: Mapped[str]
    country: Mapped[str]
    state_capital: Mapped[bool | None] = mapped_column(Boolean(create_constraint=True, name="state_capital"))
    summary: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("country", "state", "name"),
        CheckConstraint("length(state) = 2 and state = upper(state)", name="state"),
        CheckConstraint("length(country) = 2 and country = upper(country)", name="country"),
        Index(None, "name", "id"),
        Index(None, "state", "name", "id"),
        Index(None, "state_capital", "name", "id"),
    )


folded_index(City.name)


class CitySchema(Document):
    """A city."""

    rules = (Rule("id", "ends with the `state`, in lower case", lambda row: row["id"].endswith(f"-{row['state'].lower()}")),)
    id = identifier("san-diego-ca")
    name = named("Name of the city.", "San Diego")
    state = text("USPS code of its state.", "CA", validate=Pattern(r"^[A-Z]{2}$"))
    country = text("ISO 3166-1 alpha-2 code of its country.", "US", validate=Pattern(r"^[A-Z]{2}$"))
    state_capital = flag("Whether it is the capital of its state; null if no source says so.", example=False, allow_none=True)
    summary = prose(
        "What a source says about the city itself, in our words.", "The city lies on the Pacific coast.", allow_none=True
    )


cities = Resource(
    model=City,
    schema=CitySchema,
    singular="city",
    description="Cities that a survey recognized, or that a source names as competing.",
    default_sort="name",
    label=City.name,
    search=("name", "summary"),
    facets=("state", "country", "award.survey", "award.category", "award.rank", "initiative.priority"),
    relations=(
        Relation(
            name="awards",
            prefix="award",
            owner=Award.city_id,
            target=Award.id,
            to="awards",
            offers=("survey", "category", "rank", "tied", "survey.name", "survey.year"),
            description="The city's placings.",
        ),
        Relation(
            name="initiatives",
            prefix="initiative",
            owner=Initiative.city_id,
            target=Initiative.id,
            to="initiatives",
            offers=("title", "status", "started", "priority"),
            description="The city's initiatives.",
        ),
        Relation(
            name="organizations",
            prefix="organization",
            owner=Organization.city_id,
            target=Organization.id,
            to="organizations",
            offers=("name", "type"),
            description="Offices of the city's government.",
        ),
        about("cities"),
    ),
)
