"""The page of a list: what it shows, what filters it, and how to change that."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from marshmallow import fields

from api.html import texts, values
from api.html.addresses import Address
from api.html.values import Names, Reader
from api.query.language import Filter, filters
from api.query.order import sortable
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION
from api.schema.choices import label_of
from api.schema.fields import Number, Prose, Reference
from api.schema.operators import split
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
    """A field of the form: a text, or one of several ``options``, which have values and texts."""

    name: str
    label: str
    value: str
    options: Sequence[tuple[str, str]] = ()
    choices: bool = True


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


def columns_of(resource: Resource) -> Sequence[str]:
    """Return the members that a list shows behind the label."""
    if resource.look.columns:
        return resource.look.columns
    schema = resource.published
    short = [
        name
        for name, member in schema.fields.items()
        if name not in {*APART, label_member(resource)} and not isinstance(member, Prose | fields.List | fields.Nested)
    ]
    return short[:FEW]


def facets_of(resource: Resource) -> Sequence[str]:
    """Return the facets that a page of a list counts, and whose values its form offers."""
    chosen = [name for name in resource.look.filters if name in resource.facets]
    return chosen or resource.facets[:FEW]


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
    noun = filtered_noun(resource, filter)
    said = [names.get((noun, value), value) if noun else _value(filter, value) for value in _values(filter, text)]
    return f"{subject} {OPERATORS.get(filter.operator.name, filter.operator.name)} {' or '.join(said)}"


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


def form(resource: Resource, address: Address, facets: Mapping[str, Any]) -> Sequence[Choice]:
    """Return the fields of the form that matter most: the facets, with the number of records of each value."""
    given = dict(address.arguments)
    chosen = []
    for name, facet in facets.items():
        if name not in filters(resource):
            continue
        options = [
            (_written(row["value"]), f"{_facet_label(row)} ({texts.number(row['count'])})")
            for row in facet["values"]
            if row["value"] is not None
        ]
        value = given.get(name, "")
        if value and value not in dict(options):
            options.append((value, value))
        chosen.append(Choice(name, field_label(filters(resource)[name]), value, options))
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
    return str(value)


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


def columns(resource: Resource, address: Address | None = None, without: str = "") -> Sequence[Column]:
    """Return the heads of the columns, with the address that sorts a list by each of them; a part of a list has none."""
    schema, heads = resource.published, []
    for name in (label_member(resource), *columns_of(resource)):
        member = schema.fields[name]
        title = label_of(resource.singular) if name in {"id", label_member(resource)} else texts.title(name)
        numeric = isinstance(member, fields.Integer | Number)
        sort, order = _sorting(resource, address, name) if address and name != "id" else ("", "")
        if name != without:
            heads.append(Column(title, sort, order, numeric))
    return heads


def _sorting(resource: Resource, address: Address, name: str) -> tuple[str, str]:
    """Return the address that sorts a list by a member, or turns that order round, and the order that it has by it now."""
    given = dict(address.arguments)
    now = given.get("sort", "").split(",")[0] or ("" if "q" in given else resource.default_sort.split(",")[0])
    order = "" if now.lstrip("-") != name else "descending" if now.startswith("-") else "ascending"
    turned = f"-{name}" if order == "ascending" else name
    return (str(address.having("sort", turned)) if name in sortable(resource) else ""), order


def rows(resource: Resource, records: Sequence[Mapping[str, Any]], reader: Reader, without: str = "") -> Iterator[Any]:
    """Yield the cells of each record: the link of its label, then its columns; one that all share is left ``without``."""
    schema = resource.published
    for record in records:
        head = values.link(reader, resource.name, record["id"])
        cells = [
            (name, values.shown(reader, schema.fields[name], record.get(name), record) if name in record else Markup())
            for name in columns_of(resource)
            if name != without
        ]
        yield {"head": head, "cells": cells}
