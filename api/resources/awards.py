"""Awards: a city's placing in one category of one survey."""

from sqlalchemy import Boolean, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Record, whole_number
from api.resources.citations import about
from api.resources.initiatives import InitiativeAward
from api.schema.fields import Document, flag, identifier, prose, slug, whole
from api.schema.resource import Relation, Resource


class Award(Record):
    """A placing."""

    __tablename__ = "awards"
    survey_id: Mapped[str]
    category: Mapped[str]
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id"))
    rank: Mapped[int]
    tied: Mapped[bool | None] = mapped_column(Boolean(create_constraint=True, name="tied"))
    summary: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(["survey_id", "category"], ["survey_categories.survey_id", "survey_categories.category"]),
        UniqueConstraint("survey_id", "category", "city_id"),
        whole_number("rank", "rank >= 1"),
        Index(None, "survey_id", "category", "rank", "id"),
        Index(None, "category", "survey_id", "rank", "id"),
        Index(None, "city_id", "survey_id", "category", "rank", "id"),
        Index(None, "rank", "survey_id", "category", "id"),
        Index(None, "tied", "survey_id", "category", "rank", "id"),
    )


class AwardSchema(Document):
    """A city's placing in one category of one survey."""

    id = identifier("digital-cities-2024-san-diego-ca")
    survey = slug("Id of the survey.", "digital-cities-2024", attribute="survey_id")
    category = slug("The survey's population category that it was won in.", "500000-or-more")
    city = slug("Id of the city.", "san-diego-ca", attribute="city_id")
    rank = whole("Placing: 1 is the first.", 1, low=1)
    tied = flag("Whether other cities share the placing; null when no source says.", example=False, allow_none=True)
    summary = prose("What the source credits the placing to, in our words.", "A broad year of digital work.", allow_none=True)


awards = Resource(
    model=Award,
    schema=AwardSchema,
    singular="award",
    description="Placings: which city came where, in which category of which survey.",
    default_sort="survey,category,rank",
    label=Award.id,
    search=("summary",),
    facets=("survey", "category", "city", "rank", "city.state", "initiative.priority"),
    # San Diego has its placing in that category.
    example={"city": "boston-ma", "rank": 10},
    relations=(
        Relation(
            name="survey",
            prefix="survey",
            owner=Award.id,
            target=Award.survey_id,
            to="surveys",
            offers=("name", "year", "conducted_by", "conducted_by.name"),
            description="The edition that it was won in.",
        ),
        Relation(
            name="city",
            prefix="city",
            owner=Award.id,
            target=Award.city_id,
            to="cities",
            offers=("name", "state", "country"),
            description="The city that won it.",
        ),
        Relation(
            name="initiatives",
            prefix="initiative",
            owner=InitiativeAward.award_id,
            target=InitiativeAward.initiative_id,
            to="initiatives",
            offers=("status", "priority"),
            description="The initiatives that it credits.",
        ),
        about("awards"),
    ),
)
