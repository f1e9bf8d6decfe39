"""Records as curators send them: their schemas, and how a body or a record of a file is read and checked.

A member that can be null, or that is a list, may be left out. Members that the ledger adds, or that other records decide,
cannot be sent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache, partial
from typing import Any, cast

from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate

from api.errors import ErrorList
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import Name, Object, Prose
from api.schema.pointers import token_of
from api.schema.quick import Quick
from api.schema.resource import Resource
from api.schema.validation import Explainer, is_list, misshapen

# Characters of a text, which every index has room for, and of one made of sentences.
MAX_TEXT, MAX_PROSE = 400, 20_000
# Items of a list within a record.
MAX_ITEMS = 500
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
NOT_STORABLE = "A text cannot contain a null character or half of a surrogate pair."
# The JSON Pointer of a fault, and a sentence about it.
InputFault = tuple[str, str]


def _check_storable(text: str) -> None:
    if UNSTORABLE.search(text):
        raise ValidationError(NOT_STORABLE)


# The reason of a change: its characters, and the checks of one that is sent.
MAX_MESSAGE = 500
MESSAGE_CHECKS = (validate.Length(max=MAX_MESSAGE), _check_storable)


class Input(Schema):
    """Turns the fields of a published document into those of a record that is sent."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002 - marshmallow's interface
        """Limit the length of texts and lists, and give members that may be left out a default."""
        if is_list(field_obj):
            field_obj.load_default, field_obj.required = list, False
            field_obj.validators = [*field_obj.validators, validate.Length(max=MAX_ITEMS)]
            if isinstance(field_obj, fields.List) and isinstance(field_obj.inner, fields.Nested):
                field_obj.inner = fields.Nested(input_of(type(field_obj.inner.schema)))
        elif field_obj.allow_none:
            field_obj.load_default, field_obj.required = None, False
        if isinstance(field_obj, fields.Pluck | Object):
            # Its `schema` is made from this when it is first read.
            field_obj.nested = input_of(cast("type[Schema]", field_obj.nested))
        if isinstance(field_obj, Name):
            field_obj.is_sent = True
        if isinstance(field_obj, fields.String):
            most = MAX_PROSE if isinstance(field_obj, Prose) else MAX_TEXT
            field_obj.validators = [*field_obj.validators, validate.Length(min=1, max=most)]


class _Patch(Schema):
    """Makes every member optional; null removes one that has a default."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Require nothing, and give nothing a default."""
        super().on_bind_field(field_name, field_obj)
        field_obj.allow_none = field_obj.allow_none or not field_obj.required
        field_obj.required, field_obj.load_default = False, missing


def _strict(*excluded: str) -> type:
    """Return the options of a schema that lacks some fields and refuses unknown members."""
    return type("Meta", (), {"unknown": RAISE, "exclude": excluded})


@cache
def input_of(schema: type[Schema]) -> type[Schema]:
    """Return the schema of a record, or of a part of one, as it is sent; ``schema`` is that of the published document."""
    title = schema.__name__.removesuffix("Schema")
    derived = [name for name, field in schema().fields.items() if field.dump_only or field.metadata.get("readOnly")]
    namespace = {"Meta": _strict(*derived), "__doc__": f"{title} as it is sent."}
    return type(f"{title}InputSchema", (Input, schema), namespace)


@cache
def patch_of(resource: Resource) -> type[Schema]:
    """Return the schema of a JSON Merge Patch (RFC 7396) of a record: any of its members but the id, null to remove one."""
    whole = input_of(resource.schema)
    excluded = {*resource.schema().fields} - {*whole().fields} | {"id"}
    namespace = {"Meta": _strict(*excluded), "__doc__": f"Changes of a {resource.singular}."}
    return type(f"{resource.singular.title()}PatchSchema", (_Patch, whole), namespace)


@cache
def members(schema: type[Schema]) -> Mapping[str, Any]:
    """Return the fields of a record, or of a part of one, that can be sent, by name."""
    return input_of(schema)().fields


@cache
def _schema(resource: Resource) -> Schema:
    """Return the schema that reads the bodies of a noun; making one costs more than using it."""
    return input_of(resource.schema)()


@cache
def _quick(resource: Resource) -> Quick:
    return Quick(_schema(resource), _check_storable)


def read(resource: Resource, content: Any, errors: ErrorList, pointer: str = "") -> dict[str, Any] | None:
    """Return a record's values, by the names of its columns and parts; None if it has errors, which are added to the list.

    ``pointer`` is the JSON Pointer of the record in the body.
    """
    try:
        data: dict[str, Any] | None = _quick(resource).load(content)
    except (ValidationError, TypeError):
        data = _load(resource, content, errors, pointer)
    faults = [] if data is None else list(_broken_rules(_schema(resource), data, pointer))
    _add(errors, faults)
    return None if faults else data


