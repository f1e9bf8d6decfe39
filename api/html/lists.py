"""The page of a list: what it shows, what filters it, and how to change that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from marshmallow import fields

from api.html import texts, values
from api.html.addresses import Address
from api.html.values import Names, Reader
from api.query.flat import reachable
from api.query.language import Filter, filters
from api.query.order import is_many, sortable
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION
from api.schema.choices import label_of
from api.schema.fields import Number, Prose, Reference
from api.schema.operators import escape, split
from api.schema.resource import Resource

OPERATORS = {
    "": "is",
    "not": "is not",
    "gt": "is above",
    "gte": "is at least",
    "lt": "is below",
    "lte": "is at most",
    "contains": "contains",
    "startswith": "begins with",
    "month": "is in month",
}
# Members of every record that are shown in their own way, and values of a facet that a page lists.
APART, MOST = {"id", "basis", "attributions", *PUBLICATION}, 8
# The number of columns and of facets of a noun that declares none.
FEW = 4


@dataclass(frozen=True)
class Chip:
    """A condition of the list in words, and the address of the list without it."""

    text: str
    remove: str


@dataclass(frozen=True)
class Choice:
    """A field of the form: an input of some ``type``, or one of several ``options``, which have values and texts."""

    name: str
    label: str
    value: str
    options: Sequence[tuple[str, str]] = ()
    choices: bool = True
    type: str = "text"


@dataclass(frozen=True)
class Column:
    """The head of a column; ``sort`` is the address of the list in its order, ``order`` says how it is sorted now."""

    label: str
    sort: str = ""
    order: str = ""
    numeric: bool = False


def label_member(resource: Resource) -> str:
    """Return the member that names a record."""
    return str(resource.label.key)


def columns_of(resource: Resource, chosen: Sequence[str] | None = None) -> Sequence[str]:
    """Return the members that a list shows behind the label: those that were chosen, or else those that its noun declares."""
    if chosen is not None:
        return [name for name in chosen if name not in {"id", label_member(resource)}]
    if resource.look.columns:
        return resource.look.columns
    schema = resource.published
    short = [
        name
        for name, member in schema.fields.items()
        if name not in {*APART, label_member(resource)} and not isinstance(member, Prose | fields.List | fields.Nested)
    ]
    return short[:FEW]


def member_of(resource: Resource, name: str) -> fields.Field[Any]:
    """Return how a member of a record is declared, or one of a related record, by its dotted name."""
    if name not in reachable(resource):
        return resource.published.fields[name]
    relation, member = reachable(resource)[name]
    if is_many(relation):
        return fields.Integer()
    return Reference(relation.to) if member == "id" else BY_NAME[relation.to or ""].published.fields[member]


def references(resource: Resource, record: Mapping[str, Any], chosen: Sequence[str] | None = None) -> Iterator[tuple[str, str]]:
    """Yield the noun and id of each record that a record refers to, or that its chosen fields of related records are."""
    related = {name: member_of(resource, name) for name in chosen or () if name in reachable(resource)}
    return values.references({**resource.published.fields, **related}, record)


def facets_of(resource: Resource) -> Sequence[str]:
    """Return the facets that a page of a list counts, and whose values its form offers."""
    return resource.look.filters or resource.facets[:FEW]


def filtered_noun(resource: Resource, filter: Filter) -> str | None:
    """Return the noun whose ids are the values of a filter; None if they are no ids."""
    if filter.whole:
        return filter.path[-1].to
    owner = BY_NAME[filter.path[-1].to or ""] if filter.path and filter.path[-1].to and not filter.linked else resource
    member = owner.published.fields.get(filter.field.name)
    return member.noun if isinstance(member, Reference) else None


def wanted(resource: Resource, arguments: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the noun and id of each record that the conditions of a list name."""
    for name, text in arguments:
        if (filter := filters(resource).get(name)) and (noun := filtered_noun(resource, filter)):
            yield from ((noun, id) for id in _values(filter, text))


def chips(resource: Resource, address: Address, names: Names) -> Iterator[Chip]:
    """Yield the conditions of a list in words."""
    for name, text in address.arguments:
        filter = filters(resource).get(name)
        if filter:
            said = _condition(resource, filter, text, names)
        elif name == "q":
            said = f"with the words “{text}”"
        elif name == "filter":
            said = "matches a filter in JSON"
        else:
            continue
        yield Chip(said, str(address.without(name, "cursor")))


def _condition(resource: Resource, filter: Filter, text: str, names: Names) -> str:
    subject = field_label(filter)
    if filter.operator.name == "isnull":
        return f"{subject} {'is not known' if text == 'true' else 'is known'}"
    said = _said(resource, filter, text, names)
    return f"{subject} {OPERATORS.get(filter.operator.name, filter.operator.name)} {said}"


def _said(resource: Resource, filter: Filter, text: str, names: Names) -> str:
    """Return the values of a filter in words."""
    noun = filtered_noun(resource, filter)
    return " or ".join(names.get((noun, value), value) if noun else _value(filter, value) for value in _values(filter, text))


def _values(filter: Filter, text: str) -> Sequence[str]:
    return split(text) if filter.operator.many else [text]


