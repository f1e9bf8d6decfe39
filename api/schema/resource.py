"""The declaration of a noun: data that routes, the query language, its SQL and the ledger read; nothing here executes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from marshmallow import Schema, fields
from sqlalchemy.orm import InstrumentedAttribute, class_mapper

from api.db.types import Base, Record
from api.schema.canonical import PUBLICATION
from api.schema.choices import Choice
from api.schema.fields import Document, Object, Part
from api.schema.operators import Type, type_of, value_schema

Column = InstrumentedAttribute[Any]


def is_nullable(column: Column) -> bool:
    """Tell whether a column can be null."""
    return bool(column.property.columns[0].nullable)


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """A single value of a record, or of a row of one of its parts; lists can be filtered by it, and mostly sorted."""

    name: str
    column: Column
    type: Type
    schema: Mapping[str, Any]
    description: str
    example: Any

    @property
    def nullable(self) -> bool:
        """Whether it can be null."""
        return is_nullable(self.column)

    @property
    def ordered(self) -> Column:
        """The column that orders records by the field: of a date, that with its period."""
        return self.compared("_period") if self.type.name == "date" else self.column

    def compared(self, suffix: str) -> Column:
        """Return the column that an operator with this suffix compares."""
        return cast("Column", getattr(self.column.class_, f"{self.column.key}{suffix}"))

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the operators that its filters take."""
        return (*self.type.operators, *(["isnull"] if self.nullable else []))


@dataclass(frozen=True, kw_only=True, eq=False)
class Relation:
    """A relation from a record to other records, or to the rows of one of its parts.

    `include` calls it ``name``, and the names of filters begin with ``prefix``. ``owner`` and ``target`` are two columns of
    one table: the id of the record that has the relation, and the id of the related record (or the key of a part). ``to`` is
    the related noun, None for a part. ``part`` is the schema of the table's other fields. ``offers`` names the fields and
    relations of the noun ``to`` that filters reach through this relation. ``where`` has values that columns of the table
    must have.
    """

    name: str
    prefix: str
    owner: Column
    target: Column | None = None
    to: str | None = None
    part: type[Part] | None = None
    offers: Sequence[str] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    description: str

    @property
    def link(self) -> type[Base]:
        """The model of the table that has both columns."""
        return cast("type[Base]", self.owner.class_)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of that table, by name."""
        return scalars(self.part, self.link) if self.part else {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shared:
    """A rule about all records of a noun that have the same values of the members ``by``.

    ``holds`` tells whether their values of ``member`` can stand together; ``description`` says it in words.
    """

    member: str
    by: Sequence[str]
    holds: Callable[[Sequence[Any]], bool]
    description: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """What pages for people show first of a noun. What is not declared here is still shown, only later.

    ``columns`` are the members that a list shows behind the label, and ``filters`` those that its form offers; a noun without
    them has its first short members and its first facets. ``lists`` are the relations whose records follow on a record's page,
    in this order, before all others. ``ranking``: the page shows its awards as rankings, by category. ``map`` are the members
    that put records on a map: the location, and the codes of ISO 3166 of the country and its region, if they have any.
    """

    columns: Sequence[str] = ()
    filters: Sequence[str] = ()
    lists: Sequence[str] = ()
    ranking: bool = False
    map: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Caption:
    """What a record is called if that takes more than one member.

    ``text`` makes it from the document, and from the documents of the records that its members ``of`` refer to; ``of`` has
    the noun of each.
    """

    text: Callable[..., str]
    of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Resource:
    """A noun: its table, its document, its relations, and the order of its lists.

    ``singular``, ``description`` (a sentence) and ``details`` are texts for readers. ``default_sort`` is written as in
    `sort=`; the id is added, so that the order is total. ``label`` is the column that names a record to a reader, and
    ``caption`` calls it something better if that does not tell records apart. ``search`` are the document's fields that full
    text searches, the title first. ``facets`` are the filters whose values can be counted. ``example`` replaces members'
    examples that could not be sent together.

    ``tree`` is the relation to the record that a record is part of; no record is part of itself, through others either.
    ``is_scope``: a feed or a snapshot can be of some records of the noun alone, with all that belongs to them.
    ``belonging`` are the relations to records that belong to whatever the record belongs to.
    ``agree`` maps relations to the member that a record has in common with the related ones. ``shared`` are rules about
    records with values in common. ``unsourced`` are the members that need no citation, because we or the record itself are the
    source. ``judged`` are the lists whose items are our judgement, so that each needs a citation of its own. ``look`` says what
    pages for people show first.
    """

    model: type[Record]
    schema: type[Document]
    singular: str
    description: str
    details: str = ""
    default_sort: str
    label: Column
    caption: Caption | None = None
    relations: Sequence[Relation] = ()
    search: Sequence[str] = ()
    facets: Sequence[str] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    tree: str = ""
    is_scope: bool = False
    belonging: Sequence[str] = ()
    agree: Mapping[str, str] = field(default_factory=dict)
    shared: Sequence[Shared] = ()
    unsourced: Sequence[str] = ()
    judged: Sequence[str] = ()
    look: Look = Look()

    @cached_property
    def name(self) -> str:
        """The plural noun: the path, the table, the OpenAPI tag and the ledger's ``kind``."""
        return str(self.model.__tablename__)

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The fields of the noun's own table, by name; `version` and `updated_at` belong to the ledger."""
        return scalars(self.schema, self.model)

    @cached_property
    def published(self) -> Document:
        """The schema of its documents, made once: that takes longer than to look at it."""
        return self.schema()

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Names of the document's members, in the order of a CSV's columns; `fields=` takes them."""
        return tuple(self.schema().fields)

    def relation(self, name: str) -> Relation | None:
        """Return the relation with the name that `include` uses; None if there is none."""
        return next((relation for relation in self.relations if relation.name == name), None)

    @cached_property
    def tables(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the document's lists of objects, each with the names of the objects' members."""
        lists = {name: member.inner for name, member in self.schema().fields.items() if isinstance(member, fields.List)}
        return {name: tuple(inner.schema.fields) for name, inner in lists.items() if type(inner) is fields.Nested}

    @cached_property
    def facts(self) -> tuple[str, ...]:
        """Names of the members that curators set, and that citations can point to."""
        derived = {name for name, field in self.schema().fields.items() if field.dump_only or field.metadata.get("readOnly")}
        return tuple(name for name in self.members if name not in derived)

    @cached_property
    def derived(self) -> tuple[str, ...]:
        """Names of the members that other records decide."""
        return tuple(name for name in self.members if name not in {*self.facts, *PUBLICATION})