def salvaged(resource: Resource, content: Any, wrong: AbstractSet[str]) -> dict[str, Any] | None:
    """Return the values of a record's other members if these are ``wrong``; null or empty where there is none, None if all are.

    What such a record refers to can be checked together with what is wrong.
    """
    schema = _schema(resource)
    rest = {name: value for name, value in content.items() if name in schema.fields and name not in wrong}
    try:
        data: dict[str, Any] = schema.load(rest, partial=True)
    except ValidationError:
        return None
    return {field.attribute or name: [] if is_list(field) else None for name, field in schema.fields.items()} | data


def check_patch(resource: Resource, patch: Any, errors: ErrorList, pointer: str = "") -> None:
    """Add to a list what is wrong with the members of a patch by themselves."""
    values = {name: value for name, value in patch.items() if value is not None} if isinstance(patch, dict) else patch
    # Names, and not True, which would also allow the items of lists to lack members.
    known = _schema(resource).fields
    within = (f"{name}.{below}" for name, field in known.items() if isinstance(field, Object) for below in field.schema.fields)
    _load(resource, values, errors, pointer, optional=(*known, *within))


def _load(
    resource: Resource, content: Any, errors: ErrorList, pointer: str, *, optional: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Return the values of an object, which may lack ``optional`` members; None if a member has errors, which are added."""
    schema = _schema(resource)
    if not isinstance(content, dict):
        errors.add("", "invalid-value", f"The {resource.singular} must be an object.", pointer=pointer)
        return None
    # Lengths come first: to explain each of many thousand items would take seconds.
    if faults := list(misshapen(schema, content, pointer)) or list(_unstorable_texts(content, pointer)):
        _add(errors, faults)
        return None
    try:
        data: dict[str, Any] = schema.load(content, partial=optional)
    except ValidationError as error:
        messages: Mapping[Any, Any] = error.normalized_messages()  # type: ignore[no-untyped-call]
        Explainer(errors, partial(_read_only, resource)).members(schema, messages, content, pointer)
        return None
    return data


def _add(errors: ErrorList, faults: Iterable[InputFault]) -> None:
    for place, detail in faults:
        errors.add("", "invalid-value", detail, pointer=place)


def _read_only(resource: Resource, schema: Schema, name: str) -> str | None:
    """Return why a member of a record cannot be sent; None if there is no such member."""
    if schema is not _schema(resource) or name not in resource.members:
        return None
    return f"`{name}` is set by {'the ledger' if name in PUBLICATION else 'other records'}; leave it out."


def _unstorable_texts(value: Any, pointer: str) -> Iterator[InputFault]:
    """Yield each text that no database can store."""
    if isinstance(value, str):
        if UNSTORABLE.search(value) is None:
            return
        yield pointer, NOT_STORABLE
    elif isinstance(value, list | dict):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unstorable_texts(below, f"{pointer}/{token_of(str(key))}")


def _broken_rules(schema: Schema, row: Mapping[str, Any], pointer: str) -> Iterator[InputFault]:
    """Yield each rule that a record or one of its parts breaks."""
    for rule in getattr(schema, "rules", ()):
        if not rule.holds(row):
            yield f"{pointer}/{rule.member}", f"`{rule.member}` {rule.description}."
    for name, below in _parts(type(schema)).items():
        for index, item in enumerate(row[name]):
            yield from _broken_rules(below, item, f"{pointer}/{name}/{index}")


@cache
def _parts(schema: type[Schema]) -> Mapping[str, Schema]:
    """Return the schemas of the parts of a record, or of a part of one, by member."""
    lists = {name: field.inner for name, field in schema().fields.items() if isinstance(field, fields.List)}
    return {name: inner.schema for name, inner in lists.items() if isinstance(inner, fields.Nested)}


def content_of(resource: Resource, data: Mapping[str, Any]) -> Content:
    """Return the document of the values that `read` returned, with only the members that can be sent."""
    return _quick(resource).dump(data)


def sendable(resource: Resource, document: Content) -> Content:
    """Return the members of a published document that can be sent."""
    return {name: document[name] for name in members(resource.schema)}


def example_of(resource: Resource) -> Content:
    """Return a record that can be sent to the published dataset: the members' examples, with a new id and a new name."""
    example = {name: field.metadata.get("example") for name, field in members(resource.schema).items()}
    example |= {name: [] for name, field in members(resource.schema).items() if is_list(field)}
    example |= {"id": f"example-{example['id']}"}
    if resource.label.key != "id":
        example[resource.label.key] = f"Example of {example[resource.label.key]}"
    return {**example, **resource.example}


def merged(target: Any, patch: Any) -> Any:
    """Apply a JSON Merge Patch, by RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
