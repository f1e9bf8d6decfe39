"""Differences in words: what changed between two documents of a record, member by member."""

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape
from marshmallow import Schema, fields

from api.html import figures, values
from api.html.lists import member_of
from api.html.records import fact_label, value
from api.html.texts import title
from api.html.values import Reader
from api.ledger import history
from api.query.flat import selectable
from api.resources.metrics import MetricSchema
from api.schema.canonical import Content
from api.schema.choices import label_of
from api.schema.evidence import is_nothing
from api.schema.fields import Prose
from api.schema.pointers import tokens
from api.schema.resource import Resource

# Texts of more words, or with less in common, are shown one after the other.
MOST_WORDS, ALIKE = 200, 0.5


@dataclass(frozen=True)
class Difference:
    """A member by its name, and what became of it as HTML: `from 3 to 2`."""

    label: str
    said: Markup


def differences(reader: Reader, resource: Resource, before: Content | None, after: Content | None) -> Iterator[Difference]:
    """Yield what differs between two documents of a noun, in the order of its members.

    Of a record that comes or goes, yield each fact that it has.
    """
    places = {f"/{name}": place for place, name in enumerate(resource.published.fields)}
    rows = history.differences(before or {}, after or {})
    for row in sorted(rows, key=lambda row: places.get(row["pointer"], len(places))):
        pointer, old, new = row["pointer"], row["before"], row["after"]
        if before and after:
            yield Difference(title(pointer[1:]), _of_member(reader, resource, pointer, _Change(old, new, before, after)))
        elif pointer[1:] in resource.facts and pointer != "/id" and not is_nothing(there := new if after else old):
            yield Difference(title(pointer[1:]), value(reader, resource, pointer, there, after or before or {}))


@dataclass(frozen=True)
class _Change:
    """A value before and after, and the objects that have it."""

    old: Any
    new: Any
    before: Content
    after: Content


def _of_member(reader: Reader, resource: Resource, pointer: str, change: _Change) -> Markup:
    """Return what became of a member; a former release may have had other members, and given them other shapes."""
    (name,) = tokens(pointer)
    if name in selectable(resource):
        try:
            return _in_words(reader, member_of(resource, name), change)
        except (KeyError, TypeError, ValueError, AttributeError):
            pass
    old = value(reader, resource, pointer, change.old, change.before)
    return _from_to(change, old, value(reader, resource, pointer, change.new, change.after))


def _in_words(reader: Reader, member: fields.Field[Any], change: _Change) -> Markup:
    if isinstance(member, fields.Dict):
        return _of_bases(change)
    if isinstance(member, fields.List) or (isinstance(member, fields.Nested) and member.many):
        return _of_list(reader, member, change.old or [], change.new or [])
    if isinstance(member, Prose) and change.old and change.new:
        return _of_text(change.old, change.new)
    old = values.shown(reader, member, change.old, change.before)
    return _from_to(change, old, values.shown(reader, member, change.new, change.after))


def _from_to(change: _Change, old: Markup, new: Markup) -> Markup:
    if is_nothing(change.old):
        return Markup("set to {}").format(new)
    if is_nothing(change.new):
        return Markup("no longer known, before: {}").format(old)
    return Markup("from {} to {}").format(old, new)


def _of_bases(change: _Change) -> Markup:
    """Return what became of the bases of facts: those that are plainly stated, or not cited, have none."""
    old, new = change.old or {}, change.new or {}
    said = []
    for pointer in sorted(old.keys() | new.keys()):
        was, now = (label_of(row[pointer]).lower() if pointer in row else "" for row in (old, new))
        became = f"from {was} to {now}" if was and now else f"now {now}" if now else f"no longer {was}"
        if was != now:
            said.append(f"{fact_label(change.after, pointer)}: {became}")
    return escape("; ".join(said))


