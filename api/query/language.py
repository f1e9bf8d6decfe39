"""The query language: what a list may be asked.

Two tables make it: `api.operators`, and the declarations of the nouns. `filters` joins them into the filters of a noun,
`PARAMETERS` are those that every list has besides. `api.parsing` makes a `Query` of a request's text; `api.statements`,
`api.pages` and `api.facets` make SQL of a `Query`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from api.ledger.index.words import Search
from api.ledger.models import Revision
from api.resources import BY_NAME, RESOURCES
from api.schema.fields import MAX_INTEGER, Document
from api.schema.operators import MAX_TEXT, MAX_VALUES, OPERATORS, TYPES, Operator
from api.schema.resource import Field, Relation, Resource

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
CAP = 10_000
MAX_FACETS = 5
MAX_DEPTH = 5
MAX_NODES = 100
COUNTS = ("capped", "exact", "none")
# What the ledger adds to every document.
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


@dataclass(frozen=True)
class Filter:
    """One filter of a noun: a field, at the end of a path of relations, and an operator.

    ``linked``: the field is in the last relation's own table; ``whole``: it is the relation itself, so that
    ``not`` and ``isnull`` speak of all that it leads to.
    """

    name: str
    path: tuple[Relation, ...]
    field: Field
    operator: Operator
    linked: bool = False
    whole: bool = False

    @property
    def description(self) -> str:
        """What the field is, with the way to it."""
        way = " ".join(relation.description for relation in self.path if not (self.whole and relation is self.path[-1]))
        return f"{way} {self.field.description}".strip().rstrip(".")

    @property
    def example(self) -> Any:
        """A value that it takes."""
        if self.operator.of_null:
            return False
        return self.field.example

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of one of its values."""
        if self.operator.of_null:
            return dict(TYPES["flag"].schema)
        # A text to look for is not a whole value, and need not have its form.
        return dict(TYPES["text"].schema if self.operator.folds else self.field.schema)


def is_many(relation: Relation) -> bool:
    """Tell whether a relation can lead to more than one record."""
    return bool(relation.owner.key != "id")


@cache
def filters(resource: Resource) -> Mapping[str, Filter]:
    """Return every filter of a noun by its parameter's name, fields first and then relations, as declared."""
    found: dict[str, Filter] = {}
    for row in _fields(resource, (*resource.fields, *LEDGER), resource.relations):
        operators = (*row.field.type.operators, "isnull") if row.whole else row.field.operators
        for operator in operators:
            name = f"{row.name}__{operator}" if operator else row.name
            found[name] = replace(row, name=name, operator=OPERATORS[operator])
    return found


def _fields(resource: Resource, offers: Sequence[str], relations: Sequence[Relation]) -> Iterator[Filter]:
    """Yield what a noun offers to be filtered by, without an operator yet: its fields, its relations and what they offer."""
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
            below = [found for found in target.relations if any(name.split(".")[0] == found.prefix for name in relation.offers)]
            for row in _fields(target, relation.offers, below):
                if row.name in relation.offers:
                    yield replace(row, name=f"{relation.prefix}.{row.name}", path=(relation, *row.path))


def _identity(relation: Relation) -> Field:
    """Return the field that a relation as a whole is filtered by: the id of what it leads to, or its part's key."""
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
def sortable(resource: Resource) -> Mapping[str, Field]:
    """Return the fields that a list can be ordered by: the noun's own, except prose, and the ledger's."""
    own = {name: field for name, field in resource.fields.items() if field.type.name != "prose"}
    return {**own, **LEDGER}


@cache
def includable(resource: Resource) -> Mapping[str, tuple[Relation, ...]]:
    """Return the paths that `include` takes: relations to nouns, and theirs."""
    found: dict[str, tuple[Relation, ...]] = {}
    for first in (relation for relation in resource.relations if relation.to):
        found[first.name] = (first,)
        for second in (relation for relation in BY_NAME[first.to or ""].relations if relation.to):
            found[f"{first.name}.{second.name}"] = (first, second)
    return found


