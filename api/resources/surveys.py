"""Surveys: the editions of surveys of cities, with their categories and priorities."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import fields
from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.db.types import Base, Whole, beyond_ascii_index, folded_index, whole_number
from api.resources import captions
from api.resources.awards import Award
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.resources.lists import Gap, incomplete, left_open
from api.schema.fields import Part, Pattern, Rule, identifier, named, prose, reference, slug, text, whole
from api.schema.resource import Caption, Look, Relation, Resource

# The pointers to lists of a survey.
LISTS = "/(states|categories|priorities|categories/(0|[1-9][0-9]{0,2})/also_competing)"


class Survey(Cited):
    """One edition of a survey."""

    __tablename__ = "surveys"
    name: Mapped[str]
    year: Mapped[int] = mapped_column(Whole)
    conducted_by_id: Mapped[str] = mapped_column(ForeignKey("organizations.id"))
    summary: Mapped[str | None]
    cities_recognized: Mapped[int | None] = mapped_column(Whole)
    states: Mapped[list["SurveyState"]] = relationship(order_by="SurveyState.state", lazy="raise")
    categories: Mapped[list["SurveyCategory"]] = relationship(order_by="SurveyCategory.position", lazy="raise")
    priorities: Mapped[list["SurveyPriority"]] = relationship(order_by="SurveyPriority.listed", lazy="raise")
    incomplete: Mapped[list["SurveyGap"]] = relationship(order_by="SurveyGap.pointer", lazy="raise")
    __table_args__ = (
        UniqueConstraint("name", "year"),
        whole_number("year", "year between 1000 and 9999"),
        whole_number("cities_recognized", "cities_recognized >= 0"),
        Index(None, "year", "id"),
        Index(None, "conducted_by_id", "year", "id"),
        Index(None, "cities_recognized", "year", "id"),
    )


folded_index(Survey.name)
beyond_ascii_index(Survey.year, Survey.name)


class SurveyState(Base):
    """The number of cities of one state that an edition recognized."""

    __tablename__ = "survey_states"
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[str] = mapped_column(primary_key=True)
    cities_recognized: Mapped[int] = mapped_column(Whole)
    __table_args__ = (
        CheckConstraint("length(state) = 2 and state = upper(state)", name="state"),
        whole_number("cities_recognized", "cities_recognized >= 0"),
    )


class SurveyCategory(Base):
    """A range of population within which cities compete in an edition."""

    __tablename__ = "survey_categories"
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), primary_key=True)
    category: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]
    name: Mapped[str]
    min_population: Mapped[int | None] = mapped_column(Whole)
    max_population: Mapped[int | None] = mapped_column(Whole)
    also_competing: Mapped[list["SurveyCompetitor"]] = relationship(order_by="SurveyCompetitor.city_id", lazy="raise")
    __table_args__ = (
        UniqueConstraint("survey_id", "position"),
        whole_number("min_population", "min_population >= 0"),
        whole_number("max_population", "max_population >= min_population"),
    )


class SurveyCompetitor(Base):
    """A city that a source names as competing in a category, without giving its placing."""

    __tablename__ = "survey_competitors"
    survey_id: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(primary_key=True)
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id"), primary_key=True, index=True)
    __table_args__ = (
        ForeignKeyConstraint(
            ["survey_id", "category"], ["survey_categories.survey_id", "survey_categories.category"], ondelete="CASCADE"
        ),
    )


class SurveyPriority(Base):
    """A priority that an edition's respondents named, and its number in the list of the source, which ranks nothing."""

    __tablename__ = "survey_priorities"
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), primary_key=True)
    priority_id: Mapped[str] = mapped_column(ForeignKey("priorities.id", ondelete="CASCADE"), primary_key=True, index=True)
    listed: Mapped[int] = mapped_column(Whole, info={"first": 1})
    __table_args__ = (
        UniqueConstraint("survey_id", "listed"),
        whole_number("listed", "listed >= 1"),
    )


class SurveyGap(Gap, Base):
    """A list of the edition that its source leaves open."""

    __tablename__ = "survey_incomplete"
    survey_id: Mapped[str] = mapped_column(ForeignKey("surveys.id", ondelete="CASCADE"), primary_key=True)
    __table_args__ = (Index(None, "pointer", "survey_id"),)


class SurveyStateSchema(Part):
    """The number of cities of one state that were recognized."""

    state = text("USPS code of the state.", "CA", validate=Pattern(r"^[A-Z]{2}$"))
    cities_recognized = whole("Number of cities of that state that were recognized.", 13)


class SurveyCompetitorSchema(Part):
    """A competing city."""

    city = reference("cities", "Id of the city.", "seattle-wa", attribute="city_id")


