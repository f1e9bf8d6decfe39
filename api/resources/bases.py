"""How facts are known: the basis of a citation, and the weakest basis of each fact, which its record shows."""

from typing import Any

from marshmallow import fields
from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.db.types import Base
from api.schema.choices import Choice
from api.schema.fields import Document, Part, Pattern, one_of, text

# A JSON Pointer, without commas, which separate the values of a filter.
POINTER = r"^(/([^/~,\x00]|~[01])*)+$"


class Basis(Choice):
    """How a fact follows from its source."""

    STATED = "stated", "The source says so."
    ATTRIBUTED = "attributed", "It is an opinion of the source, and served as such."
    INFERRED = "inferred", "It follows from what the source says."
    EDITORIAL = "editorial", "It is our judgement, based on what the source says."
    EXTERNAL = "external", "A second source says so, which is not the one that the record comes from."


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


def bases_of(model: str, kind: str) -> Any:
    """Return the relationship of a noun's model to the bases of its facts."""
    join = f"and_({model}.id == foreign(FactBasis.subject_id), FactBasis.subject_kind == '{kind}')"
    return relationship("FactBasis", primaryjoin=join, order_by="FactBasis.field", viewonly=True, lazy="raise")


class FactBasisSchema(Part):
    """How a fact is known that its sources do not plainly state."""

    field = text("JSON Pointer (RFC 6901) of the fact within the record.", "/status", validate=Pattern(POINTER))
    basis = one_of(Basis, "The weakest basis of the citations of a fact.", "inferred")


class Bases(fields.Dict):
    """The bases of a record's facts by their JSON Pointers."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> dict[str, str]:  # noqa: ARG002 - marshmallow's interface
        return {row.field: row.basis for row in value}


class SubjectDocument(Document):
    """A record that citations are about, so that it tells how its facts are known."""

    # Derived from the citations.
    basis = Bases(
        keys=fields.String(),
        values=one_of(Basis, "How the fact is known.", "inferred"),
        attribute="bases",
        required=True,
        metadata={
            "description": "The facts that no source plainly states, by JSON Pointer: the weakest basis of their citations.",
            "example": {"/status": "inferred", "/priorities": "editorial"},
            "readOnly": True,
        },
    )
