"""Load JSON through the fields of a schema, and explain what is wrong with it.

Each error item says where the mistake is (JSON Pointer, RFC 6901), what is allowed there, and what was probably meant.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from api.errors import ErrorList, nearest
from api.schema.operators import TYPES, value_schema
from api.schema.pointers import token_of
from api.schema.strict_json import printable

ANYTHING = TYPES["text"].schema["pattern"]
# Only these have a JSON Schema of their own.
SCALARS = (fields.String, fields.Enum, fields.Boolean, fields.Number)


def load(field: fields.Field[Any], value: Any, errors: ErrorList, *, name: str = "", pointer: str = "") -> Any:
    """Return a value as its field loads it; add to ``errors`` what is wrong, and return None then.

    ``name`` is what the error texts call the value, ``pointer`` its place in the body.
    """
    is_no_object = isinstance(field, fields.Nested) and not isinstance(value, dict)
    wrong = [(pointer, f"{_called(name)} is an object.")] if is_no_object else []
    if wrong := wrong or list(_misshapen(field, value, name, pointer)):
        for place, detail in wrong:
            errors.add("", "invalid-value", detail, pointer=place)
        return None
    try:
        return field.deserialize(value)
    except ValidationError as error:
        Explainer(errors).value(field, name, error.messages, value, pointer)
        return None


def is_list(field: fields.Field[Any]) -> bool:
    """Tell whether a field holds a list."""
    return isinstance(field, fields.List) or bool(getattr(field, "many", False))


def misshapen(schema: Schema, content: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, str]]:
    """Yield pointer and detail of each value that must be a list and is none, and of each list that is too long.

    marshmallow would iterate over an object, and validate every item of a list before it measures the list.
    """
    for name, field in schema.fields.items():
        if content.get(name) is not None:
            yield from _misshapen(field, content[name], name, f"{pointer}/{name}")


def _misshapen(field: fields.Field[Any], value: Any, name: str, pointer: str) -> Iterator[tuple[str, str]]:
    if is_list(field) and not isinstance(value, list):
        yield pointer, f"`{name}` is a list."
    elif is_list(field) and len(value) > (most := _most_items(field)):
        yield pointer, f"`{name}` has {len(value)} items; at most {most} are allowed."
    elif isinstance(field, fields.List):
        if isinstance(field.inner, fields.Nested):
            for index, item in enumerate(value):
                yield from _misshapen(field.inner, item, str(index), f"{pointer}/{index}")
    elif isinstance(field, fields.Nested) and not is_list(field) and isinstance(value, dict):
        yield from misshapen(field.schema, value, pointer)


def _most_items(field: fields.Field[Any]) -> int:
    """Return the greatest length of a list that its validators allow."""
    limits = [row.max for row in field.validators if isinstance(row, validate.Length) and row.max is not None]
    return min(limits, default=sys.maxsize)


@dataclass(frozen=True)
class Explainer:
    """Turns marshmallow's messages into error items.

    ``read_only`` says of a schema and an unknown member's name why clients cannot send that member, or returns None.
    """

    errors: ErrorList
    read_only: Callable[[Schema, str], str | None] = lambda _schema, _name: None

    def members(self, schema: Schema, messages: Mapping[Any, Any], content: Mapping[str, Any], pointer: str) -> None:
        """Explain what is wrong with the members of an object, in the order in which they were sent; missing ones come last."""
        places = {name: place for place, name in enumerate(content)}
        for name, below in sorted(messages.items(), key=lambda item: places.get(item[0], len(places))):
            place, field = f"{pointer}/{token_of(str(name))}", schema.fields.get(name)
            if field is None:
                self._unknown(schema, str(name), place)
            else:
                self.value(field, name, below, content.get(name), place)

    def value(self, field: Any, name: str, messages: Any, value: Any, pointer: str) -> None:
        """Explain what is wrong with the value of a field; ``messages`` is a list of texts, or a mapping to those below."""
        if isinstance(messages, Mapping) and is_list(field):
            item = getattr(field, "inner", field)
            for index, below in messages.items():
                self._item(item, f"{name}/{index}".removeprefix("/"), below, value[index], f"{pointer}/{index}")
        else:
            self._item(field, name, messages, value, pointer)

    def _item(self, field: Any, name: str, messages: Any, value: Any, pointer: str) -> None:
        if isinstance(field, fields.Pluck):
            field = field.schema.fields[field.field_name]
        if isinstance(messages, Mapping) and isinstance(field, fields.Nested):
            if isinstance(value, dict):
                self.members(field.schema, messages, value, pointer)
            else:
                self.errors.add("", "invalid-value", f"{_called(name)} is an object.", pointer=pointer)
        else:
            self._scalar(field, name, list(_texts(messages)), value, pointer)

    def _unknown(self, schema: Schema, name: str, pointer: str) -> None:
        names = list(schema.fields)
        if detail := self.read_only(schema, name):
            self.errors.add("", "read-only", detail, pointer=pointer, allowed=names)
        else:
            self.errors.unknown(printable(name), names, "member", parameter="", pointer=pointer)

    def _scalar(self, field: fields.Field[Any], name: str, texts: Sequence[str], value: Any, pointer: str) -> None:
        is_missing = texts[0] == field.error_messages["required"]
        code, detail = ("missing", " is missing.") if is_missing else ("invalid-value", f": {' '.join(texts)}")
        schema = value_schema(field) if isinstance(field, SCALARS) else {}
        bounds = {key: schema[key] for key in ("minimum", "maximum", "pattern") if schema.get(key) not in {None, ANYTHING}}
        allowed = field.metadata.get("allowed") or schema.get("enum") or bounds or None
        suggestion = nearest(value, schema["enum"]) if "enum" in schema and isinstance(value, str) else None
        self.errors.add("", code, f"{_called(name)}{detail}", pointer=pointer, allowed=allowed, suggestion=suggestion)


def _called(name: str) -> str:
    return f"`{name}`" if name else "The body"


def _texts(messages: Any) -> Iterator[str]:
    if isinstance(messages, str):
        yield messages
    else:
        for below in messages.values() if isinstance(messages, Mapping) else messages:
            yield from _texts(below)
