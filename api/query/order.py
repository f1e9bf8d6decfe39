"""The order of lists: the fields that a noun can be sorted by, and the keys that a request names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from api.ledger.models import Revision
from api.resources import BY_NAME
from api.schema import nulls
from api.schema.fields import Document
from api.schema.operators import TYPES
from api.schema.resource import Field, Relation, Resource, is_nullable

# The ledger adds these fields to every document.
LEDGER = {
    name: Field(
        name=name,
        column=column,
        type=TYPES[type],
        schema=TYPES[type].schema,
        description=Document().fields[name].metadata["description"],
        example=Document().fields[name].metadata["example"],
    )
    for name, column, type in (
        ("version", Revision.version, "version"),
        ("updated_at", Revision.changed_at, "instant"),
    )
}


def is_many(relation: Relation) -> bool:
    """Tell whether a relation can lead to more than one record."""
    return bool(relation.owner.key != "id")


@dataclass(frozen=True)
class SortKey:
    """One sort key: a field and a direction.

    ``relation`` leads to the one record that has the field; None if that is the listed record itself. ``later``: another key
    comes before it. ``backward``: the list is read from its end, so nulls come first.
    """

    field: Field
    descending: bool = False
    relation: Relation | None = None
    later: bool = False
    backward: bool = False

    @property
    def name(self) -> str:
        """The name that tells its field from the others of the noun."""
        return f"{self.relation.name}.{self.field.name}" if self.relation else self.field.name

    @property
    def optional(self) -> bool:
        """Whether a record can be without a value."""
        is_missing = self.relation is not None and self.relation.target is not None and is_nullable(self.relation.target)
        return self.field.nullable or is_missing

    @property
    def filling(self) -> Any:
        """The value in place of null, by which rows without a value come last; None if there is none.

        The first key has none: its own index has the range of the nulls, and serves filters as well.
        """
        is_descending = self.descending != self.backward
        return nulls.last(self.field.type.name, descending=is_descending) if self.later and self.optional else None

    @property
    def nullable(self) -> bool:
        """Whether it can be null in the order."""
        return self.optional and self.filling is None


@cache
def sortable(resource: Resource) -> Mapping[str, SortKey]:
    """Return the keys that a list can be sorted by: fields except prose, of the noun, the ledger, and to-one relations."""
    keys = {name: SortKey(field) for name, field in {**resource.fields, **LEDGER}.items() if field.type.name != "prose"}
    for relation in (row for row in resource.relations if row.to and not is_many(row)):
        for name, field in BY_NAME[relation.to or ""].fields.items():
            # A reference orders records by the id of the related record.
            if field.type.name != "prose" and name != "id":
                keys[f"{relation.name}.{name}"] = SortKey(field, relation=relation)
    return keys


def order(resource: Resource, names: Sequence[str]) -> tuple[SortKey, ...]:
    """Return the sort keys for the names in `sort`. Raises KeyError for an unknown name."""
    keys = sortable(resource)
    return tuple([replace(keys[name.removeprefix("-")], descending=name.startswith("-")) for name in names])
