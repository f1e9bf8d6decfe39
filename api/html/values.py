"""Values as people read them: numbers, dates, references by name, and lists of objects in words."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape
from marshmallow import Schema, fields

from api.html import figures
from api.html.texts import date, number, slug, title
from api.resources.metrics import MetricSchema
from api.schema.choices import label_of
from api.schema.fields import SLUG, Date, Object, Pattern, Reference
from api.schema.pointers import INDEX, token_of, tokens
from api.schema.resource import Resource

# Objects of at most this number of values are shown without the names of these.
PLAIN = 2
# The names of records, by noun and id.
Names = Mapping[tuple[str, str], str]
UNKNOWN = Markup('<span class="unknown">not known</span>')


@dataclass(frozen=True)
class Reader:
    """What a page knows when it shows values: names of records, the path before all links, and the mark of a fact.

    ``gone`` are records that were deleted: links to them lead to their histories.
    """

    names: Names
    root: str = ""
    mark: Callable[[str], Markup] = field(default=lambda _: Markup())
    gone: Collection[tuple[str, str]] = ()

    def address(self, noun: str, id: str) -> str:
        """Return the address of a record."""
        return f"{self.root}/{noun}/{id}{'/history' if (noun, id) in self.gone else ''}"


def link(reader: Reader, noun: str, id: str) -> Markup:
    """Return a link to a record, by its name."""
    # A page has hundreds of these, and Markup.format takes three times as long.
    name = reader.names.get((noun, id), id)
    return Markup(f'<a href="{escape(reader.address(noun, id))}">{escape(name)}</a>')  # noqa: S704 - all is escaped


def shown(reader: Reader, member: fields.Field[Any], value: Any, record: Mapping[str, Any], pointer: str = "") -> Markup:
    """Return a value of a record's member as HTML; ``pointer`` is its place in the record, for the marks of items of a list."""
    if value is None:
        return UNKNOWN
    if isinstance(member, fields.List) or (isinstance(member, fields.Nested) and member.many):
        return _listed(reader, member, value, pointer)
    if isinstance(member, fields.Nested):
        return Markup(", ").join(_parts(reader, member.schema, value))
    if isinstance(member, Reference):
        return link(reader, member.noun or record[member.kind], value)
    if isinstance(member, fields.Dict):
        return escape(", ".join(f"{_words(fields.String(), key)}: {label_of(said).lower()}" for key, said in value.items()))
    return _text(member, value)


def _text(member: fields.Field[Any], value: Any) -> Markup:
    """Return a single value that is no reference."""
    if isinstance(value, str) and re.match(r"https?://", value):
        return Markup('<a href="{0}" rel="external">{0}</a>').format(value)
    return escape(_words(member, value))


def _words(member: fields.Field[Any], value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(member, fields.Enum):
        return label_of(value)
    if isinstance(member, Date):
        return date(value)
    if value.startswith("/"):
        return ", ".join(f"number {int(token) + 1}" if INDEX.fullmatch(token) else title(token) for token in tokens(value))
    is_slug = any(isinstance(rule, Pattern) and rule.regex.pattern == SLUG for rule in member.validators)
    return slug(value) if is_slug else str(value)


def _listed(reader: Reader, member: Any, values: Sequence[Any], pointer: str) -> Markup:
    if not values:
        return Markup('<span class="unknown">none</span>')
    items = [item(reader, member, value) + reader.mark(f"{pointer}/{n}") for n, value in enumerate(values)]
    if len(items) == 1:
        return items[0]
    return Markup("<ul>{}</ul>").format(Markup().join(Markup("<li>{}</li>").format(one) for one in items))


def item(reader: Reader, member: Any, value: Any) -> Markup:
    """Return an item of a list as HTML."""
    if isinstance(member, fields.Pluck):
        inner = member.schema.fields[member.field_name]
        return shown(reader, inner, value, {})
    inner = member.inner if isinstance(member, fields.List) else member
    if isinstance(inner, fields.Nested):
        if type(inner.schema) is MetricSchema:
            return escape(figures.in_words(value))
        return Markup(", ").join(_parts(reader, inner.schema, value))
    return shown(reader, inner, value, {})


def _parts(reader: Reader, schema: Schema, row: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield what an object says: its references, then its other values, with their names if there are several."""
    members = sorted(schema.fields.items(), key=lambda pair: not isinstance(pair[1], Reference))
    told = [(name, member, row[name]) for name, member in members if row.get(name) not in (None, [])]
    for name, member, value in told:
        if isinstance(value, list):
            said = Markup(" and ").join(item(reader, member, one) for one in value)
        else:
            said = shown(reader, member, value, row)
        yield Markup("{}: {}").format(title(name), said) if len(told) > PLAIN else said


def references(members: Mapping[str, fields.Field[Any]], row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the noun and id of each record that these members of a document refer to."""
    for name, member in members.items():
        value = row.get(name)
        if value is None:
            continue
        if isinstance(member, Reference):
            yield member.noun or row[member.kind], value
        elif isinstance(member, fields.Pluck):
            inner = member.schema.fields[member.field_name]
            if isinstance(inner, Reference):
                yield from ((inner.noun or "", id) for id in value)
        elif isinstance(member, Object):
            continue
        elif isinstance(inner := getattr(member, "inner", member), fields.Nested):
            # A former release may have had other items here.
            for below in (item for item in value if isinstance(item, Mapping)):
                yield from references(inner.schema.fields, below)


def subject(resource: Resource, record: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the noun and id of the record that another one is about; None if records of its noun are about none."""
    members = resource.published.fields.items()
    about = [(member.kind, name) for name, member in members if isinstance(member, Reference) and not member.noun]
    if not about or not record:
        return None
    kind, name = about[0]
    return record[kind], record[name]


def anchor(pointer: str) -> str:
    """Return the id of the place on a page that says how a fact is known."""
    return "known" + "-".join(re.sub(r"[^a-z0-9]+", "-", token.lower()) for token in pointer.split("/"))


def pointer_of(name: str) -> str:
    """Return the JSON Pointer of a member."""
    return f"/{token_of(name)}"
