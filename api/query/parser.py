"""How a request's text becomes a `Query`, or an error that repairs it; and JSON a value, strictly."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from api.errors import ErrorList, nearest, shorten
from api.ledger.index.words import MAX_WORDS, Search, TooManyWords
from api.ledger.index.words import parse as parse_search
from api.query.language import (
    COUNTS,
    DEFAULT_LIMIT,
    FIND_PARAMETERS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_SUGGESTED,
    RECORD_PARAMETERS,
    SEARCHABLE,
    SUGGESTED,
    Condition,
    Conditions,
    Expression,
    Filter,
    Find,
    Group,
    Parameter,
    Query,
    facetable,
    filters,
    includable,
    order,
    parameters,
)
from api.resources import RESOURCES
from api.schema.fields import SLUG
from api.schema.operators import MAX_TEXT, MAX_VALUES, TYPES, split
from api.schema.resource import Resource
from api.schema.strict_json import escaped, load

CONNECTIVES = ("and", "or", "not")
# Of a whole query: SQLite takes 32,766 parameters in a statement, which may say the same thing several times.
MAX_ALL_VALUES = 5_000


def parse(resource: Resource, given: Iterable[tuple[str, list[str]]], *expressions: Any) -> Query:
    """Make a query of a request's parameters, each with its values, and of any expression that was its body.

    Raises a 400 that names everything that is wrong.
    """
    wrong = ErrorList()
    known, own = filters(resource), parameters(resource)
    conditions: list[Condition] = []
    found: dict[str, Any] = {}
    for name, values in given:
        if name in known:
            conditions += _condition(known[name], values, wrong)
        elif name in own:
            found[name] = _value(own[name], resource, values, wrong)
        else:
            wrong.unknown(name, _near(name, known) or sorted([*own, *known]))
    where: Expression = Conditions(tuple(sorted(conditions, key=lambda row: row.filter.name)))
    if found.get("filter") is not None:
        where = Group("and", (where, found["filter"]))
    if found.get("highlights") and "q" not in found:
        wrong.add("highlights", "needs-q", "`highlights` shows where the words of `q` are, and there is no `q`.")
    wrong.raise_any()
    where = Group("and", (where, *(body(resource, expression) for expression in expressions))) if expressions else where
    if _values(where) > MAX_ALL_VALUES:
        detail = f"All filters together take at most {MAX_ALL_VALUES} values."
        wrong.add("filter", "too-many-values", detail, allowed={"maximum": MAX_ALL_VALUES})
        wrong.raise_any()
    return Query(
        resource=resource,
        where=where,
        search=found.get("q"),
        sort=order(resource, found["sort"]) if "sort" in found else None,
        limit=found.get("limit"),
        cursor=found.get("cursor"),
        count=found.get("count", COUNTS[0]),
        fields=found.get("fields"),
        include=tuple(includable(resource)[name] for name in found.get("include", ())),
        facets=tuple(facetable(resource)[name] for name in found.get("facets", ())),
        highlights=found.get("highlights", False),
        min_version=found.get("min_version", 0),
    )


def parse_find(path: str, given: Iterable[tuple[str, list[str]]]) -> Find:
    """Make a query of the parameters of `/search` or `/suggest`. Raises a 400 that names everything that is wrong."""
    texts: dict[str, list[str]] = dict(given)
    found = parse_named(FIND_PARAMETERS[path], texts.items(), required=["q"])
    return Find(
        text=texts["q"][0],
        search=found["q"],
        kinds=found.get("kind", tuple(row.name for row in (SUGGESTED if path == "suggest" else SEARCHABLE))),
        limit=found.get("limit", MAX_SUGGESTED if path == "suggest" else DEFAULT_LIMIT),
        cursor=found.get("cursor"),
        count=found.get("count", COUNTS[0]),
        highlights=found.get("highlights", False),
        min_version=found.get("min_version", 0),
    )


def parse_named(
    rows: Mapping[str, Parameter], given: Iterable[tuple[str, list[str]]], required: Sequence[str] = ()
) -> dict[str, Any]:
    """Read parameters that have nothing to do with a noun. Raises a 400 that names everything that is wrong."""
    wrong = ErrorList()
    found = {}
    for name, values in given:
        if name in rows:
            found[name] = _value(rows[name], RESOURCES[0], values, wrong)
        else:
            wrong.unknown(name, rows)
    for name in required:
        if name not in dict(given):
            wrong.add(name, "missing-parameter", f"`{name}` is needed: the words to look for.")
    wrong.raise_any()
    return found


def parse_record(resource: Resource, given: Iterable[tuple[str, list[str]]]) -> Query:
    """Make a query of the parameters of one record. Raises a 400 that names everything that is wrong."""
    wrong = ErrorList()
    found = {}
    for name, values in given:
        if name in RECORD_PARAMETERS:
            found[name] = _value(RECORD_PARAMETERS[name], resource, values, wrong)
        else:
            wrong.unknown(name, RECORD_PARAMETERS)
    if "as_of" in found and "include" in found:
        detail = "What is included is of the present: with `as_of`, ask for the related records one by one."
        wrong.add("include", "not-together", detail)
    wrong.raise_any()
    include = tuple(includable(resource)[name] for name in found.get("include", ()))
    return Query(
        resource=resource,
        fields=found.get("fields"),
        include=include,
        as_of=found.get("as_of"),
        min_version=found.get("min_version", 0),
    )


def _values(expression: Expression) -> int:
    """Count the values of all conditions."""
    if isinstance(expression, Group):
        return sum(map(_values, expression.children))
    return sum(len(row.value) if row.filter.operator.many else 1 for row in expression.all)


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Return the filters of the field that a name begins with: so a wrong operator is told which ones there are."""
    field = name.partition("__")[0]
    return [found for found in known if found.partition("__")[0] == field]


