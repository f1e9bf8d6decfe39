"""The page of a record: its facts, how each is known, and what other records say of it."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from api.html import texts, values
from api.html.lists import APART, columns_of, label_member, member_of
from api.html.values import Reader
from api.query.flat import selectable
from api.resources import captions
from api.resources.bases import Basis
from api.schema import pointers
from api.schema.evidence import is_nothing
from api.schema.fields import Prose
from api.schema.resource import Resource

BASES = {basis.value: basis for basis in Basis}


@dataclass(frozen=True)
class Fact:
    """A member with its name, its value as HTML, and the mark that leads to what supports it."""

    label: str
    value: Markup
    mark: Markup
    prose: bool
    is_said: bool


def marker(record: Mapping[str, Any], citations: Sequence[Mapping[str, Any]]) -> Callable[[str], Markup]:
    """Return a function from the pointer of a fact to the mark that says how it is known, and leads to its citations."""
    cited = {citation["field"] for citation in citations}
    bases = record.get("basis", {})

    def mark(pointer: str) -> Markup:
        if pointer not in cited:
            return Markup()
        basis = BASES[bases.get(pointer, "stated")]
        return Markup(' <a class="mark {0}" href="#{1}" title="{2}">{3}</a>').format(
            basis.value, values.anchor(pointer), basis.description, basis.label.lower()
        )

    return mark


def facts(resource: Resource, record: Mapping[str, Any], reader: Reader, chosen: Sequence[str] | None = None) -> Sequence[Fact]:
    """Return the facts of a record: those that were chosen, or all, those that its noun shows first in front."""
    return [
        Fact(
            texts.title(name.replace(".", "_")),
            value(reader, resource, values.pointer_of(name), record[name], record),
            reader.mark(values.pointer_of(name)),
            isinstance(member_of(resource, name), Prose),
            not is_nothing(record[name]),
        )
        for name in _shown(resource, chosen)
        if name in record
    ]


def _shown(resource: Resource, chosen: Sequence[str] | None) -> Sequence[str]:
    if chosen is not None:
        return columns_of(resource, chosen)
    names = [name for name in resource.published.fields if name not in {*APART, label_member(resource)}]
    return [*dict.fromkeys((*resource.look.columns, *names))]


def known(record: Mapping[str, Any], citations: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return how each cited fact is known: its citations, in the order of the record's members."""
    by_field: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for citation in citations:
        by_field[citation["field"]].append(citation)
    order = [*record]
    bases = record.get("basis", {})
    entries = []
    for pointer, rows in sorted(by_field.items(), key=lambda item: (_place(order, item[0]), item[0])):
        basis = BASES[bases.get(pointer, "stated")]
        entries.append(
            {
                "anchor": values.anchor(pointer),
                "label": fact_label(record, pointer),
                "basis": basis.label,
                "description": basis.description,
                "citations": [{**row, "place": captions.place(row)} for row in rows],
            }
        )
    return entries


def _place(order: Sequence[str], pointer: str) -> int:
    name = pointers.tokens(pointer)[0]
    return order.index(name) if name in order else len(order)


def fact_label(record: Mapping[str, Any], pointer: str) -> str:
    """Return what a pointer points to, in words: the member, the number of an item, and its name if it has one."""
    said, value = [], record
    for token in pointers.tokens(pointer):
        try:
            value = pointers.step(value, token)
        except LookupError:
            value = {}
        named = value.get("name") if isinstance(value, Mapping) else None
        said.append(
            str(named) if named else (f"number {int(token) + 1}" if pointers.INDEX.fullmatch(token) else texts.title(token))
        )
    return ", ".join(said)


def value(reader: Reader, resource: Resource, pointer: str, value: Any, record: Mapping[str, Any]) -> Markup:
    """Return a former or a present value of a record's member; a former release may have given it another shape."""
    name = pointers.tokens(pointer)[0]
    if name not in selectable(resource):
        return values.UNKNOWN if value is None else escape(json.dumps(value, ensure_ascii=False))
    try:
        return values.shown(reader, member_of(resource, name), value, record, pointer)
    except (KeyError, TypeError, ValueError, AttributeError):
        return escape(json.dumps(value, ensure_ascii=False))
