"""The reference for people: the operations of the OpenAPI document by tag, with their parameters in groups, and its schemas."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
# The parameters of lists that are no filters, by what they are for.
GROUPS = {
    "Search": ("q", "highlights", "filter"),
    "Page": ("sort", "limit", "cursor", "count"),
    "Contents": ("format", "fields", "include", "facets", "min_version"),
}
SCHEMA = re.compile(r'"#/components/schemas/(\w+)"')


class Piece(NamedTuple):
    """A part of a type in words: a word, or the name of a schema."""

    text: str
    is_schema: bool = False


class Row(NamedTuple):
    """A parameter or a member of a schema. A filter is one row, with the operators that its name can end with."""

    name: str
    type: Sequence[Piece]
    description: str
    values: Sequence[str]
    example: str
    is_required: bool
    operators: tuple[str, ...] = ()


class Group(NamedTuple):
    """Parameters that belong together; their rows are missing if they are those of an earlier operation."""

    name: str
    rows: Sequence[Row]
    is_related: bool = False
    same_as: str = ""


class Content(NamedTuple):
    """What is sent or answered: its types by media type; for a request, an example; for a problem, what it can be."""

    types: dict[str, Sequence[Piece]]
    example: Any = None
    problems: Sequence[str] = ()


class Operation(NamedTuple):
    """An operation, with the address of an example; or a message to a webhook, which has no address."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    scopes: Sequence[str] | None
    groups: Sequence[Group]
    body: Content | None
    answers: dict[str, tuple[str, Content]]
    address: str


class Hit(NamedTuple):
    """What a search finds: an operation, a parameter or a member of a schema."""

    name: str
    place: str
    description: str
    address: str


class Reference:
    """An OpenAPI document, as its pages show it."""

    def __init__(self, document: bytes) -> None:
        """Read it."""
        self.spec: Json = json.loads(document)
        self.tags: dict[str, str] = {tag["name"]: tag["description"] for tag in self.spec["tags"]}

    @cached_property
    def operations(self) -> dict[str, Sequence[Operation]]:
        """The operations by tag, both in the order of the document."""
        return {tag: _without_repetitions(self._operation(*row) for row in self._of(tag)) for tag in self.tags}

    def schemas(self, tag: str) -> dict[str, Sequence[Row]]:
        """Return the members of each schema that the operations of a tag use."""
        schemas = self.spec["components"]["schemas"]
        waiting = [name for _, _, _, row in self._of(tag) for name in SCHEMA.findall(json.dumps(self._contents(row)))]
        used: dict[str, None] = {}
        while waiting:
            if (name := waiting.pop(0)) not in used:
                used[name] = None
                waiting += SCHEMA.findall(json.dumps(schemas[name]))
        return {name: self._members(schemas[name]) for name in used if "properties" in schemas[name]}

    def search(self, text: str) -> Sequence[Hit]:
        """Return what has each word of a text, the hits with all of them in their name first."""
        words = text.lower().split()

        def has(content: str) -> bool:
            return all(word in content.lower() for word in words)

        hits = [hit for hit in self._hits if has(f"{hit.name} {hit.description}")]
        return sorted(hits, key=lambda hit: not has(hit.name)) if words else []

    @cached_property
    def _hits(self) -> Sequence[Hit]:
        """Everything that can be found, once for each page."""
        hits: dict[tuple[str, str], Hit] = {}
        for tag, operations in self.operations.items():
            for one in operations:
                name, address = f"{one.method} {one.path}", f"/docs/{tag}#{one.id}"
                hits[tag, one.id] = Hit(name, one.summary, one.description, address)
                for row in (row for group in one.groups for row in group.rows):
                    hits.setdefault((tag, row.name), Hit(row.name, name, row.description, f"{address}.{row.name}"))
            for schema, rows in self.schemas(tag).items():
                for row in rows:
                    address = f"/docs/{tag}#{schema}.{row.name}"
                    hits.setdefault((schema, row.name), Hit(row.name, schema, row.description, address))
        return list(hits.values())

    def _of(self, tag: str) -> Iterator[tuple[str, str, Sequence[Json], Json]]:
        """Yield the method, path, parameters and declaration of each operation of a tag."""
        for path, item in [*self.spec["paths"].items(), *self.spec["webhooks"].items()]:
            for method in METHODS:
                if method in item and item[method]["tags"] == [tag]:
                    parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                    yield method, path, [self._resolved(row) for row in parameters], item[method]

    def _contents(self, row: Json) -> Sequence[Json]:
        """Return the bodies that an operation takes and answers with, but not the problems."""
        answers = [self._resolved(answer) for status, answer in row["responses"].items() if status < "400"]
        return [self._resolved(row.get("requestBody", {})), *answers]

    def _resolved(self, row: Json) -> Json:
        """Return what a reference points to."""
        if "$ref" not in row:
            return row
        _, _, kind, name = row["$ref"].split("/")
        component: Json = self.spec["components"][kind][name]
        return component

    def _operation(self, method: str, path: str, parameters: Sequence[Json], row: Json) -> Operation:
        return Operation(
            id=row["operationId"],
            method=method.upper(),
            path=path,
            summary=row["summary"],
            description=row["description"],
            scopes=row["security"][0]["bearer"] if "security" in row else None,
            groups=self._groups(parameters, row["tags"][0]),
            body=self._content(self._resolved(row["requestBody"])) if "requestBody" in row else None,
            answers=dict(sorted(self._answer(*answer) for answer in row["responses"].items())),
            address=_address(path, parameters),
        )

    def _groups(self, parameters: Sequence[Json], tag: str) -> Sequence[Group]:
        has_filters = any(row["name"] == "filter" for row in parameters)
        groups: dict[str, dict[str, Row]] = {}
        for row in parameters:
            name, suffix, operator = row["name"].partition("__")
            group = groups.setdefault(_group(row, tag) if has_filters or row["in"] != "query" else "Query", {})
            before = group.get(name) or self._row(name, row["schema"], row)
            is_filter = bool(suffix) or _is_filter(row, has_filters)
            operators = (*before.operators, suffix + operator or "=") if is_filter else ()
            group[name] = before._replace(operators=operators)
        order = ["Path", *GROUPS, "Query", f"Fields of {tag}"]
        names = sorted(groups, key=lambda name: order.index(name) if name in order else len(order) + (name == "Headers"))
        return [Group(name, list(groups[name].values()), is_related=name not in {*order, "Headers"}) for name in names]

    def _answer(self, status: str, row: Json) -> tuple[str, tuple[str, Content]]:
        answer = self._resolved(row)
        name = f"{status} {HTTPStatus(int(status)).phrase}" if status.isdecimal() else status
        return name, (answer["description"], self._content(answer))

    def _content(self, row: Json) -> Content:
        content = row.get("content", {})
        media: Json = next(iter(content.values()), {})
        return Content(
            {name: self._type(row["schema"]) for name, row in content.items()},
            media.get("example"),
            [*media.get("examples", ())],
        )

    def _members(self, schema: Json) -> Sequence[Row]:
        required = schema.get("required", ())
        rows = {name: self._resolved(row) | row | {"required": name in required} for name, row in schema["properties"].items()}
        return [self._row(name, schema["properties"][name], row) for name, row in rows.items()]

    def _row(self, name: str, schema: Json, about: Json) -> Row:
        return Row(
            name=name,
            type=self._type(schema),
            description=about.get("description", ""),
            values=[str(value) for value in self._values(schema) if value is not None],
            example=_example(about),
            is_required=about.get("required", False),
        )

    def _values(self, schema: Json) -> Sequence[Any]:
        """Return the values that a schema, or an item of its arrays, can have, if it names them."""
        schema = self._resolved(schema)
        return self._values(schema["items"]) if "items" in schema else schema.get("enum", ())

    def _type(self, schema: Json) -> Sequence[Piece]:
        """Return the type of a schema in words."""
        if "properties" in self._resolved(schema) and "$ref" in schema:
            return [Piece(schema["$ref"].rpartition("/")[2], is_schema=True)]
        schema = self._resolved(schema)
        if "anyOf" in schema:
            choices = [[Piece(" or "), *self._type(choice)] for choice in schema["anyOf"]]
            return [piece for choice in choices for piece in choice][1:]
        for member, word in (("items", "array of "), ("additionalProperties", "object of ")):
            if isinstance(schema.get(member), dict) and "properties" not in schema:
                return [Piece(word), *self._type(schema[member])]
        types = schema.get("type", "any")
        words = types if isinstance(types, str) else " or ".join(types)
        detail = schema.get("format") or schema.get("contentMediaType")
        return [Piece(f"{words} ({detail})" if detail else words)]


