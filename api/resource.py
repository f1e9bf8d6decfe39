"""What a noun declares about itself. Nothing here executes: `rest`, `query` and `ledger` read it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import InstrumentedAttribute, RelationshipProperty, class_mapper

from api.db import Record
from api.documents import Document


@dataclass(frozen=True)
class Sort:
    """One key of an order: a column that is never null, and its direction."""

    column: InstrumentedAttribute[object]
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A noun: its table, its document, and how a list of it is ordered.

    ``singular``, ``description`` (a sentence) and ``details`` are for readers; ``default_sort`` is
    completed by the id, so that the order is total.
    """

    model: type[Record]
    schema: type[Document]
    singular: str
    description: str
    details: str = ""
    default_sort: Sequence[Sort]

    @property
    def name(self) -> str:
        """The plural noun: the path, the table, the OpenAPI tag and the ledger's ``kind``."""
        return str(self.model.__tablename__)

    @property
    def order(self) -> tuple[Sort, ...]:
        """The default order, made total by the id, in the last key's direction: so one index serves both."""
        descending = bool(self.default_sort) and self.default_sort[-1].descending
        return (*self.default_sort, Sort(self.model.id, descending))

    @property
    def parts(self) -> tuple[tuple[RelationshipProperty[object], ...], ...]:
        """Paths of relationships to the rows that a document is made of, besides its own."""
        return tuple(_paths(self.model))


def _paths(model: type) -> list[tuple[RelationshipProperty[object], ...]]:
    found = []
    for relationship in class_mapper(model).relationships:
        below = _paths(relationship.mapper.class_)
        found += [(relationship, *path) for path in below] or [(relationship,)]
    return found