@cache
def facetable(resource: Resource) -> Mapping[str, Filter]:
    """Return what `facets` takes: the declared ones, each as the filter that its links apply."""
    return {name: filters(resource)[name] for name in resource.facets}


@dataclass(frozen=True)
class Condition:
    """A filter with its value: a list where the operator takes many."""

    filter: Filter
    value: Any


@dataclass(frozen=True)
class Conditions:
    """Conditions that must all hold; those with the same path hold of one and the same related record."""

    all: tuple[Condition, ...]


@dataclass(frozen=True)
class Group:
    """Expressions joined by `and` or `or`, or one that must `not` hold."""

    connective: str
    children: tuple["Expression", ...]


Expression = Conditions | Group


@dataclass(frozen=True)
class Key:
    """One key of an order."""

    field: Field
    descending: bool


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a list was asked for. ``limit`` is None where none was given; ``search`` is what `q` says."""

    resource: Resource
    where: Expression = Conditions(())
    search: Search | None = None
    sort: tuple[Key, ...] | None = None
    limit: int | None = None
    cursor: str | None = None
    count: str = COUNTS[0]
    fields: tuple[str, ...] | None = None
    include: tuple[tuple[Relation, ...], ...] = ()
    facets: tuple[Filter, ...] = ()
    highlights: bool = False
    as_of: str | None = None
    min_version: int = 0

    @property
    def ranked(self) -> bool:
        """Whether what matches its search best comes first."""
        return self.search is not None and self.sort is None

    @property
    def order(self) -> tuple[Key, ...]:
        """The order, made total by the id, in the last key's direction: so one index serves both.

        Behind the rank of what a search finds, which is no key, the newest comes first.
        """
        if self.ranked:
            return (Key(LEDGER["version"], descending=True),)
        keys = self.sort if self.sort is not None else order(self.resource, self.resource.default_sort.split(","))
        if any(key.field.column is self.resource.model.id for key in keys):
            return keys
        descending = bool(keys) and keys[-1].descending
        return (*keys, Key(self.resource.fields["id"], descending))


def order(resource: Resource, names: Sequence[str]) -> tuple[Key, ...]:
    """Return the keys that `sort` names. Raises a KeyError that holds a name that is none."""
    return tuple(Key(sortable(resource)[name.removeprefix("-")], name.startswith("-")) for name in names)


@dataclass(frozen=True)
class Parameter:
    """A parameter that lists have besides their filters.

    ``schema`` is of the whole value, or of one of a list's when ``many``; `choices` gives the values to choose from.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    choices: Callable[[Resource], Iterable[str]] | None = None
    many: bool = False
    most: int = MAX_VALUES
    example: Callable[[Resource], str] | None = None
    applies: Callable[[Resource], bool] = lambda _: True


def _sort_names(resource: Resource) -> list[str]:
    return [name for field in sortable(resource) for name in (field, f"-{field}")]


