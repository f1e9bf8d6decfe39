"""Citations: the sentence of a text, or the value of a data set, that supports a fact."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import validate
from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Base, Record, Whole, choice, whole_number
from api.resources import captions
from api.resources.bases import POINTER, Basis, FactBasis, FactBasisSchema
from api.schema.fields import SHA256, Document, Part, Pattern, Rule, identifier, object_of, one_of, reference, text, whole
from api.schema.fingerprints import ABBREVIATIONS, SENTENCE_RULE
from api.schema.resource import Caption, Look, Relation, Resource

_ABBREVIATED = " ".join(f"{word}." for words in ABBREVIATIONS.values() for word in words.split())
HOW_TO_CHECK = (
    "Anyone who has the source can check a citation: split the text into lines and "
    f"drop the empty ones (paragraphs); split a paragraph by the rule for sentences, version {SENTENCE_RULE}: "
    "after `.`, `!` or `?`, with any closing quotes or brackets, where "
    "white space and an upper-case letter, a digit or an opening quote or bracket follow, but not after the one full stop "
    f"of an initial such as `L.A.`, or of one of these abbreviations: `{_ABBREVIATED}`; "
    "normalize by Unicode NFKC, straight quotes for curly ones, one space for each run of white space, trimmed; "
    "take the SHA-256 of the UTF-8 bytes."
)


class Subject(Base):
    """The kind and id of every record, kept by triggers, so that a citation's subject can be a foreign key."""

    __tablename__ = "records"
    kind: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    __table_args__ = (
        # A slug: only lower-case letters, digits, and single hyphens between them.
        CheckConstraint("trim(id, 'abcdefghijklmnopqrstuvwxyz0123456789-') = ''", name="characters"),
        CheckConstraint("'-' || id || '-' not like '%--%' and length(id) between 1 and 200", name="slug"),
    )


# A fact and its source.
CITED = ("subject_kind", "subject_id", "field", "source_id")


class Citation(Record):
    """The sentence that supports a fact."""

    __tablename__ = "citations"
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    field: Mapped[str]
    source_id: Mapped[str] = mapped_column(ForeignKey("sources.id"))
    paragraph: Mapped[int | None] = mapped_column(Whole)
    sentence: Mapped[int | None] = mapped_column(Whole)
    sentence_sha256: Mapped[str | None]
    locator_record: Mapped[str | None]
    locator_column: Mapped[str | None]
    value_sha256: Mapped[str | None]
    basis: Mapped[Basis] = mapped_column(choice(Basis, "basis"))
    __table_args__ = (
        ForeignKeyConstraint(["subject_kind", "subject_id"], ["records.kind", "records.id"], ondelete="CASCADE"),
        UniqueConstraint(
            *CITED,
            *("paragraph", "sentence", "locator_record", "locator_column"),
            name="uq_citations_locator",
        ),
        # Our check of the constraint takes nulls for equal, and the database's does not: in one of these there are none.
        Index("ix_citations_of_sentences", *CITED, "paragraph", "sentence", unique=True),
        Index("ix_citations_of_values", *CITED, "locator_record", "locator_column", unique=True),
        Index(None, "subject_id", "id"),
        Index(None, "subject_kind", "id"),
        Index(None, "field", "id"),
        Index(None, "source_id", "id"),
        Index(None, "source_id", "paragraph", "sentence"),
        Index(None, "paragraph", "id"),
        Index(None, "sentence", "id"),
        Index(None, "sentence_sha256", "id"),
        Index(None, "basis", "id"),
        # Few citations have these.
        *(
            Index(None, column, "id", sqlite_where=sql(f"{column} is not null"), postgresql_where=sql(f"{column} is not null"))
            for column in ("locator_record", "value_sha256")
        ),
        CheckConstraint("subject_kind <> 'citations'", name="subject_kind"),
        CheckConstraint("substr(field, 1, 1) = '/'", name="field"),
        whole_number("paragraph", "paragraph >= 1"),
        whole_number("sentence", "sentence >= 1"),
        CheckConstraint("length(sentence_sha256) = 64", name="sentence_sha256"),
        CheckConstraint("length(value_sha256) = 64", name="value_sha256"),
        CheckConstraint(
            "(paragraph is null) = (sentence is null) and (paragraph is null) = (sentence_sha256 is null) "
            "and (locator_record is null) = (locator_column is null) and (locator_record is null) = (value_sha256 is null) "
            "and (paragraph is null) <> (locator_record is null)",
            name="evidence",
        ),
    )