class SurveyCategorySchema(Part):
    """A population category of the survey."""

    rules = (
        Rule(
            "max_population",
            "is no less than `min_population`",
            lambda row: (
                None in {row["min_population"], row["max_population"]} or row["max_population"] >= row["min_population"]
            ),
        ),
    )
    category = slug("Identifier of the category within its survey.", "250000-to-499999")
    name = named("Name of the category for readers.", "250,000 to 499,999 population")
    min_population = whole("Smallest population, inclusive; null if there is no lower bound.", 250000, allow_none=True)
    max_population = whole("Largest population, inclusive; null if there is no upper bound.", 499999, allow_none=True)
    also_competing = fields.Pluck(
        SurveyCompetitorSchema,
        "city",
        many=True,
        metadata={
            "description": "Ids of cities that a source names as competing here, without giving their placing.",
            "example": ["seattle-wa"],
        },
    )


class SurveyPrioritySchema(Part):
    """A named priority."""

    priority = reference("priorities", "Id of the priority.", "cybersecurity", attribute="priority_id")


class SurveyGapSchema(Part):
    """A list that the source leaves open."""

    pointer = text("JSON Pointer to the list.", "/priorities", validate=Pattern(f"^{LISTS}$"))


def _has_lists(row: Mapping[str, Any]) -> bool:
    """Tell whether the lists of categories that a record names as open belong to categories that it has."""
    numbers = (re.fullmatch(LISTS, gap["pointer"]) for gap in row["incomplete"])
    return all(int(match[2]) < len(row["categories"]) for match in numbers if match and match[2])


class SurveySchema(SubjectDocument):
    """One edition of a survey."""

    rules = (Rule("incomplete", "names only lists of categories that the record has", _has_lists),)
    id = identifier("digital-cities-2024")
    name = named("Name of the survey, the same for every edition.", "Digital Cities Survey")
    year = whole("Year of the edition.", 2024, low=1000, high=9999)
    conducted_by = reference(
        "organizations",
        "Id of the organization that conducts it.",
        "center-for-digital-government",
        attribute="conducted_by_id",
    )
    summary = prose(
        "A summary of the edition, in a sentence or two.", "An annual ranking of digital city governments.", allow_none=True
    )
    cities_recognized = whole("Number of cities that the edition recognized.", 56, allow_none=True)
    states = fields.List(
        fields.Nested(SurveyStateSchema),
        metadata={
            "description": "Number of recognized cities for each state that a source counts.",
            "example": [{"state": "CA", "cities_recognized": 13}],
        },
    )
    categories = fields.List(
        fields.Nested(SurveyCategorySchema), metadata={"description": "Population categories in which cities compete."}
    )
    priorities = fields.Pluck(
        SurveyPrioritySchema,
        "priority",
        many=True,
        metadata={
            "description": "Ids of the near-term priorities that respondents named, in the order of the source's list.",
            "example": ["cybersecurity", "customer-experience"],
        },
    )
    incomplete = incomplete(SurveyGapSchema, "/priorities")


surveys = Resource(
    model=Survey,
    schema=SurveySchema,
    singular="survey",
    description="Editions of surveys: their organizers, the number of cities recognized, their categories and priorities.",
    default_sort="-year",
    label=Survey.name,
    caption=Caption(text=captions.edition),
    search=("name", "summary"),
    is_scope=True,
    belonging=("awards", "citations"),
    facets=("name", "year", "conducted_by", "state", "priority", "basis"),
    look=Look(
        columns=("year", "conducted_by", "cities_recognized"),
        filters=("name", "year", "conducted_by"),
        lists=("awards",),
        ranking=True,
    ),
    relations=(
        Relation(
            name="conducted_by",
            prefix="conducted_by",
            owner=Survey.id,
            target=Survey.conducted_by_id,
            to="organizations",
            offers=("name", "type"),
            description="The organization that conducts it.",
        ),
        Relation(
            name="awards",
            prefix="award",
            owner=Award.survey_id,
            target=Award.id,
            to="awards",
            offers=("city", "category", "rank", "city.state"),
            description="The placings of the edition.",
        ),
        Relation(
            name="priorities",
            prefix="priority",
            owner=SurveyPriority.survey_id,
            target=SurveyPriority.priority_id,
            to="priorities",
            offers=("name",),
            description="The priorities that respondents named.",
        ),
        Relation(
            name="competitors",
            prefix="competitor",
            owner=SurveyCompetitor.survey_id,
            target=SurveyCompetitor.city_id,
            to="cities",
            offers=("name", "state"),
            description="Cities that a source names as competing, without their placing.",
        ),
        Relation(
            name="states",
            prefix="state",
            owner=SurveyState.survey_id,
            target=SurveyState.state,
            part=SurveyStateSchema,
            description="States for which a source counts the recognized cities.",
        ),
        Relation(
            name="categories",
            prefix="category",
            owner=SurveyCategory.survey_id,
            target=SurveyCategory.category,
            part=SurveyCategorySchema,
            description="The population categories.",
        ),
        left_open(SurveyGap.survey_id, SurveyGap.pointer, SurveyGapSchema),
        *about("surveys"),
    ),
)
