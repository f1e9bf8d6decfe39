"""Sources: the documents from which the facts come."""

from enum import StrEnum

from marshmallow import fields
from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Record, Whole, choice, folded_index, whole_number
from api.resources.citations import about
from api.schema.fields import SHA256, Document, Pattern, Rule, identifier, prose, slug, text, titled, whole
from api.schema.resource import Relation, Resource


class SourceType(StrEnum):
    """The kinds of documents."""

    ARTICLE = "article"
    REPORT = "report"
    PRESS_RELEASE = "press_release"
    LIST = "list"


class Source(Record):
    """A document, identified by its description and the hash of its text."""

    __tablename__ = "sources"
    title: Mapped[str]
    type: Mapped[SourceType] = mapped_column(choice(SourceType, "type"))
    summary: Mapped[str | None]
    publisher_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"))
    part: Mapped[int | None] = mapped_column(Whole)
    parts: Mapped[int | None] = mapped_column(Whole)
    language: Mapped[str]
    text_sha256: Mapped[str]
    __table_args__ = (
        whole_number("part", "part >= 1"),
        whole_number("parts", "parts >= part"),
        CheckConstraint("length(text_sha256) = 64", name="text_sha256"),
        Index(None, "title", "id"),
        Index(None, "type", "title", "id"),
        Index(None, "publisher_id", "title", "id"),
        Index(None, "part", "title", "id"),
        Index(None, "parts", "title", "id"),
        Index(None, "language", "title", "id"),
        Index(None, "text_sha256", "title", "id"),
    )


folded_index(Source.title)


class SourceSchema(Document):
    """A document from which facts come."""

    rules = (
        Rule(
            "parts",
            "is no less than `part`",
            lambda row: row["part"] is None or row["parts"] is None or row["parts"] >= row["part"],
        ),
    )
    id = identifier("industry-insider-digital-cities-2024-part-1")
    title = titled("Title of the document, in our words.", "Article on California's largest cities in the 2024 survey")
    type = fields.Enum(
        SourceType, by_value=fields.String, required=True, metadata={"description": "Kind of document.", "example": "article"}
    )
    summary = prose("What it covers, in our words.", "Covers the cities of the largest category.", allow_none=True)
    publisher = slug(
        "Id of the organization that published it.", "industry-insider-california", attribute="publisher_id", allow_none=True
    )
    part = whole("Its number in a series; null if it stands alone.", 1, low=1, allow_none=True)
    parts = whole("Number of parts in that series.", 3, low=1, allow_none=True)
    language = text("IETF language tag (BCP 47) of its text.", "en", validate=Pattern(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))
    text_sha256 = text(
        "SHA-256 of its normalized paragraphs, joined by line feeds; see `/citations` for the normalization.",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        validate=Pattern(SHA256),
    )


sources = Resource(
    model=Source,
    schema=SourceSchema,
    singular="source",
    description="Documents from which the facts come; only the fingerprint of their text is published.",
    default_sort="title",
    label=Source.title,
    search=("title", "summary"),
    # The document itself shows them.
    unsourced=("title", "type", "summary", "language", "text_sha256"),
    facets=("type", "publisher", "language"),
    relations=(
        Relation(
            name="publisher",
            prefix="publisher",
            owner=Source.id,
            target=Source.publisher_id,
            to="organizations",
            offers=("name", "type"),
            description="The organization that published it.",
        ),
        about("sources"),
    ),
)