def _value(filter: Filter, text: str) -> str:
    if filter.type.name == "choice":
        return label_of(text)
    if filter.type.name == "reference":
        return texts.slug(text)
    if filter.type.name == "flag":
        return "yes" if text == "true" else "no"
    return texts.date(text) if filter.type.name == "date" and text[:4].isdigit() else text


def field_label(filter: Filter) -> str:
    """Return the name of what a filter is about."""
    return texts.title(filter.name.split("__")[0].replace(".", "_"))


def form(resource: Resource, address: Address, facets: Mapping[str, Any], names: Names) -> Sequence[Choice]:
    """Return the fields of the form that matter most: the facets, with the number of records of each value.

    Several values that the address has are one more option.
    """
    given = dict(address.arguments)
    chosen = []
    for name, facet in facets.items():
        if not (filter := filters(resource).get(name)):
            continue
        options = [
            (_written(row["value"]), f"{_facet_label(row)} ({texts.number(row['count'])})")
            for row in facet["values"]
            if row["value"] is not None
        ]
        value = given.get(name, "")
        if value and value not in dict(options):
            options.append((value, _said(resource, filter, value, names)))
        chosen.append(Choice(name, field_label(filter), value, options))
    return chosen


def more(resource: Resource, address: Address, shown: Sequence[str]) -> Sequence[Choice]:
    """Return the other fields of the form: the noun's own members that have one value, but for ids."""
    given, chosen = dict(address.arguments), []
    operators = {"text": "contains", "prose": "contains", "number": "gte", "whole": "gte", "date": "gte"}
    for member in resource.fields:
        filter = filters(resource).get(member)
        kind = resource.fields[member].type.name
        operator = operators.get(kind, "")
        name = f"{member}__{operator}" if operator else member
        row = filters(resource).get(name)
        if member in {*APART, *shown} or row is None or kind == "reference":
            continue
        options: Sequence[tuple[str, str]] = ()
        if kind == "choice" and filter:
            options = [(value, label_of(value)) for value in filter.schema.get("enum", ())]
        elif kind == "flag":
            options = [("true", "Yes"), ("false", "No")]
        said = {"gte": ", at least", "contains": " contains"}.get(operator, "")
        chosen.append(Choice(name, texts.title(member) + said, given.get(name, ""), options, choices=bool(options)))
    return chosen


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def _facet_label(row: Mapping[str, Any]) -> str:
    if isinstance(row["value"], bool):
        return "Yes" if row["value"] else "No"
    return str(row["label"] or ("not known" if row["value"] is None else _plain(row["value"])))


def _plain(value: Any) -> str:
    return texts.number(value) if isinstance(value, int | float) else texts.slug(str(value))


def bars(resource: Resource, facets: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the facets as tables with bars: the widths are in percent of the most frequent value."""
    for name, facet in facets.items():
        rows = [row for row in facet["values"] if row["count"] or row["selected"]]
        rows.sort(key=lambda row: not row["selected"])
        if len(rows) < 2 and not any(row["selected"] for row in rows):  # noqa: PLR2004 - one value is no choice
            continue
        top = max((row["count"] for row in rows), default=0) or 1
        said = [
            {
                "label": _facet_label(row),
                "count": texts.number(row["count"]),
                "width": round(100 * row["count"] / top, 1),
                "selected": row["selected"],
                "address": row["remove"] if row["selected"] else row["add"],
            }
            for row in rows[:MOST]
        ]
        title = field_label(filters(resource)[name]) if name in filters(resource) else label_of(name)
        yield {"name": name, "label": title, "rows": said, "more": facet["more"] or len(rows) > MOST}


def columns(resource: Resource, names: Sequence[str], address: Address | None = None) -> Sequence[Column]:
    """Return the heads of the label and of these columns, with the address that sorts a list by each.

    A part of a list has no address.
    """
    heads = []
    for name in (label_member(resource), *names):
        title = label_of(resource.singular) if name == label_member(resource) else texts.title(name.replace(".", "_"))
        numeric = isinstance(member_of(resource, name), fields.Integer | Number)
        sort, order = _sorting(resource, address, name) if address and name != "id" else ("", "")
        heads.append(Column(title, sort, order, numeric))
    return heads


def _sorting(resource: Resource, address: Address, name: str) -> tuple[str, str]:
    """Return the address that sorts a list by a member, or turns that order round, and the order that it has by it now."""
    given = dict(address.arguments)
    now = given.get("sort", "").split(",")[0] or ("" if "q" in given else resource.default_sort.split(",")[0])
    order = "" if now.lstrip("-") != name else "descending" if now.startswith("-") else "ascending"
    turned = f"-{name}" if order == "ascending" else name
    return (str(address.having("sort", turned)) if name in sortable(resource) else ""), order


def rows(
    resource: Resource, names: Sequence[str], records: Sequence[Mapping[str, Any]], reader: Reader
) -> Iterator[Mapping[str, Any]]:
    """Yield the cells of each record: the link of its label, then these columns."""
    members = [(name, member_of(resource, name)) for name in names]
    for record in records:
        cells = [
            (name, values.shown(reader, member, record.get(name), record) if name in record else Markup())
            for name, member in members
        ]
        yield {"head": values.link(reader, resource.name, record["id"]), "cells": cells}
