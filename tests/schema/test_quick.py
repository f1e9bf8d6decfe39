"""Loading and dumping without marshmallow's collection of faults."""

from collections.abc import Iterator
from typing import Any

import pytest
from marshmallow import Schema, ValidationError, fields, missing, validates_schema
from sqlalchemy import select

from api.db.database import Database
from api.editing.inputs import example_of, input_of, sendable
from api.ledger.rendering import rendered
from api.resources import RESOURCES
from api.schema.quick import KEPT, Quick
from api.schema.resource import Resource
from tests.support.databases import ON_SQLITE
from tests.support.records import nouns

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    1.0,
    1.5,
    2**60,
    "",
    "x",
    " x ",
    "2024-07",
    "pilot",
    "x" * 401,
    [],
    {},
    ["x"],
    [None],
    [{}],
    ["x"] * 501,
)


def check(text: str) -> None:
    """Refuse one text."""
    if text == "refused":
        raise ValidationError("It is refused.")


def outcome(load: Any, content: Any) -> Any:
    """Return what a function makes of a content; None if it refuses it."""
    try:
        return load(content)
    except (ValidationError, TypeError):
        return None


@ON_SQLITE
def test_published_records_are_loaded_and_dumped_as_by_their_schema(database: Database) -> None:
    """Every published record has the same values, and the same document of these, in the same order."""
    with database.reading() as session:
        for resource in RESOURCES:
            schema = input_of(resource.schema)()
            quick = Quick(schema, check)
            ids = list(session.scalars(select(resource.model.id)))
            for content in rendered(session, resource, ids).contents.values():
                document = sendable(resource, content)
                data = schema.load(document)
                assert quick.load(document) == data
                assert repr(quick.dump(data)) == repr(schema.dump(data))


@nouns
def test_what_a_schema_refuses_is_refused(resource: Resource) -> None:
    """Whatever a member is, and whatever was remembered before, both refuse it or both return the same value."""
    schema, example = input_of(resource.schema)(), example_of(resource)
    quick = Quick(schema, check)
    contents: list[Any] = [{**example, name: value} for name in [*example, "unknown"] for value in VALUES] * 2
    contents += [{key: value for key, value in example.items() if key != name} for name in example]
    for content in contents:
        assert repr(outcome(quick.load, content)) == repr(outcome(schema.load, content)), content
    no_objects: list[Any] = [[], None, "x", 1]
    assert [outcome(quick.load, content) for content in no_objects] == [None] * 4


@nouns
def test_schemas_have_nothing_that_is_left_out(resource: Resource) -> None:
    """No schema has hooks, other names in JSON, members of one direction, or members that may stay missing; the control has."""
    for schema in below(input_of(resource.schema)()):
        assert peculiar(schema) == set()
    assert peculiar(Peculiar()) == {"checks", "called", "hidden", "left_out"}


class Peculiar(Schema):
    """A schema with all that `Quick` does not do."""

    called = fields.String(data_key="name", required=True)
    hidden = fields.String(load_only=True, required=True)
    left_out = fields.String()

    @validates_schema
    def checks(self, _data: Any, **_: Any) -> None:
        """Check nothing."""


def below(schema: Schema) -> Iterator[Schema]:
    """Yield a schema and those of its members."""
    yield schema
    for field in schema.fields.values():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            yield from below(inner.schema)


def peculiar(schema: Schema) -> set[str]:
    """Return the names of the hooks of a schema, and of the fields that `Quick` would treat in another way."""
    hooks = {name for name in dir(type(schema)) if hasattr(getattr(type(schema), name), "__marshmallow_hook__")}
    return hooks | {
        name
        for name, field in schema.fields.items()
        if field.data_key not in {None, name}
        or field.load_only
        or field.dump_only
        or not (field.required or field.load_default is not missing)
    }


def test_texts_are_checked_everywhere() -> None:
    """A text that the caller refuses is refused as a member, in a list, and in an object of a list."""
    resource = next(row for row in RESOURCES if row.name == "initiatives")
    quick, example = Quick(input_of(resource.schema)(), check), example_of(resource)
    metric = {"name": "refused", "kind": "count", "value": 1, "unit": "x", "qualifier": None}
    for name, value in {"summary": "refused", "aliases": ["x", "refused"], "metrics": [metric]}.items():
        with pytest.raises(ValidationError):
            quick.load({**example, name: value})


def test_few_values_are_remembered() -> None:
    """What is remembered of a field is bounded, and more values than that are right."""
    schema = input_of(next(row for row in RESOURCES if row.name == "organizations").schema)()
    quick, example = Quick(schema, check), example_of(next(row for row in RESOURCES if row.name == "organizations"))
    for number in [*range(2 * KEPT), *range(2 * KEPT)]:
        content: dict[str, Any] = {**example, "name": f" Number  {number} "}
        assert quick.load(content)["name"] == f"Number {number}"
