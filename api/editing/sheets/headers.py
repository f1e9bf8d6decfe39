"""Headers: which row of a sheet names its columns, and which member each column is."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from typing import Any

from marshmallow import fields

from api.editing.inputs import members
from api.editing.sheets.grids import Row
from api.errors import nearest
from api.ledger.index.matching import spelled
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION
from api.schema.fields import Object, Reference
from api.schema.resource import Resource

# What a column is called here that is left out.
NOTHING = ""
# Columns that are no member for which a similar one is looked up.
MOST_GUESSED = 100


@dataclass(frozen=True)
class Kind:
    """What the rows of a sheet are: records of a noun, or items of one of its lists."""

    noun: Resource
    part: str = ""

    def __str__(self) -> str:
        """Return the name of a file or a sheet of it."""
        return f"{self.noun.name}.{self.part}" if self.part else self.noun.name


@cache
def kinds() -> Mapping[str, Kind]:
    """Return all kinds of sheets by their spelled names, singular and plural."""
    result = {}
    for noun in BY_NAME.values():
        for name in (noun.name, noun.singular):
            result[spelled(name)] = Kind(noun)
            result |= {spelled(f"{name}.{part}"): Kind(noun, part) for part in parts_of(noun)}
    return result


def kind_of(name: str) -> Kind | None:
    """Return the kind of sheet that a name of a sheet or a file says; None if it says none."""
    return kinds().get(spelled(name))


@cache
def parts_of(noun: Resource) -> Mapping[str, Sequence[str]]:
    """Return the lists of objects that curators set, each with the members of its objects."""
    return {name: columns for name, columns in noun.tables.items() if name in members(noun.schema)}


@cache
def targets(kind: Kind) -> Mapping[str, str]:
    """Return what columns can be, by spelled name: members, members of related records, and what the noun calls itself."""
    noun = kind.noun
    if kind.part:
        names = ["id", *parts_of(noun)[kind.part], *PUBLICATION]
        return {spelled(name): name for name in names} | {spelled(noun.singular): "id", spelled(f"{noun.singular}_id"): "id"}
    known = {**noun.schema().fields, **members(noun.schema)}
    result = {spelled(name): name for name in known}
    for name, member in known.items():
        if isinstance(member, Object):
            result |= {spelled(f"{name}.{below}"): f"{name}.{below}" for below in member.schema.fields}
    related: dict[str, list[str]] = {}
    for name, member in known.items():
        if isinstance(member, Reference) and member.noun and name != "parent":
            for below in BY_NAME[member.noun].fields:
                if "." not in below and below != "id":
                    result[spelled(f"{name}.{below}")] = f"{name}.{below}"
                    related.setdefault(spelled(below), []).append(f"{name}.{below}")
    # `State` of an award is that of its city, since no other record of it has one.
    result = {name: path for name, (path, *more) in related.items() if not more} | result
    if noun.label.key != "id":
        result = {spelled(noun.singular): noun.label.key} | result
    return result


@cache
def reading_order() -> Mapping[str, int]:
    """Return the places of the nouns in an order in which each comes after those that its records name."""
    named = {name: {*_named(members(noun.schema).values())} - {name} for name, noun in BY_NAME.items()}
    return {name: place for place, name in enumerate(TopologicalSorter(named).static_order())}


def _named(fields_: Iterable[fields.Field[Any]]) -> Iterator[str]:
    """Yield the nouns whose records fields refer to."""
    for field in fields_:
        item = field.inner if isinstance(field, fields.List) and not isinstance(field, fields.Pluck) else field
        if isinstance(item, fields.Nested):
            yield from _named(item.schema.fields.values())
        elif isinstance(item, Reference) and item.noun:
            yield item.noun


def named_in(kind: Kind, columns: Mapping[str, str]) -> Iterator[str]:
    """Yield the nouns whose records the rows of a sheet can name: by columns, by hints, and those that need an id."""
    if kind.part or "id" not in columns:
        yield kind.noun.name
    known = {**members(kind.noun.schema)}
    if kind.part:
        known = known[kind.part].inner.schema.fields
    yield from _named(known[name] for name in {column.partition(".")[0] for column in columns} if name in known)


@dataclass
class Header:
    """The header of a sheet: its row and width, the member of each column by its place, and the name of each by its member.

    ``unknown`` are columns that are no member, each with the name that was probably meant. ``unnamed`` are the places of those
    without a name.
    """

    row: int
    width: int = 0
    columns: dict[int, str] = dataclasses.field(default_factory=dict)
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    unknown: dict[str, str | None] = dataclasses.field(default_factory=dict)
    twice: list[str] = dataclasses.field(default_factory=list)
    unnamed: set[int] = dataclasses.field(default_factory=set)


def find(kind: Kind, head: Sequence[Row], mapping: Mapping[str, str]) -> Header | None:
    """Return the header among the first rows of a sheet: the row with the most columns that are known; None without any."""
    known = targets(kind)
    mapped = {spelled(name): target for name, target in mapping.items() if target in {*known.values(), NOTHING}}

    def fitness(row: Row) -> int:
        return len({spelled(str(cell)) for cell in row[1]} & ({*known, *mapped} - {""}))

    best = max(head, key=fitness, default=None)
    if best is None or fitness(best) == 0:
        return None
    header = Header(best[0], max(place for place, cell in enumerate(best[1], 1) if str(cell).strip()))
    for place, cell in enumerate(best[1]):
        name = str(cell).strip()
        target = mapped.get(spelled(name), known.get(spelled(name)))
        if not name:
            header.unnamed.add(place)
        if not name or target == NOTHING:
            continue
        if target is None:
            header.unknown[name] = nearest(name, known.values()) if len(header.unknown) < MOST_GUESSED else None
        elif target in header.names:
            header.twice.append(name)
        else:
            header.columns[place] = target
            header.names[target] = name
    return header
