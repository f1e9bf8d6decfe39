"""Records as curators send them: the schemas, and what becomes of a body or a row of a file.

A member that can be null, or is a list, may be left out. What the ledger adds, and what other records decide, can't be sent.
"""

import re
from collections.abc import Iterator, Mapping
from copy import copy
from functools import cache, partial
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate

from api.errors import ErrorList
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import Prose
from api.schema.resource import Resource
from api.schema.strict_json import escaped
from api.schema.validation import Explainer, is_list, without_lists

# Of a text: short enough for every index, and of one made of sentences.
MAX_TEXT, MAX_PROSE = 400, 20_000
# Of a list within a record.
MAX_ITEMS = 500


UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class _Strict:
    """An unknown member is an error, never ignored."""

    unknown = RAISE


@cache
def members(schema: type[Schema]) -> Mapping[str, Any]:
    """Return the fields of a record, or of a part of one, that can be sent, as they are when they are."""
    # marshmallow has no other way to copy a schema with its fields.
    declared = schema._declared_fields  # noqa: SLF001
    return {name: _input(field) for name, field in declared.items() if not (field.dump_only or field.metadata.get("readOnly"))}


@cache
def input_of(schema: type[Schema]) -> type[Schema]:
    """Return the schema of what is sent for a record, or for a part of one."""
    title = schema.__name__.removesuffix("Schema")
    return type(f"{title}InputSchema", (Schema,), {**members(schema), "Meta": _Strict, "__doc__": f"{title} as it is sent."})


@cache
def patch_of(resource: Resource) -> type[Schema]:
    """Return the schema of a JSON Merge Patch (RFC 7396) of a record: any of its members, null for none."""
    found = {name: copy(field) for name, field in members(resource.schema).items() if name != "id"}
    for field in found.values():
        field.allow_none = field.allow_none or not field.required
        field.required, field.load_default = False, missing
    title = resource.singular.title()
    return type(f"{title}PatchSchema", (Schema,), {**found, "Meta": _Strict, "__doc__": f"Changes of a {resource.singular}."})


def _input(field: fields.Field[Any]) -> fields.Field[Any]:
    found = copy(field)
    if is_list(found):
        found.load_default, found.required = list, False
        found.validators = [*found.validators, validate.Length(max=MAX_ITEMS)]
        if isinstance(found, fields.List) and isinstance(found.inner, fields.Nested):
            found.inner = fields.Nested(input_of(type(found.inner.schema)))
    elif found.allow_none:
        found.load_default, found.required = None, False
    if isinstance(found, fields.String):
        found.validators = [*found.validators, validate.Length(min=1, max=MAX_PROSE if isinstance(found, Prose) else MAX_TEXT)]
    return found


@cache
def _schema(resource: Resource) -> Schema:
    """Return the schema that bodies are read by: making one costs more than using it."""
    return input_of(resource.schema)()


def read(resource: Resource, content: Any, wrong: ErrorList, pointer: str = "") -> dict[str, Any] | None:
    """Return what a record's columns and parts are to hold; None where something is wrong, which is then said."""
    schema = _schema(resource)
    if not isinstance(content, dict):
        wrong.add("", "invalid-value", f"The {resource.singular} is to be an object.", pointer=pointer)
        return None
    if broken := [*_unstorable(content, pointer), *without_lists(schema, content, pointer)]:
        for place, problem in broken:
            wrong.add("", "invalid-value", problem, pointer=place)
        return None
    try:
        found: dict[str, Any] = schema.load(content)
    except ValidationError as error:
        messages: Mapping[Any, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        Explainer(wrong, partial(_read_only, resource)).members(schema, messages, content, pointer)
        return None
    broken = list(_broken(resource.schema, found, pointer))
    for place, problem in broken:
        wrong.add("", "invalid-value", problem, pointer=place)
    return None if broken else found


def _read_only(resource: Resource, schema: Schema, name: str) -> str | None:
    """Return why a member of a record cannot be sent; None where there is no such member."""
    if schema is not _schema(resource) or name not in resource.schema._declared_fields:  # noqa: SLF001 - as above
        return None
    return f"`{name}` is set by {'the ledger' if name in PUBLICATION else 'other records'}; leave it out."


def content_of(resource: Resource, data: Mapping[str, Any]) -> Content:
    """Return the document of what `read` returned, with only what can be sent."""
    found: Content = _schema(resource).dump(data)
    return found


def sendable(resource: Resource, document: Content) -> Content:
    """Return of a published document what can be sent."""
    return {name: document[name] for name in members(resource.schema)}


def example_of(resource: Resource) -> Content:
    """Return a record to send: the examples of the members, under names that are not taken."""
    found = {name: field.metadata.get("example") for name, field in members(resource.schema).items()}
    found |= {name: [] for name, field in members(resource.schema).items() if is_list(field)}
    found |= {"id": f"example-{found['id']}"}
    if resource.label.key != "id":
        found[resource.label.key] = f"Example of {found[resource.label.key]}"
    return {**found, **resource.example}


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch, by RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def _broken(schema: type[Schema], row: Mapping[str, Any], pointer: str) -> Iterator[tuple[str, str]]:
    """Yield each rule that does not hold, of a record and of its parts."""
    for rule in getattr(schema, "rules", ()):
        if not rule.holds(row):
            yield f"{pointer}/{rule.member}", f"`{rule.member}` {rule.description}."
    for name, field in members(schema).items():
        if isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
            below = _declared(schema, name)
            for index, item in enumerate(row[name]):
                yield from _broken(below, item, f"{pointer}/{name}/{index}")


def _declared(schema: type[Schema], name: str) -> type[Schema]:
    """Return the schema of the items of a list."""
    inner: fields.Nested = schema._declared_fields[name].inner  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    return type(inner.schema)


def _unstorable(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield each text that no database keeps."""
    if isinstance(value, str):
        if UNSTORABLE.search(value) is None:
            return
        yield pointer, "A text holds no null character and no half of a surrogate pair."
    elif isinstance(value, list | dict):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unstorable(below, f"{pointer}/{escaped(str(key))}")
