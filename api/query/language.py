"""The query language: the filters of each noun, and the queries that a request is parsed into.

Two tables define it: the operators in `api.schema.operators`, and the declarations of the nouns in `api.resources`. `filters`
joins them into the filters of a noun.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from api.ledger.index.words import Search
from api.query.order import LEDGER, SortKey, is_many, order
from api.resources import BY_NAME, RESOURCES
from api.schema.operators import OPERATORS, TYPES, Operator, Type, operator_of
from api.schema.resource import Column, Field, Relation, Resource

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
CAP = 10_000
MAX_FACETS = 5
MAX_DEPTH = 5
MAX_NODES = 100
# Each `contains` reads a text of every record, once for the total, once for the page and once for each facet.
MAX_CONTAINS = 10
# A cursor that begins with this sign is the place where the page before ends.
BACKWARD = "-"
COUNTS = ("capped", "exact", "none")


@dataclass(frozen=True)
class Filter:
    """One filter of a noun: a field at the end of a path of relations, and an operator.

    ``linked``: the field is a column of the last relation's own table. ``whole``: the filter is about the relation itself, so
    ``not`` and ``isnull`` are about all the records that it leads to.
    """

    name: str
    path: tuple[Relation, ...]
    field: Field
    operator: Operator
    linked: bool = False
    whole: bool = False

    @property
    def description(self) -> str:
        """The description of the field and of the relations that lead to it."""
        way = " ".join(relation.description for relation in self.path if not (self.whole and relation is self.path[-1]))
        return f"{way} {self.field.description}".strip().rstrip(".")

    @property
    def example(self) -> Any:
        """A value that the filter takes."""
        return self.field.example if self.operator.example is None else self.operator.example

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of one value."""
        # A search text is only a part of a value, so it need not match the pattern of the field.
        return dict(TYPES[self.operator.takes].schema if self.operator.takes else self.field.schema)

    @property
    def type(self) -> Type:
        """The type of a value."""
        return TYPES[self.operator.takes] if self.operator.takes else self.field.type

    @property
    def column(self) -> Column:
        """The column that the operator compares."""
        return self.field.compared(self.operator.suffix)


@cache
def filters(resource: Resource) -> Mapping[str, Filter]:
    """Return the filters of a noun by parameter name: fields first, then relations, both in the order of declaration."""
    named: dict[str, Filter] = {}
    for row in _fields(resource, (*resource.fields, *LEDGER), resource.relations):
        operators = (*row.field.type.operators, "isnull") if row.whole else row.field.operators
        for operator in operators:
            name = f"{row.name}__{operator}" if operator else row.name
            named[name] = replace(row, name=name, operator=operator_of(row.field.type, operator))
    return named


def _fields(resource: Resource, offers: Sequence[str], relations: Sequence[Relation]) -> Iterator[Filter]:
    """Yield the filters of a noun without their operators: its fields, its relations, and the fields that these offer."""
    for name, field in {**resource.fields, **LEDGER}.items():
        if name in offers:
            yield Filter(name, (), field, OPERATORS[""])
    for relation in relations:
        if is_many(relation) and relation.target is not None:
            yield Filter(relation.prefix, (relation,), _identity(relation), OPERATORS[""], linked=True, whole=True)
        for name, field in relation.fields.items():
            if field.column is not relation.owner and field.column is not relation.target:
                yield Filter(f"{relation.prefix}.{name}", (relation,), field, OPERATORS[""], linked=True)
        if relation.to:
            target = BY_NAME[relation.to]
            prefixes = {name.split(".")[0] for name in relation.offers}
            below = [onward for onward in target.relations if onward.prefix in prefixes]
            for row in _fields(target, relation.offers, below):
                if row.name in relation.offers:
                    yield replace(row, name=f"{relation.prefix}.{row.name}", path=(relation, *row.path))


def _identity(relation: Relation) -> Field:
    """Return the field that filters a relation as a whole: the id of the related record, or the key of the part."""
    if relation.to is None:
        return next(field for field in relation.fields.values() if field.column is relation.target)
    assert relation.target is not None
    return Field(
        name=relation.prefix,
        column=relation.target,
        type=TYPES["reference"],
        schema=TYPES["reference"].schema,
        description=f"{relation.description} By id.",
        example=BY_NAME[relation.to].fields["id"].example,
    )


