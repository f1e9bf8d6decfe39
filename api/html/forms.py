"""Forms for the records of any noun, made from its schema; and what was entered in one, as a record.

A form is a mapping from the names of its inputs to their texts: `title`, `location-latitude`, `metrics-0-name`. A list of texts
is one input with a line for each.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from marshmallow import fields

from api.editing.inputs import MAX_ITEMS, members
from api.schema.canonical import Content
from api.schema.choices import label_of
from api.schema.fields import Object, Prose, Reference
from api.schema.pointers import token_of
from api.schema.resource import Resource
from api.schema.validation import is_list

Texts = Mapping[str, str]
Fields = Mapping[str, Any]
# Rows for new items of a list, below those that it has.
BLANK_ROWS = 2
# The numbers of JSON (RFC 8259, 6), also with zeros or a plus in front.
NUMBER = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
YES_OR_NO = {"yes": True, "no": False}


@dataclass(frozen=True)
class Control:
    """An input of a form; ``kind`` is `line`, `prose`, `lines` or `choice`, and ``noun`` that of the records it refers to."""

    name: str
    member: str
    label: str
    kind: str
    text: str
    hint: str
    required: bool = False
    options: Sequence[tuple[str, str]] = ()
    noun: str | None = None
    errors: Sequence[str] = ()


@dataclass(frozen=True)
class Section:
    """A member of a record: one input, or the rows of a list or an object, each with its inputs."""

    name: str
    label: str
    hint: str
    rows: Sequence[Sequence[Control]]
    is_list: bool = False
    errors: Sequence[str] = ()

    @property
    def control(self) -> Control | None:
        """The only input of a member that is a single value."""
        return self.rows[0][0] if self.rows and self.rows[0][0].name == self.name else None


@dataclass
class Entered:
    """What was entered in a form: the record, and the input in which the value of each JSON Pointer was entered."""

    document: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)

    def input_at(self, pointer: str) -> str:
        """Return the name of the input for a pointer, or for what contains it; empty if there is none."""
        while pointer and pointer not in self.inputs:
            pointer = pointer.rpartition("/")[0]
        return self.inputs.get(pointer, "")


# --- records as texts


def texts_of(resource: Resource, document: Content) -> dict[str, str]:
    """Return the texts of a form that shows a record, or the start of one."""
    return dict(_texts(members(resource.schema), document, ""))


def _texts(schema: Fields, values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for member, spec in schema.items():
        value, name = values.get(member), prefix + member
        if (below := _items(spec)) is not None:
            for index, item in enumerate(value or ()):
                yield from _texts(below, item, f"{name}-{index}-")
        elif isinstance(spec, Object):
            yield from _texts(spec.schema.fields, value or {}, f"{name}-")
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)


def _items(spec: Any) -> Fields | None:
    """Return the fields of the items of a list of objects; None of any other member."""
    is_of_objects = isinstance(spec, fields.List) and isinstance(spec.inner, fields.Nested)
    return spec.inner.schema.fields if is_of_objects else None


def said(value: Any) -> str:
    """Return a member's value as a text to read, with a line for each item of a list."""
    if isinstance(value, list):
        return "\n".join(map(said, value))
    if isinstance(value, dict):
        return ", ".join(f"{label_of(name)}: {said(below)}" for name, below in value.items() if below not in (None, []))
    return _text(value)


# --- texts as a record


def entered(resource: Resource, texts: Texts) -> Entered:
    """Return what was entered. What cannot be read, such as a number with letters, stays a text, which the API explains."""
    result = Entered({})
    result.document = _document(members(resource.schema), texts, "", "", result.inputs)
    return result


