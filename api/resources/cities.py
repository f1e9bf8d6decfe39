"""Cities."""

from sqlalchemy import Boolean, CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db import Record
from api.documents import Document, Pattern, flag, identifier, text
from api.resource import Resource, Sort


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
    )


class CitySchema(Document):
    """A city."""

    id = identifier("san-diego-ca")
    name = text("Name of the city.", "San Diego")
    state = text("USPS code of its state.", "CA", validate=Pattern(r"^[A-Z]{2}$"))
    country = text("ISO 3166-1 alpha-2 code of its country.", "US", validate=Pattern(r"^[A-Z]{2}$"))
    state_capital = flag("Whether it is its state's capital; null when no source says.", example=False, allow_none=True)
    summary = text(
        "What a source says of the city itself, in our words.", "The city lies on the Pacific coast.", allow_none=True
    )


cities = Resource(
    model=City,
    schema=CitySchema,
    singular="city",
    description="Cities that a survey recognized, or that a source names as competing.",
    default_sort=[Sort(City.name)],
)