def body(resource: Resource, expression: Any) -> Expression:
    """Make an expression of a JSON value that was a request's body. Raises a 422 that names everything that is wrong."""
    wrong = ErrorList()
    found = _Reader(resource, wrong).read(expression)
    wrong.raise_any("invalid-body")
    return found


def _one(name: str, values: list[str], wrong: ErrorList) -> str | None:
    if len(values) == 1:
        return values[0]
    wrong.add(name, "invalid-value", f"`{name}` takes one value, and is given {len(values)} times.")
    return None


def _condition(filter: Filter, values: list[str], wrong: ErrorList) -> list[Condition]:
    """Read a filter of the query."""
    name = filter.name
    if not filter.operator.many:
        text = _one(name, values, wrong)
        if text is None:
            return []
        texts = [text]
    else:
        texts = [part for value in values for part in split(value)]
    if len(texts) > MAX_VALUES:
        wrong.add(name, "too-many-values", f"`{name}` takes at most {MAX_VALUES} values.", allowed={"maximum": MAX_VALUES})
        return []
    read = [_read(filter, text, wrong, parameter=name) for text in texts]
    return [Condition(filter, tuple(read) if filter.operator.many else read[0])]


def _read(filter: Filter, text: str, wrong: ErrorList, **place: Any) -> Any:
    """Read one value of a filter; what is none is refused, with what would have worked."""
    type = TYPES["flag"] if filter.operator.of_null else TYPES["text"] if filter.operator.folds else filter.field.type
    schema = filter.schema
    try:
        value = type.read(text)
        if valid(value, schema):
            return value
    except (ValueError, KeyError, OverflowError):
        pass
    if wrong.full:
        return None
    detail = f"`{filter.name}` is {type.description}{_bounds(schema)}; `{shorten(_shown(text))}` is not."
    allowed = schema.get("enum") or (["true", "false"] if type.name == "flag" else None) or _limits(schema)
    suggestion = nearest(text, [str(value) for value in allowed]) if isinstance(allowed, list) else None
    wrong.add(place.pop("parameter", filter.name), "invalid-value", detail, allowed=allowed, suggestion=suggestion, **place)
    return None