def choices(schema: Schema, place: str = "") -> Iterator[tuple[str, type[Choice]]]:
    """Yield each member of a document that has one of several values, as `metrics.kind` within a part, with the values."""
    for name, member in schema.fields.items():
        inner = getattr(member, "inner", member)
        if isinstance(inner, fields.Enum) and issubclass(inner.enum, Choice):
            yield f"{place}{name}", inner.enum
        elif isinstance(inner, fields.Nested) and not isinstance(inner, fields.Pluck):
            yield from choices(inner.schema, f"{place}{name}.")


def scalars(schema: type[Document | Part], model: type[Base]) -> dict[str, Field]:
    """Return the fields of a schema that have a single value and a column in a table, by name."""
    result: dict[str, Field] = {}
    for name, member in schema().fields.items():
        key = member.attribute or name
        if isinstance(member, Object):
            columns = member.columns(name)
            result |= {
                f"{name}.{below}": _field(f"{name}.{below}", getattr(model, columns[below]), field)
                for below, field in member.schema.fields.items()
            }
        if name in PUBLICATION or key not in class_mapper(model).columns or isinstance(member, fields.List | fields.Nested):
            continue
        result[name] = _field(name, getattr(model, key), member)
    return result


def _field(name: str, column: Column, member: fields.Field[Any]) -> Field:
    description, example = member.metadata["description"], member.metadata["example"]
    return Field(
        name=name,
        column=column,
        type=type_of(member),
        schema=value_schema(member),
        description=description,
        example=example,
    )
