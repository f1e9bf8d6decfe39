"""Sources: the documents from which the facts come."""

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Whole, choice, folded_index, whole_number
from api.resources.bases import Cited, SubjectDocument
from api.resources.citations import about
from api.schema.choices import Choice
from api.schema.fields import (
    SHA256,
    Pattern,
    Rule,
    edtf,
    identifier,
    named,
    one_of,
    prose,
    reference,
    text,
    titled,
    whole,
)
from api.schema.resource import Look, Relation, Resource

# Spaces and controls, one by one: `\s` has not the same characters in Python as in JavaScript.
SPACES = r"\x00-\x20\x7F-\xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\uFEFF"


class SourceType(Choice):
    """The kinds of sources."""

    ARTICLE = "article", "An article of a newspaper, a magazine or a site."
    REPORT = "report", "A report of an organization on its own work or findings."
    PRESS_RELEASE = "press_release", "A text that an organization sent to the press."
    LIST = "list", "A list, as of winners."
    DATASET = "dataset", "Records with columns; its citations name a record and a column."


class Source(Cited):
    """A document, identified by its description and the hash of its text, or a data set."""

    __tablename__ = "sources"
    label: Mapped[str]
    headline: Mapped[str | None]
    type: Mapped[SourceType] = mapped_column(choice(SourceType, "type"))
    summary: Mapped[str | None]
    publisher_id: Mapped[str | None] = mapped_column(ForeignKey("organizations.id"))
    part: Mapped[int | None] = mapped_column(Whole)
    parts: Mapped[int | None] = mapped_column(Whole)
    language: Mapped[str]
    url: Mapped[str | None]
    published: Mapped[str | None]
    published_period: Mapped[str | None]
    published_month: Mapped[int | None]
    retrieved: Mapped[str | None]
    retrieved_period: Mapped[str | None]
    retrieved_month: Mapped[int | None]
    licence: Mapped[str | None]
    attribution: Mapped[str | None]
    text_sha256: Mapped[str | None]
    __table_args__ = (
        whole_number("part", "part >= 1"),
        whole_number("parts", "parts >= part"),
        CheckConstraint("length(text_sha256) = 64", name="text_sha256"),
        CheckConstraint("(type = 'dataset') = (text_sha256 is null)", name="dataset"),
        Index(None, "label", "id"),
        Index(None, "type", "label", "id"),
        Index(None, "publisher_id", "label", "id"),
        Index(None, "part", "label", "id"),
        Index(None, "parts", "label", "id"),
        Index(None, "language", "label", "id"),
        Index(None, "text_sha256", "label", "id"),
    )


folded_index(Source.label)


class SourceSchema(SubjectDocument):
    """A document from which facts come."""

    rules = (
        Rule(
            "parts",
            "is no less than `part`",
            lambda row: row["part"] is None or row["parts"] is None or row["parts"] >= row["part"],
        ),
        Rule(
            "text_sha256",
            "is null if `type` is `dataset`, and only then",
            lambda row: (row["type"] == SourceType.DATASET) == (row["text_sha256"] is None),
        ),
    )
    id = identifier("industry-insider-digital-cities-2024-part-1")
    label = titled("Name of the source, in our words.", "Article on California's largest cities in the 2024 survey")
    headline = named("Its own headline or title; null if we do not hold it.", "A Closer Look", allow_none=True)
    type = one_of(SourceType, "Kind of source.", "article")
    summary = prose("What it covers, in our words.", "Covers the cities of the largest category.", allow_none=True)
    publisher = reference(
        "organizations",
        "Id of the organization that published it.",
        "industry-insider-california",
        attribute="publisher_id",
        allow_none=True,
    )
    part = whole("Its number in a series; null if it stands alone.", 1, low=1, allow_none=True)
    parts = whole("Number of parts in that series.", 3, low=1, allow_none=True)
    language = text("IETF language tag (BCP 47) of its text.", "en", validate=Pattern(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))
    url = text(
        "Its address.",
        "https://example.org/a-closer-look",
        validate=Pattern(rf"^https?://[^{SPACES}/]+(/[^{SPACES}]*)?$"),
        allow_none=True,
    )
    published = edtf("When it was published, in EDTF; null if we do not know.", "2024-11")
    retrieved = edtf("When we read it, in EDTF; null if we do not know.", "2024-12-02")
    licence = named(
        "The licence of its values: an SPDX identifier or a short text; null if none is given.", "CC-BY-4.0", allow_none=True
    )
    attribution = named(
        "The text that its licence requires wherever its values are shown; null if it requires none.",
        "Data by Example, CC BY 4.0",
        allow_none=True,
    )
    text_sha256 = text(
        "SHA-256 of its normalized paragraphs, joined by line feeds; see `/citations` for how. Null for a data set.",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        validate=Pattern(SHA256),
        allow_none=True,
    )


sources = Resource(
    model=Source,
    schema=SourceSchema,
    singular="source",
    description="Documents and data sets from which the facts come; only the fingerprint of their text is published.",
    default_sort="label",
    label=Source.label,
    search=("label", "headline", "summary"),
    # The source itself shows them.
    unsourced=(
        *("label", "headline", "type", "summary", "language", "url", "published", "retrieved", "licence", "attribution"),
        "text_sha256",
    ),
    facets=("type", "publisher", "language", "licence", "basis"),
    look=Look(columns=("type", "publisher", "published", "licence"), filters=("type", "publisher", "language")),
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
        *about("sources"),
    ),
)