class LocatorSchema(Part):
    """The place of a value in a data set."""

    record = text("Id of the record in the data set.", "5391811")
    column = text("Name of the column.", "latitude")


# The members that place and prove a sentence, and those that do so for a value.
OF_SENTENCE, OF_VALUE = ("paragraph", "sentence", "sentence_sha256"), ("locator", "value_sha256")


def _is_evidence(row: Mapping[str, Any]) -> bool:
    """Tell whether a citation has all members of a sentence and none of a value, or the other way round."""
    nulls = [{row[name] is None for name in names} for names in (OF_SENTENCE, OF_VALUE)]
    return nulls in ([{True}, {False}], [{False}, {True}])


class CitationSchema(Document):
    """The sentence or the value that supports a fact: its locator and fingerprint, never the sentence itself."""

    rules = (
        Rule(
            "locator",
            "and `value_sha256` are given for a value of a data set, and `paragraph`, `sentence` and `sentence_sha256` for a "
            "sentence: all of the one, and none of the other",
            _is_evidence,
        ),
    )
    id = identifier("organizations-e-republic-name-p22-s1")
    subject_kind = text("Plural noun of the record that has the fact.", "initiatives")
    subject_id = reference(None, "Id of that record.", "los-angeles-ca-myla311", kind="subject_kind")
    field = text(
        "JSON Pointer (RFC 6901) of the fact within the record; a pointer to a list or an object covers all of it.",
        "/metrics/0",
        validate=Pattern(POINTER),
    )
    source = reference("sources", "Id of the source.", "industry-insider-digital-cities-2024-part-1", attribute="source_id")
    paragraph = whole(
        "Number of the paragraph in the source, counted from 1; headings count, empty lines do not. Null for a data set.",
        11,
        low=1,
        allow_none=True,
    )
    sentence = whole(
        "Number of the sentence in that paragraph, counted from 1. Null for a data set.", 3, low=1, allow_none=True
    )
    sentence_sha256 = text(
        "SHA-256 of the normalized sentence, in lower-case hexadecimal. Null for a data set.",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        validate=Pattern(SHA256),
        allow_none=True,
    )
    locator = object_of(
        LocatorSchema, "The place of the value in a data set; null for a sentence.", {"record": "5391811", "column": "latitude"}
    )
    value_sha256 = text(
        "SHA-256 of the value as the data set writes it, as UTF-8, in lower-case hexadecimal. Null for a sentence.",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        validate=Pattern(SHA256),
        allow_none=True,
    )
    basis = one_of(Basis, "How the fact follows.", "stated")


def about(kind: str) -> tuple[Relation, Relation]:
    """Return a noun's relations to the citations of its records, and to the bases of their facts."""
    bases = Relation(
        name="bases",
        prefix="basis",
        owner=FactBasis.subject_id,
        target=FactBasis.basis,
        part=FactBasisSchema,
        where={"subject_kind": kind},
        description="The facts that no source plainly states.",
    )
    return bases, Relation(
        name="citations",
        prefix="citation",
        owner=Citation.subject_id,
        target=Citation.id,
        to="citations",
        where={"subject_kind": kind},
        offers=("field", "source", "basis"),
        description="The citations that support its facts.",
    )


def citations_about(nouns: Sequence[Resource]) -> Resource:
    """Return the noun of citations about these nouns; a function, because each of them imports `about` from here."""
    one_of = validate.OneOf([noun.name for noun in nouns])
    kind = text("Plural noun of the record that has the fact.", "initiatives", validate=one_of)
    schema = type("CitationSchema", (CitationSchema,), {"subject_kind": kind, "__doc__": CitationSchema.__doc__})
    return Resource(
        model=Citation,
        schema=schema,
        singular="citation",
        description="The sentences and values that support the facts: their places and fingerprints, and how the facts follow.",
        details=HOW_TO_CHECK,
        default_sort="id",
        label=Citation.id,
        caption=Caption(text=captions.citation, of={"source": "sources"}),
        facets=("subject_kind", "source", "basis"),
        # A citation has the members of a sentence or those of a value.
        example={"locator": None, "value_sha256": None},
        look=Look(
            columns=("subject_id", "field", "basis", "source", "paragraph", "sentence"),
            filters=("subject_kind", "source", "basis"),
        ),
        relations=(
            Relation(
                name="source",
                prefix="source",
                owner=Citation.id,
                target=Citation.source_id,
                to="sources",
                offers=("label", "type", "publisher", "publisher.name"),
                description="The source that has the sentence or the value.",
            ),
        ),
    )
