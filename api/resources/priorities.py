"""Priorities: what a survey's respondents mean to work on next."""

from marshmallow import fields
from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, relationship

from api.db import Record
from api.documents import Document, Part, identifier, slug, text, whole
from api.resource import Resource, Sort
from api.resources.surveys import SurveyPriority


class Priority(Record):
    """A near-term priority."""

    __tablename__ = "priorities"
    name: Mapped[str]
    description: Mapped[str]
    surveys: Mapped[list[SurveyPriority]] = relationship(order_by=SurveyPriority.survey_id, lazy="raise", viewonly=True)
    __table_args__ = (UniqueConstraint("name"), Index(None, "name", "id"))


class PriorityPlaceSchema(Part):
    """The place of a priority in one survey."""

    survey = slug("Id of the survey.", "digital-cities-2024", attribute="survey_id")
    place = whole("Place in the order in which the source lists them: 1 is the first.", 1, low=1)


class PrioritySchema(Document):
    """A near-term priority that respondents named."""

    id = identifier("cybersecurity")
    name = text("Name of the priority.", "Cybersecurity")
    description = text("What it covers, in our words.", "Protecting systems and data from attack.")
    surveys = fields.List(
        fields.Nested(PriorityPlaceSchema),
        metadata={"description": "The surveys whose respondents named it, and its place in each."},
    )


priorities = Resource(
    model=Priority,
    schema=PrioritySchema,
    singular="priority",
    description="Near-term priorities that a survey's respondents named, with their place in each survey.",
    default_sort=[Sort(Priority.name)],
)
