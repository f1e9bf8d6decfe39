"""Loads and dumps valid objects as their marshmallow schema does, in a third of the time.

marshmallow collects every fault of an object, so it makes functions, lists and copies for each value. Here the first fault
ends the work, and the caller asks the schema about it. Values that repeat are converted once: many records of a file have the
same status, unit or organization.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing

from api.schema.fields import Prose
from api.schema.validation import SCALARS, is_list

# Values of a field that are remembered.
KEPT = 128
# Turns a value into another one. Raises ValidationError or TypeError.
Step = Callable[[Any], Any]
Object = Mapping[str, Any]


class Quick:
    """The fields of a schema that has no hooks of its own; ``check`` raises ValidationError for a text that is refused."""

    def __init__(self, schema: Schema, check: Callable[[str], None]) -> None:
        """Prepare a function to load, and one to dump, the value of each field."""
        self.names = schema.fields.keys()
        self.fields = [(name, field.attribute or name, *_steps(field, check)) for name, field in schema.fields.items()]

    def load(self, content: Any) -> dict[str, Any]:
        """Return what `Schema.load` does. Raises ValidationError or TypeError if the schema may refuse it."""
        if not (isinstance(content, dict) and content.keys() <= self.names):
            raise ValidationError("It is no object, or has other members.")
        return {key: load(content.get(name, missing)) for name, key, load, _ in self.fields}

    def dump(self, data: Object) -> dict[str, Any]:
        """Return what `Schema.dump` does for values that `load` returned."""
        return {name: dump(data[key]) for name, key, _, dump in self.fields}


def _steps(field: fields.Field[Any], check: Callable[[str], None]) -> tuple[Step, Step]:
    """Return the functions that load and dump the values of a field."""
    if isinstance(field, fields.List):
        load, dump = _steps(field.inner, check)
    elif isinstance(field, fields.Nested):
        load, dump = _object(field, Quick(field.schema, check))
    else:
        return _scalar(field, check)
    return (partial(_load_list, field, load), partial(_each, dump)) if is_list(field) else (load, dump)


def _object(field: fields.Nested, below: Quick) -> tuple[Step, Step]:
    """Return the functions of a field of objects, or of objects that are written as the value of their one member."""
    if isinstance(field, fields.Pluck):
        ((_, key, load, dump),) = below.fields
        return lambda value: {key: load(value)}, lambda item: dump(item[key])
    return partial(_load_object, field, below), lambda item: None if item is None else below.dump(item)


def _scalar(field: fields.Field[Any], check: Callable[[str], None]) -> tuple[Step, Step]:
    """Return the functions of a field of single values; what they return can't be changed, so it can be shared."""
    key = field.attribute or str(field.name)

    def load(value: Any) -> Any:
        if isinstance(value, str):
            check(value)
        return field.deserialize(value)

    def dump(value: Any) -> Any:
        return field.serialize(key, {key: value})

    remember: Callable[[Step], Step] = (
        lru_cache(KEPT, typed=True) if isinstance(field, SCALARS) and not isinstance(field, Prose) else _itself
    )
    return remember(load), remember(dump)


def _load_list(field: fields.Field[Any], load: Step, value: Any) -> Any:
    if not isinstance(value, list):
        return field.deserialize(value)
    # Its length is checked before its items are read.
    for validator in field.validators:
        validator(value)
    return _each(load, value)


def _load_object(field: fields.Field[Any], below: Quick, value: Any) -> Any:
    return below.load(value) if isinstance(value, dict) else field.deserialize(value)


def _each(step: Step, values: Iterable[Any]) -> list[Any]:
    return [step(value) for value in values]


def _itself(step: Step) -> Step:
    return step
