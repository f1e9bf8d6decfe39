"""Moves what several operations of an OpenAPI document repeat into its components, and refers to it from there."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

Json = dict[str, Any]
# Characters that a reference must save: a type of its own is one more thing to look up.
WORTH_A_TYPE = 500
# Schemas that have a member which belongs to none of them.
COMMON = 5


class Slot(NamedTuple):
    """A place in the document, and the names that the component of its content can have, the best one first."""

    holder: Any
    key: Any
    names: Iterable[str]

    @property
    def content(self) -> Json:
        """What is at the place."""
        content: Json = self.holder[self.key]
        return content


def share(spec: Json) -> None:
    """Refer to every parameter, body, header and answer that several places have. Each noun has its own before."""
    declared = spec["components"].pop("parameters")
    for _, holder in _holders(spec, "parameters"):
        rows = holder["parameters"]
        rows[:] = [declared[row["$ref"].rpartition("/")[2]] if "$ref" in row else row for row in rows]
    for kind, slots in (
        ("parameters", _parameters),
        ("requestBodies", _bodies),
        ("headers", _headers),
        ("responses", _responses),
        ("schemas", _members),
        ("schemas", _lists),
    ):
        _refer(spec["components"].setdefault(kind, {}), kind, [*slots(spec)])


def _refer(components: Json, kind: str, slots: Sequence[Slot]) -> None:
    """Make a component of each content that several places have, with the first of its names that is free."""
    uses = Counter(_text(slot.content) for slot in slots)
    named: dict[str, str] = {}
    for slot in slots:
        text = _text(slot.content)
        if uses[text] == 1 or (kind == "schemas" and (uses[text] - 1) * len(text) < WORTH_A_TYPE):
            continue
        if text not in named:
            named[text] = next(name for name in slot.names if name not in components)
            components[named[text]] = slot.content
        slot.holder[slot.key] = {"$ref": f"#/components/{kind}/{named[text]}"}


def _parameters(spec: Json) -> Iterator[Slot]:
    for tag, holder in _holders(spec, "parameters"):
        for index, row in enumerate(holder["parameters"]):
            # Names of components have no brackets.
            name = row["name"].replace("[", ".").replace("]", "")
            yield Slot(holder["parameters"], index, (name, f"{tag}.{name}", f"{tag}.{row['in']}.{name}"))


def _bodies(spec: Json) -> Iterator[Slot]:
    for tag, operation in _holders(spec, "requestBody"):
        yield Slot(operation, "requestBody", _numbered(tag))


def _headers(spec: Json) -> Iterator[Slot]:
    answers = [slot.content for slot in _responses(spec)]
    for answer in (*spec["components"]["responses"].values(), *answers):
        for name in answer.get("headers", {}):
            yield Slot(answer["headers"], name, _numbered(name))


def _responses(spec: Json) -> Iterator[Slot]:
    """Yield the answers of operations, except those that are components already."""
    for _, operation in _holders(spec, "responses"):
        for status, answer in operation["responses"].items():
            if "$ref" not in answer:
                yield Slot(operation["responses"], status, _numbered(HTTPStatus(int(status)).name))


def _members(spec: Json) -> Iterator[Slot]:
    """Yield the members of schemas, except those that are components already; one that most nouns have keeps its name."""
    schemas = {name: schema["properties"] for name, schema in spec["components"]["schemas"].items() if "properties" in schema}
    uses = Counter((name, _text(member)) for properties in schemas.values() for name, member in properties.items())
    for schema, properties in schemas.items():
        for name, member in properties.items():
            if "$ref" not in member:
                title = name.title().replace("_", "")
                yield Slot(properties, name, (title if uses[name, _text(member)] >= COMMON else f"{schema}{title}",))


def _lists(spec: Json) -> Iterator[Slot]:
    """Yield the lists of values that parameters take, each with a name by the last part of the parameter's."""
    rows = [row for _, holder in _holders(spec, "parameters") for row in holder["parameters"] if "$ref" not in row]
    for row in (*spec["components"]["parameters"].values(), *rows):
        if row["schema"].get("type") == "array":
            name = row["name"].partition("__")[0].rpartition(".")[2].title().replace("_", "")
            yield Slot(row, "schema", (f"{name}List", f"{name}Values", *_numbered(f"{name}List")))


def _holders(spec: Json, member: str) -> Iterator[tuple[str, Json]]:
    """Yield every path and operation that has a member, with its tag."""
    for path in spec["paths"].values():
        operations = [row for row in path.values() if isinstance(row, dict)]
        yield from ((operations[0]["tags"][0], holder) for holder in (path, *operations) if member in holder)


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{number}" for number in range(2, 100))


def _text(content: Json) -> str:
    return json.dumps(content, sort_keys=True)