@cache
def nouns(resource: Resource) -> Mapping[str, Sequence[str]]:
    """Return the names of relations to other nouns by what their records are called, each in filters and in `include`."""
    relations = [relation for relation in resource.relations if relation.to not in {None, resource.name}]
    return {
        word: (relation.prefix, relation.name)
        for relation in reversed(relations)
        for word in (relation.to or "", BY_NAME[relation.to or ""].singular)
    }


@cache
def includable(resource: Resource) -> Mapping[str, tuple[Relation, ...]]:
    """Return the paths that `include` takes: relations to other nouns, one or two steps long."""
    paths: dict[str, tuple[Relation, ...]] = {}
    for first in (relation for relation in resource.relations if relation.to):
        paths[first.name] = (first,)
        for second in (relation for relation in BY_NAME[first.to or ""].relations if relation.to):
            paths[f"{first.name}.{second.name}"] = (first, second)
    return paths


@cache
def facetable(resource: Resource) -> Mapping[str, Filter]:
    """Return the declared facets by name, each as the filter that its links apply."""
    return {name: filters(resource)[name] for name in resource.facets}


@dataclass(frozen=True)
class Condition:
    """A filter with its value, or a tuple of values if the operator takes many."""

    filter: Filter
    value: Any


@dataclass(frozen=True)
class Conditions:
    """Conditions that must all hold; those with the same path must hold for the same related record.

    ``kept``: they are the body of a request, which every link keeps.
    """

    all: tuple[Condition, ...]
    kept: bool = False


@dataclass(frozen=True)
class Group:
    """Expressions joined by `and` or `or`, or one expression that must `not` hold; ``kept`` as for `Conditions`."""

    connective: str
    children: tuple["Expression", ...]
    kept: bool = False


Expression = Conditions | Group


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query for a list or a record. ``limit`` is None if the request has none; ``search`` is the parsed `q`.

    ``trimmed`` has the members of included records, by noun.
    """

    resource: Resource
    where: Expression = Conditions(())
    search: Search | None = None
    sort: tuple[SortKey, ...] | None = None
    limit: int | None = None
    cursor: str | None = None
    count: str = COUNTS[0]
    fields: tuple[str, ...] | None = None
    include: tuple[tuple[Relation, ...], ...] = ()
    facets: tuple[Filter, ...] = ()
    highlights: bool = False
    trimmed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    as_of: str | None = None
    min_version: int = 0

    @property
    def most(self) -> int:
        """The number of records on a page, at most."""
        return DEFAULT_LIMIT if self.limit is None else self.limit

    @property
    def backward(self) -> bool:
        """Whether its page ends at the cursor's place; its rows are then read in the opposite order."""
        return self.cursor is not None and self.cursor.startswith(BACKWARD)

    @property
    def ranked(self) -> bool:
        """Whether the best matches come first."""
        return self.search is not None and self.sort is None

    @cached_property
    def order(self) -> tuple[SortKey, ...]:
        """The sort keys. The id comes last, in the direction of the key before it, so that one index serves the whole order.

        The rank of a search is not a sort key; records of equal rank are ordered from the newest to the oldest.
        """
        keys = self._keys
        return tuple([replace(key, descending=not key.descending, backward=True) for key in keys]) if self.backward else keys

    @property
    def _keys(self) -> tuple[SortKey, ...]:
        if self.ranked:
            return (SortKey(LEDGER["version"], descending=True),)
        keys = self.sort if self.sort is not None else order(self.resource, self.resource.default_sort.split(","))
        if not any(key.field.column is self.resource.model.id and not key.relation for key in keys):
            keys = (*keys, SortKey(self.resource.fields["id"], bool(keys) and keys[-1].descending))
        return (*keys[:1], *[replace(key, later=True) for key in keys[1:]])


@dataclass(frozen=True, kw_only=True)
class Find:
    """A search of several nouns at once."""

    text: str
    search: Search
    kinds: tuple[str, ...]
    limit: int
    cursor: str | None = None
    count: str = COUNTS[0]
    highlights: bool = False
    min_version: int = 0


SEARCHABLE = tuple(resource for resource in RESOURCES if resource.search)
# `/suggest` finds these nouns by their names.
SUGGESTED = tuple(resource for resource in SEARCHABLE if resource.search[0] == resource.label.key)
MAX_SUGGESTED = 10
