"""Awards: a city's placing in one category of one survey."""

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Whole, whole_number
from api.resources import captions
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.resources.initiatives import InitiativeAward
from api.schema import nulls
from api.schema.fields import Rule, flag, identifier, named, prose, reference, slug, whole
from api.schema.resource import Caption, Look, Relation, Resource, Shared


class Award(Cited):
    """A city's placing in a category of a survey."""

    __tablename__ = "awards"
    survey_id: Mapped[str]
    category: Mapped[str]
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id"))
    rank: Mapped[int | None] = mapped_column(Whole)
    placement: Mapped[str | None]
    tied: Mapped[bool | None] = mapped_column(Boolean(create_constraint=True, name="tied"))
    summary: Mapped[str | None]
    __table_args__ = (
        ForeignKeyConstraint(["survey_id", "category"], ["survey_categories.survey_id", "survey_categories.category"]),
        UniqueConstraint("survey_id", "category", "city_id"),
        whole_number("rank", "rank >= 1"),
        CheckConstraint("rank is not null or placement is not null", name="placing"),
        Index(None, "rank", "survey_id", "category", "id"),
    )


RANK = nulls.filled(Award.rank, nulls.last("whole", descending=False))
for columns in (
    (Award.survey_id, Award.category),
    (Award.category, Award.survey_id),
    (Award.city_id, Award.survey_id, Award.category),
    (Award.tied, Award.survey_id, Award.category),
    (Award.placement, Award.survey_id, Award.category),
):
    Index(f"ix_awards_{'_'.join(column.key for column in columns)}_rank_id", *columns, RANK, Award.id)
Index(
    "ix_awards_survey_id_category_rank_id_descending",
    Award.survey_id,
    Award.category,
    nulls.filled(Award.rank, nulls.last("whole", descending=True)),
    Award.id,
)


class AwardSchema(SubjectDocument):
    """A city's placing in one category of one survey."""

    rules = (Rule("rank", "or `placement` is given", lambda row: row["rank"] is not None or row["placement"] is not None),)
    id = identifier("digital-cities-2024-san-diego-ca")
    survey = reference("surveys", "Id of the survey.", "digital-cities-2024", attribute="survey_id")
    category = slug("The population category of the survey in which the award was won.", "500000-or-more")
    city = reference("cities", "Id of the city.", "san-diego-ca", attribute="city_id")
    rank = whole("Placing, counted from 1 for the first; null if the source gives no number.", 1, low=1, allow_none=True)
    placement = named("Placing in the source's words; null if it gives only a number.", "finalist", allow_none=True)
    tied = flag("Whether other cities share the placing; null if no source says so.", example=False, allow_none=True)
    summary = prose(
        "The reasons that the source gives for the placing, in our words.", "A broad year of digital work.", allow_none=True
    )


awards = Resource(
    model=Award,
    schema=AwardSchema,
    singular="award",
    description="The placings of cities in the categories of surveys.",
    default_sort="survey,category,rank",
    label=Award.id,
    caption=Caption(text=captions.award, of={"survey": "surveys", "city": "cities"}),
    search=("summary",),
    belonging=("initiatives", "citations"),
    shared=(
        Shared(
            member="tied",
            by=("survey", "category", "rank"),
            holds=lambda tied: (False not in tied) if len(tied) > 1 else (True not in tied),
            description="If several awards of a category have a placing, none is untied, and if one has it, it is not tied",
        ),
    ),
    facets=("survey", "category", "city", "rank", "placement", "city.state", "initiative.priority", "basis"),
    # San Diego already has an award in that category.
    example={"city": "boston-ma", "rank": 10},
    look=Look(
        columns=("rank", "city", "category", "survey", "summary"),
        filters=("survey", "category", "city.state"),
        lists=("initiatives",),
    ),
    relations=(
        Relation(
            name="survey",
            prefix="survey",
            owner=Award.id,
            target=Award.survey_id,
            to="surveys",
            offers=("name", "year", "conducted_by", "conducted_by.name"),
            description="The edition in which it was won.",
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
        *about("awards"),
    ),
)
