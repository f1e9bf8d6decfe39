"""Priorities: the near-term priorities that the respondents of a survey named."""

from marshmallow import fields
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, relationship

from api.db.types import beyond_ascii_index, folded_index
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.resources.initiatives import InitiativePriority
from api.resources.surveys import SurveyPriority
from api.schema.fields import Part, identifier, named, prose, reference, whole
from api.schema.resource import Look, Relation, Resource


class Priority(Cited):
    """A near-term priority."""

    __tablename__ = "priorities"
    name: Mapped[str]
    description: Mapped[str]
    surveys: Mapped[list[SurveyPriority]] = relationship(order_by=SurveyPriority.survey_id, lazy="raise", viewonly=True)
    __table_args__ = (UniqueConstraint("name"), Index(None, "name", "id"))


folded_index(Priority.name)
beyond_ascii_index(Priority.name)


class PriorityListingSchema(Part):
    """A survey whose respondents named the priority."""

    survey = reference("surveys", "Id of the survey.", "digital-cities-2024", attribute="survey_id")
    listed = whole("Its number in the list of the source, counted from 1; the list is no ranking.", 1, low=1)


class PrioritySchema(SubjectDocument):
    """A near-term priority that respondents named."""

    id = identifier("cybersecurity")
    name = named("Name of the priority.", "Cybersecurity")
    description = prose("What it covers, in our words.", "Protecting systems and data from attack.")
    # Derived from the priorities that each survey lists.
    surveys = fields.List(
        fields.Nested(PriorityListingSchema),
        metadata={
            "description": "The surveys whose respondents named it, and its number in the list of each.",
            "readOnly": True,
        },
    )


priorities = Resource(
    model=Priority,
    schema=PrioritySchema,
    singular="priority",
    description="Near-term priorities that a survey's respondents named, and where each survey lists them.",
    default_sort="name",
    label=Priority.name,
    search=("name", "description"),
    facets=("survey", "initiative.city", "initiative.status", "basis"),
    look=Look(columns=("description", "surveys"), filters=("survey",), lists=("initiatives",)),
    relations=(
        Relation(
            name="surveys",
            prefix="survey",
            owner=SurveyPriority.priority_id,
            target=SurveyPriority.survey_id,
            to="surveys",
            part=PriorityListingSchema,
            offers=("name", "year"),
            description="The editions whose respondents named it.",
        ),
        Relation(
            name="initiatives",
            prefix="initiative",
            owner=InitiativePriority.priority_id,
            target=InitiativePriority.initiative_id,
            to="initiatives",
            offers=("city", "status", "started", "city.state"),
            description="The initiatives that serve it.",
        ),
        *about("priorities"),
    ),
)