VERSION = {**TYPES["version"].schema, "maximum": MAX_INTEGER}
MIN_VERSION = Parameter(
    "min_version",
    "Wait until the dataset is at this version, such as that of your own write; 503 when it is not within a second.",
    VERSION,
    example=lambda _: "1",
)
PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "q",
            (
                'Full text: words in any form, without regard to case and accents; `"a phrase"`, `-word`. Best first, '
                "of those that are alike the newest, unless `sort` is given."
            ),
            {"type": "string", "maxLength": MAX_TEXT},
            example=lambda _: "digital",
            applies=lambda resource: bool(resource.search),
        ),
        Parameter(
            "highlights",
            "Add `highlights`: where the words of `q` are, in pieces of text, by id and field.",
            TYPES["flag"].schema,
            example=lambda _: "false",
            applies=lambda resource: bool(resource.search),
        ),
        Parameter(
            "filter",
            (
                'What flat filters cannot say, as JSON: `{"or": [{"status": "draft"}, {"city.state": ["CA", "WA"]}]}`. '
                "The names are those of the filters; `and`, `or` take lists, `not` one expression. "
                f"At most {MAX_DEPTH} deep, {MAX_NODES} nodes."
            ),
            {"type": "object"},
        ),
        Parameter(
            "sort",
            "Keys of the order, `-` for descending. Nulls come last both ways; the id breaks ties.",
            {"type": "string"},
            _sort_names,
            many=True,
            example=lambda resource: resource.default_sort,
        ),
        Parameter(
            "limit",
            f"How many records a page has at most, {DEFAULT_LIMIT} by itself. CSV and NDJSON have all records by themselves.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "20",
        ),
        Parameter(
            "cursor",
            (
                "Continue a list: `page.cursor` of the page before, with the same filters and order. `links.next` has it "
                "filled in. It never expires."
            ),
            {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
        ),
        Parameter(
            "count",
            f"`capped`: `total` is exact up to {CAP:,}; `exact`: always; `none`: nothing is counted.",
            {"type": "string"},
            lambda _: COUNTS,
            example=lambda _: COUNTS[0],
        ),
        Parameter(
            "fields",
            "Only these members of each record.",
            {"type": "string"},
            lambda resource: resource.members,
            many=True,
            example=lambda resource: f"id,{resource.members[1]}",
        ),
        Parameter(
            "include",
            "Add these related records under `included`, by noun and id; the fields stay ids.",
            {"type": "string"},
            includable,
            many=True,
            example=lambda resource: next(iter(includable(resource))),
        ),
        Parameter(
            "facets",
            "Count the values of these over the whole filtered set, each with a label and the link that applies it.",
            {"type": "string"},
            lambda resource: resource.facets,
            many=True,
            most=MAX_FACETS,
            example=lambda resource: resource.facets[0],
        ),
        MIN_VERSION,
    )
}


def parameters(resource: Resource) -> dict[str, Parameter]:
    """Return the parameters of a noun's list that are not filters."""
    return {name: row for name, row in PARAMETERS.items() if row.applies(resource)}


@dataclass(frozen=True, kw_only=True)
class Find:
    """What was asked of every noun at once."""

    text: str
    search: Search
    kinds: tuple[str, ...]
    limit: int
    cursor: str | None = None
    count: str = COUNTS[0]
    highlights: bool = False
    min_version: int = 0


SEARCHABLE = tuple(resource for resource in RESOURCES if resource.search)
# Those that are searched by what they are called.
SUGGESTED = tuple(resource for resource in SEARCHABLE if resource.search[0] == resource.label.key)
MAX_SUGGESTED = 10


def _kind(nouns: Sequence[Resource]) -> Parameter:
    names = [resource.name for resource in nouns]
    described = "Only records of these nouns."
    return Parameter("kind", described, {"type": "string"}, lambda _: names, many=True, example=lambda _: "cities,initiatives")


FIND_PARAMETERS = {
    "search": {
        row.name: row
        for row in (
            PARAMETERS["q"],
            _kind(SEARCHABLE),
            *(PARAMETERS[n] for n in ("limit", "cursor", "count", "highlights", "min_version")),
        )
    },
    "suggest": {
        row.name: row
        for row in (
            Parameter(
                "q",
                "What was typed so far: the beginning of any word of a name or title, without regard to case and accents.",
                PARAMETERS["q"].schema,
                example=lambda _: "san",
            ),
            _kind(SUGGESTED),
            Parameter(
                "limit",
                f"How many records there are at most, {MAX_SUGGESTED} by itself.",
                {"type": "integer", "minimum": 1, "maximum": MAX_SUGGESTED},
                example=lambda _: "5",
            ),
            MIN_VERSION,
        )
    },
}


AS_OF = Parameter(
    "as_of",
    "As it was at a version of the dataset, or at a time (RFC 3339).",
    {"type": "string", "maxLength": 40, "anyOf": [{"pattern": r"^\d{1,16}$"}, {"format": "date-time"}]},
    example=lambda _: "603",
)
RECORD_PARAMETERS = {**{name: PARAMETERS[name] for name in ("fields", "include", "min_version")}, "as_of": AS_OF}