def _shown(text: str) -> str:
    """Return a text as it can be sent: a lone surrogate can't, and a null would only mark a value of another type."""
    return text.removeprefix("\0").encode(errors="replace").decode()


def valid(value: Any, schema: Mapping[str, Any]) -> bool:
    """Tell whether a value that was read is within its schema's bounds."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, str):
        return (
            len(value) <= schema.get("maxLength", MAX_TEXT)
            and re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL) is not None
        )
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _bounds(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema:
        return f" from {schema['minimum']} to {schema['maximum']}"
    if schema.get("pattern") not in {None, TYPES["text"].schema["pattern"], SLUG}:
        return f" that matches `{schema['pattern']}`"
    return " in lower-case letters, digits and single hyphens" if schema.get("pattern") == SLUG else ""


def _limits(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    return {key: schema[key] for key in ("minimum", "maximum", "maxLength", "pattern", "format") if key in schema} or None


def _value(row: Parameter, resource: Resource, values: list[str], wrong: ErrorList) -> Any:
    """Read a parameter that is not a filter."""
    if row.many:
        return _names(row, resource, [part for value in values for part in value.split(",")], wrong)
    text = _one(row.name, values, wrong)
    if text is None:
        return None
    if row.name == "filter":
        return _expression(resource, text, wrong)
    if row.name == "q":
        return _search(text, wrong)
    schema = {**row.schema, **({"enum": list(row.choices(resource))} if row.choices else {})}
    type = TYPES[{"integer": "whole", "boolean": "flag", "string": "text"}[schema["type"]]]
    try:
        value = type.read(text)
        if valid(value, schema):
            return value
    except (ValueError, KeyError):
        pass
    if row.name == "cursor":
        wrong.add(row.name, "invalid-value", "`cursor` is taken from `page.cursor` or `links.next`.")
    else:
        allowed = schema.get("enum") or (["true", "false"] if type.name == "flag" else _limits(schema))
        what = (
            f"one of {', '.join(f'`{name}`' for name in allowed)}"
            if isinstance(allowed, list)
            else f"{type.description}{_bounds(schema)}"
        )
        suggestion = nearest(text, allowed) if isinstance(allowed, list) else None
        wrong.add(row.name, "invalid-value", f"`{row.name}` is {what}.", allowed=allowed, suggestion=suggestion)
    return None


def _names(row: Parameter, resource: Resource, names: list[str], wrong: ErrorList) -> tuple[str, ...]:
    """Read a list of names, each once."""
    assert row.choices is not None
    choices = list(row.choices(resource))
    for name in dict.fromkeys(names):
        if name not in choices:
            detail = f"`{shorten(name)}` is nothing that `{row.name}` takes here."
            sign = "-" if name.startswith("-") else ""
            near = nearest(name.removeprefix("-"), choices)
            suggestion = near if near is None or near.startswith("-") else f"{sign}{near}"
            wrong.add(row.name, "unknown-name", detail, allowed=choices, suggestion=suggestion)
    if row.name == "sort" and len({name.removeprefix("-") for name in names}) < len(names):
        wrong.add(row.name, "named-twice", "`sort` names a field twice; the second has no effect.")
    if len(names) > row.most:
        wrong.add(row.name, "too-many-values", f"`{row.name}` takes at most {row.most} names.", allowed={"maximum": row.most})
    return tuple(dict.fromkeys(names))


def _search(text: str, wrong: ErrorList) -> Search | None:
    try:
        if len(text) <= MAX_TEXT:
            return parse_search(text)
    except TooManyWords:
        pass
    limits = {"maxLength": MAX_TEXT, "words": MAX_WORDS}
    wrong.add("q", "too-long", f"`q` takes at most {MAX_WORDS} words in {MAX_TEXT} characters.", allowed=limits)
    return None


def _expression(resource: Resource, text: str, wrong: ErrorList) -> Expression | None:
    """Read the parameter `filter`."""
    try:
        value = load(text)
    except ValueError as error:
        wrong.add("filter", "invalid-json", f"`filter` is JSON: {error}.", allowed={"example": '{"not": {"id": "x"}}'})
        return None
    return _Reader(resource, wrong, {"parameter": "filter"}).read(value)


class _Reader:
    """Reads an expression, and says of each thing that is wrong where it stands (RFC 6901)."""

    def __init__(self, resource: Resource, wrong: ErrorList, place: Mapping[str, str] | None = None) -> None:
        self.resource, self.wrong, self.place = resource, wrong, dict(place or {})
        self.nodes = 0

    def read(self, value: Any) -> Expression:
        found = self._node(value, "", 1)
        if self.nodes > MAX_NODES:
            self._refuse("", "too-many-nodes", f"An expression has at most {MAX_NODES} nodes.", allowed={"maximum": MAX_NODES})
        return found

    def _refuse(self, pointer: str, code: str, detail: str, **known: Any) -> None:
        self.wrong.add(self.place.get("parameter", ""), code, detail, pointer=pointer, **known)

    def _node(self, value: Any, pointer: str, depth: int) -> Expression:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            return Conditions(())
        if not isinstance(value, dict) or not value:
            names = [*CONNECTIVES, *filters(self.resource)]
            self._refuse(pointer, "invalid-expression", "An expression is an object with at least one member.", allowed=names)
            return Conditions(())
        joined = [self._group(name, value[name], f"{pointer}/{name}", depth) for name in CONNECTIVES if name in value]
        conditions = [
            self._conditions(name, below, f"{pointer}/{escaped(name)}")
            for name, below in value.items()
            if name not in CONNECTIVES
        ]
        own = Conditions(tuple(row for rows in conditions for row in rows))
        return Group("and", (own, *joined)) if joined else own

    def _group(self, connective: str, value: Any, pointer: str, depth: int) -> Expression:
        if depth >= MAX_DEPTH:
            detail = f"Expressions are nested at most {MAX_DEPTH} deep."
            self._refuse(pointer, "too-deep", detail, allowed={"maximum": MAX_DEPTH})
            return Conditions(())
        if connective == "not":
            return Group("not", (self._node(value, pointer, depth + 1),))
        if not isinstance(value, list) or not value:
            self._refuse(pointer, "invalid-expression", f"`{connective}` takes a list of expressions, at least one.")
            return Conditions(())
        return Group(connective, tuple(self._node(below, f"{pointer}/{n}", depth + 1) for n, below in enumerate(value)))

    def _conditions(self, name: str, value: Any, pointer: str) -> list[Condition]:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            return []
        known = filters(self.resource)
        if name not in known:
            self.wrong.unknown(
                name,
                _near(name, known) or [*CONNECTIVES, *known],
                "filter",
                parameter=self.place.get("parameter", ""),
                pointer=pointer,
            )
            return []
        filter = known[name]
        values = value if isinstance(value, list) and filter.operator.many else [value]
        if not 1 <= len(values) <= MAX_VALUES:
            limits = {"minimum": 1, "maximum": MAX_VALUES}
            self._refuse(pointer, "too-many-values", f"`{name}` takes 1 to {MAX_VALUES} values.", allowed=limits)
            return []
        read = [
            _read(filter, _text_of(filter, below), self.wrong, parameter=self.place.get("parameter", ""), pointer=pointer)
            for below in values
        ]
        return [Condition(filter, tuple(read) if filter.operator.many else read[0])]


def _text_of(filter: Filter, value: Any) -> str:
    """Return a JSON value as the text that a query would have; one of the wrong type becomes a text that is refused."""
    kind = filter.schema["type"]
    fits = {
        "boolean": isinstance(value, bool),
        "integer": (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer()),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "string": isinstance(value, str),
    }
    if fits[kind]:
        return value if kind == "string" else json.dumps(int(value) if kind == "integer" else value)
    return "\0" + ("a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else json.dumps(value))
