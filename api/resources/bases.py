"""How facts are known: the basis of a citation, and what each record shows of its citations."""

from typing import Any, cast

from marshmallow import fields
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship

from api.db.types import Base, Record
from api.schema.choices import Choice
from api.schema.fields import Document, Part, Pattern, one_of, reference, text

# A JSON Pointer, without commas, which separate the values of a filter.
POINTER = r"^(/([^/~,\x00]|~[01])*)+$"


class Basis(Choice):
    """How a fact follows from its source."""

    STATED = "stated", "The source says so."
    ATTRIBUTED = "attributed", "It is an opinion of the source, and served as such."
    INFERRED = "inferred", "It follows from what the source says."
    EDITORIAL = "editorial", "It is our judgement, based on what the source says."
    EXTERNAL = "external", "A second source says so."


# How a fact is known that is not plainly stated.
IndirectBasis: type[Choice] = Choice(  # type: ignore[assignment, call-arg]  # the functional form
    "IndirectBasis",
    [(row.name, (row.value, row.description)) for row in Basis if row is not Basis.STATED],  # type: ignore[arg-type]
    module=__name__,
)


class FactBasis(Base):
    """How a record knows a fact that is not plainly stated: the weakest basis of its citations, kept by triggers on these."""

    __tablename__ = "fact_bases"
    subject_kind: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    basis: Mapped[str]
    __table_args__ = (
        Index(None, "subject_kind", "basis", "subject_id"),
        Index(None, "subject_kind", "field", "subject_id"),
    )


class Cited(Record):
    """A record that citations are about."""

    __abstract__ = True

    @declared_attr
    @classmethod
    def bases(cls) -> Mapped[list[FactBasis]]:
        """Return the relationship to the bases of its facts."""
        return cast("Mapped[list[FactBasis]]", _about(cls, "FactBasis", "field"))

    @declared_attr
    @classmethod
    def credits(cls) -> Mapped[list[Any]]:
        """Return the relationship to its citations of data sets."""
        return cast("Mapped[list[Any]]", _about(cls, "Credit", "source_id"))


def _about(model: type[Record], target: str, order: str) -> Any:
    join = f"and_({model.__name__}.id == foreign({target}.subject_id), {target}.subject_kind == '{model.__tablename__}')"
    return relationship(target, primaryjoin=join, order_by=f"{target}.{order}", viewonly=True, lazy="raise")


class FactBasisSchema(Part):
    """How a fact is known that its sources do not plainly state."""

    field = text("JSON Pointer (RFC 6901) of the fact within the record.", "/status", validate=Pattern(POINTER))
    basis = one_of(IndirectBasis, "The weakest basis of the citations of a fact.", "inferred")


class Bases(fields.Dict):
    """The bases of a record's facts by their JSON Pointers."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> dict[str, str]:  # noqa: ARG002 - marshmallow's interface
        return {row.field: row.basis for row in value}


class CreditSchema(Part):
    """A data set whose values a record has, with the terms of their use."""

    source = reference("sources", "Id of the source.", "geonames", attribute="source_id")
    attribution = text("The text that must be shown with its values.", "Data by Example, CC BY 4.0")
    licence = text("The licence of its values; null if none is given.", "CC-BY-4.0", allow_none=True)


class Credits(fields.List[Any]):
    """The data sets whose values a record has, each once."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return super()._serialize([*{row.source_id: row for row in value}.values()], attr, obj, **kwargs)


class SubjectDocument(Document):
    """A record that citations are about: it tells how its facts are known, and whose values it has."""

    # Derived from the citations.
    basis = Bases(
        keys=fields.String(),
        values=one_of(IndirectBasis, "How the fact is known.", "inferred"),
        attribute="bases",
        required=True,
        metadata={
            "description": "The cited facts that no source plainly states, by JSON Pointer: the weakest basis of each.",
            "example": {"/status": "inferred", "/priorities": "editorial"},
            "readOnly": True,
        },
    )
    attributions = Credits(
        fields.Nested(CreditSchema),
        attribute="credits",
        required=True,
        metadata={
            "description": "The data sets whose values the record has: show their attributions with it.",
            "readOnly": True,
        },
    )