def _of_text(old: str, new: str) -> Markup:
    """Return a text of sentences with the words that went and those that came."""
    former, present = (re.findall(r"\S+\s*", text) for text in (old, new))
    matcher = difflib.SequenceMatcher(None, [*map(str.strip, former)], [*map(str.strip, present)], autojunk=False)
    if len(former) + len(present) > MOST_WORDS or matcher.ratio() < ALIKE:
        return Markup("from <del>{}</del> to <ins>{}</ins>").format(old, new)
    return Markup().join(
        Markup("{}").format("".join(present[start:end]))
        if tag == "equal"
        else _marked("del", former[first:last]) + _marked("ins", present[start:end])
        for tag, first, last, start, end in matcher.get_opcodes()
    )


def _marked(tag: str, words: Sequence[str]) -> Markup:
    return Markup("<{0}>{1}</{0}> ").format(Markup(tag), "".join(words).strip()) if words else Markup()  # noqa: S704 - it is one of ours


def _of_list(reader: Reader, member: Any, old: Sequence[Any], new: Sequence[Any]) -> Markup:
    """Return which items of a list came, which went, and what became of those that are still called the same."""
    schema, gone, come = _schema_of(member), _without(old, new), _without(new, old)
    former, present = _by_name(schema, gone), _by_name(schema, come)
    both = [name for name in present if name in former]
    changed = [_of_item(reader, schema, former[name], present[name]) for name in both if schema]
    kept = {id(row[name]) for row in (former, present) for name in both}
    verbs = {verb: [item for item in rows if id(item) not in kept] for verb, rows in (("added", come), ("removed", gone))}
    said = [Markup("{} {}").format(verb, _listed(reader, member, items)) for verb, items in verbs.items() if items]
    if not said and not changed:
        return Markup("now in this order: {}").format(_listed(reader, member, new))
    between = Markup("; ") if schema else Markup(", ")
    return between.join([*said, *changed])


def _listed(reader: Reader, member: Any, items: Sequence[Any]) -> Markup:
    """Return items in a sentence; there are commas in objects already."""
    *first, last = [values.item(reader, member, item) for item in items]
    if not first or _schema_of(member):
        return Markup("; ").join([*first, last])
    return Markup(" and ").join([Markup(", ").join(first), last])


def _without(items: Sequence[Any], others: Sequence[Any]) -> Sequence[Any]:
    """Return the items of a list that another one has not, or has less often."""
    left, result = Counter(map(_key, others)), []
    for item in items:
        left[_key(item)] -= 1
        if left[_key(item)] < 0:
            result.append(item)
    return result


def _key(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def _schema_of(member: Any) -> Schema | None:
    """Return the schema of the objects of a list; None if its items are single values."""
    inner = member.inner if isinstance(member, fields.List) else member
    return inner.schema if isinstance(inner, fields.Nested) and not isinstance(inner, fields.Pluck) else None


def _by_name(schema: Schema | None, items: Sequence[Any]) -> Mapping[str, Any]:
    """Return the objects whose first value no other one has, by that value."""
    if schema is None:
        return {}
    first = next(iter(schema.fields))
    counts = Counter(item[first] for item in items)
    return {item[first]: item for item in items if counts[item[first]] == 1}


def _of_item(reader: Reader, schema: Schema, old: Content, new: Content) -> Markup:
    """Return what became of an object of a list, after its name."""
    (first, named), *others = schema.fields.items()
    name = values.shown(reader, named, new[first], new)
    if type(schema) is MetricSchema and figures.said(old) != figures.said(new):
        return Markup("{}: from {} to {}").format(name, figures.said(old), figures.said(new))
    changes = [(title(key), member, _Change(old.get(key), new.get(key), old, new)) for key, member in others]
    said = [
        Markup("{} {}").format(label.lower(), _in_words(reader, member, change))
        for label, member, change in changes
        if change.old != change.new
    ]
    return Markup("{}: {}").format(name, Markup(", ").join(said))