def _document(schema: Fields, texts: Texts, prefix: str, pointer: str, inputs: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for member, spec in schema.items():
        name, place = prefix + member, f"{pointer}/{token_of(member)}"
        inputs[place] = name
        if (below := _items(spec)) is not None:
            rows = [row for row in _rows(texts, name) if _is_filled(texts, f"{name}-{row}-")]
            document[member] = [
                _document(below, texts, f"{name}-{row}-", f"{place}/{number}", inputs) for number, row in enumerate(rows)
            ]
        elif isinstance(spec, Object):
            is_filled = _is_filled(texts, f"{name}-")
            document[member] = _document(spec.schema.fields, texts, f"{name}-", place, inputs) if is_filled else None
        else:
            text = texts.get(name, "").replace("\r\n", "\n").strip()
            if text or is_list(spec) or not spec.required:
                document[member] = _value(spec, text)
    return document


def _rows(texts: Texts, name: str) -> Sequence[int]:
    """Return the numbers of the rows of a list that a form has."""
    numbers = {int(match[1]) for key in texts if (match := re.match(rf"{re.escape(name)}-([0-9]{{1,4}})-", key))}
    return sorted(numbers)[: MAX_ITEMS + 1]


def _is_filled(texts: Texts, prefix: str) -> bool:
    return any(text.strip() for name, text in texts.items() if name.startswith(prefix))


def _value(spec: Any, text: str) -> Any:
    if is_list(spec):
        return [line.strip() for line in text.split("\n") if line.strip()]
    if not text:
        return None
    if isinstance(spec, fields.Boolean):
        return YES_OR_NO.get(text, text)
    return _number(text) if isinstance(spec, fields.Number) else text


def _number(text: str) -> Any:
    if not NUMBER.fullmatch(text):
        return text
    number = Decimal(text)
    if number == number.to_integral_value() and abs(number.adjusted()) < 20:  # noqa: PLR2004 - digits
        return int(number)
    # A number with more digits than a float has, or too large for one, would be another number.
    return float(number) if Decimal(repr(float(number))) == number else text


# --- forms


def sections(resource: Resource, texts: Texts, errors: Mapping[str, Sequence[str]], *, more: bool) -> Sequence[Section]:
    """Return the form of a noun; ``errors`` are sentences by the names of inputs, and of members.

    Each list has some rows to fill, below those that are filled, or below all that the form had if there are to be ``more``.
    """
    return [_section(member, spec, texts, errors, more=more) for member, spec in members(resource.schema).items()]


def _section(member: str, spec: Any, texts: Texts, errors: Mapping[str, Sequence[str]], *, more: bool) -> Section:
    label, hint = _label(member), _hint(spec)
    if (below := _items(spec)) is not None:
        filled = [row for row in _rows(texts, member) if more or _is_filled(texts, f"{member}-{row}-")]
        last = max(filled, default=-1)
        # A form that was not sent from our page can have any row number.
        numbers = sorted({*range(min(last + 1, MAX_ITEMS) + BLANK_ROWS), *filled})
        rows = [_controls(below, f"{member}-{number}-", texts, errors) for number in numbers]
        return Section(member, label, hint, rows, is_list=True, errors=errors.get(member, ()))
    if isinstance(spec, Object):
        rows = [_controls(spec.schema.fields, f"{member}-", texts, errors)]
        return Section(member, label, hint, rows, errors=errors.get(member, ()))
    return Section(member, label, hint, [[_control(member, member, spec, texts, errors)]])


def _controls(schema: Fields, prefix: str, texts: Texts, errors: Mapping[str, Sequence[str]]) -> Sequence[Control]:
    return [_control(prefix + member, member, spec, texts, errors) for member, spec in schema.items()]


def _control(name: str, member: str, spec: Any, texts: Texts, errors: Mapping[str, Sequence[str]]) -> Control:
    options: Sequence[tuple[str, str]] = ()
    if isinstance(spec, fields.Enum):
        options = [(value.value, label_of(value.value)) for value in spec.enum]
    elif isinstance(spec, fields.Boolean):
        options = [(value, value.capitalize()) for value in YES_OR_NO]
    kind = "choice" if options else "lines" if is_list(spec) else "prose" if isinstance(spec, Prose) else "line"
    return Control(
        name=name,
        member=member,
        label=_label(member),
        kind=kind,
        text=texts.get(name, ""),
        hint=_hint(spec),
        required=spec.required and not is_list(spec),
        options=options,
        noun=_noun(spec),
        errors=errors.get(name, ()),
    )


def _label(member: str) -> str:
    return "Id" if member == "id" else label_of(member)


def _hint(spec: Any) -> str:
    """Return what a member is, with an example if it has no choices."""
    description, example = spec.metadata["description"], spec.metadata.get("example")
    is_said = isinstance(spec, fields.Enum | fields.Boolean | Prose) or isinstance(example, list | dict | None)
    return description if is_said else f"{description} Example: `{example}`"


def _noun(spec: Any) -> str | None:
    """Return the noun of the records that a member refers to; None if it refers to none, or to records of several nouns."""
    if isinstance(spec, fields.Pluck):
        spec = next(iter(spec.schema.fields.values()))
    return spec.noun if isinstance(spec, Reference) else None
