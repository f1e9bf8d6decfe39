"""Cities that a survey recognized, or that a source names as competing."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import validate
from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.db.types import Base, beyond_ascii_index, folded_index
from api.resources.awards import Award
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.resources.initiatives import Initiative
from api.resources.lists import Alias, Identifier, aliases, identified, identifiers, named_also
from api.resources.organizations import Organization
from api.schema.fields import Number, Part, Pattern, Rule, flag, identifier, named, object_of, prose, text
from api.schema.resource import Look, Relation, Resource

NOWHERE = sql("state is null")


class City(Cited):
    """A city whose government takes part in surveys."""

    __tablename__ = "cities"
    name: Mapped[str]
    state: Mapped[str | None]
    country: Mapped[str]
    state_capital: Mapped[bool | None] = mapped_column(Boolean(create_constraint=True, name="state_capital"))
    summary: Mapped[str | None]
    location_latitude: Mapped[float | None]
    location_longitude: Mapped[float | None]
    aliases: Mapped[list["CityAlias"]] = relationship(order_by="CityAlias.alias", lazy="raise")
    identifiers: Mapped[list["CityIdentifier"]] = relationship(
        order_by="(CityIdentifier.scheme, CityIdentifier.value)", lazy="raise"
    )
    __table_args__ = (
        UniqueConstraint("country", "state", "name"),
        # The constraint takes nulls for distinct.
        Index("ix_cities_country_name", "country", "name", unique=True, sqlite_where=NOWHERE, postgresql_where=NOWHERE),
        CheckConstraint(
            "state = upper(state) and length(state) between case country when 'US' then 2 else 1 end "
            "and case country when 'US' then 2 else 3 end",
            name="state",
        ),
        CheckConstraint(
            "(location_latitude is null) = (location_longitude is null) "
            "and location_latitude between -90 and 90 and location_longitude between -180 and 180",
            name="location",
        ),
        CheckConstraint("length(country) = 2 and country = upper(country)", name="country"),
        Index(None, "name", "id"),
        Index(None, "state", "name", "id"),
        Index(None, "state_capital", "name", "id"),
        Index(None, "location_latitude", "name", "id"),
        Index(None, "location_longitude", "name", "id"),
    )


folded_index(City.name)
beyond_ascii_index(City.country, City.state, City.name)


class CityAlias(Alias, Base):
    """Another name of the city."""

    __tablename__ = "city_aliases"
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id", ondelete="CASCADE"), primary_key=True)
    __table_args__ = (Index(None, "alias", "city_id"),)


folded_index(CityAlias.alias)


class CityIdentifier(Identifier, Base):
    """An id that the city has elsewhere."""

    __tablename__ = "city_identifiers"
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id", ondelete="CASCADE"), index=True)


def _degrees(description: str, example: float, most: int) -> Number:
    """Return the field of a coordinate."""
    return Number(
        required=True,
        validate=validate.Range(min=-most, max=most),
        metadata={"description": f"{description} in degrees of WGS 84, with at most 6 decimals.", "example": example},
    )


class LocationSchema(Part):
    """A point of the earth."""

    latitude = _degrees("Latitude", 32.71571, 90)
    longitude = _degrees("Longitude", -117.16472, 180)


def _is_usps(row: Mapping[str, Any]) -> bool:
    return row["country"] != "US" or row["state"] is None or re.fullmatch("[A-Z]{2}", row["state"]) is not None


class CitySchema(SubjectDocument):
    """A city."""

    rules = (
        Rule("state", "is a USPS code of two letters if `country` is `US`", _is_usps),
        Rule(
            "id",
            "ends with the `state`, or with the `country` if that is null, in lower case",
            lambda row: row["id"].endswith(f"-{(row['state'] or row['country']).lower()}"),
        ),
    )
    id = identifier("san-diego-ca")
    name = named("Name of the city.", "San Diego")
    state = text(
        "USPS code of its state; elsewhere, the ISO 3166-2 code of its region without the country. Null if it has none.",
        "CA",
        validate=Pattern(r"^[A-Z0-9]{1,3}$"),
        allow_none=True,
    )
    country = text("ISO 3166-1 alpha-2 code of its country.", "US", validate=Pattern(r"^[A-Z]{2}$"))
    state_capital = flag("Whether it is the capital of its state; null if no source says so.", example=False, allow_none=True)
    summary = prose(
        "What a source says about the city itself, in our words.", "The city lies on the Pacific coast.", allow_none=True
    )
    location = object_of(
        LocationSchema, "Where it is; null if no source says so.", {"latitude": 32.71571, "longitude": -117.16472}
    )
    aliases = aliases("Other names of the city", "SD")
    identifiers = identifiers()


cities = Resource(
    model=City,
    schema=CitySchema,
    singular="city",
    description="Cities that a survey recognized, or that a source names as competing.",
    default_sort="name",
    label=City.name,
    search=("name", "summary", "aliases"),
    is_scope=True,
    belonging=("awards", "initiatives", "organizations", "citations"),
    facets=("state", "country", "award.survey", "award.category", "award.rank", "initiative.priority", "basis"),
    look=Look(
        columns=("state", "country", "state_capital", "summary"),
        filters=("state", "country"),
        lists=("awards", "initiatives"),
        map=("location", "country", "state"),
    ),
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
        named_also(CityAlias.city_id, CityAlias.alias),
        identified(CityIdentifier.city_id),
        *about("cities"),
    ),
)