def _example(row: Json) -> str:
    """Return the example of a parameter as it is sent, or that of a member in JSON."""
    example = row.get("example", "")
    if isinstance(example, str):
        return example
    if "in" in row and isinstance(example, list):
        return ",".join(map(str, example))
    return json.dumps(example, ensure_ascii=False)


def _group(row: Json, tag: str) -> str:
    """Return the group of a parameter of a list."""
    name = row["name"].partition("[")[0]
    if row["in"] != "query":
        return {"path": "Path", "header": "Headers"}[row["in"]]
    relation, dot, _ = name.partition(".")
    return next((group for group, names in GROUPS.items() if name in names), relation if dot else f"Fields of {tag}")


def _is_filter(row: Json, has_filters: bool) -> bool:  # noqa: FBT001 - it is of the list
    return has_filters and row["in"] == "query" and not any(row["name"].partition("[")[0] in names for names in GROUPS.values())


def _without_repetitions(operations: Iterable[Operation]) -> Sequence[Operation]:
    """Return the operations; one that has the same parameters as an earlier one refers to it."""
    earlier: list[tuple[Group, str]] = []
    results = []
    for one in operations:
        same = [next((id for before, id in earlier if before == group), "") for group in one.groups]
        earlier += [(group, one.id) for group in one.groups]
        groups = [group._replace(rows=[], same_as=id) if id else group for group, id in zip(one.groups, same, strict=True)]
        results.append(one._replace(groups=groups))
    return results


def _address(path: str, parameters: Sequence[Json]) -> str:
    """Return the path of an example, with the parameters that it must have, and a limit if it takes one; a webhook has none."""
    if not path.startswith("/"):
        return ""
    query = []
    for row in parameters:
        value = quote(str(row.get("example", "")), safe=",:/")
        if row["in"] == "path":
            path = path.replace(f"{{{row['name']}}}", value)
        elif row["in"] == "query" and (row.get("required") or row["name"] == "limit"):
            query.append(f"{row['name']}={value}")
    return f"{path}?{'&'.join(query)}" if query else path
