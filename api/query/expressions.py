"""Reads nested expressions: the parameter `filter`, and the body of a search."""

import json
from collections.abc import Collection, Iterable
from typing import Any

from api.errors import ErrorList
from api.query.language import MAX_DEPTH, MAX_NODES, Condition, Conditions, Expression, Filter, Group, filters, nouns
from api.query.values import OBJECT, filter_value
from api.schema.operators import MAX_VALUES
from api.schema.pointers import token_of
from api.schema.resource import Resource

CONNECTIVES = ("and", "or", "not")


def similar(name: str, known: Iterable[str]) -> list[str]:
    """Return the filters of the same field, so that an error about an unknown operator lists those that there are."""
    field = name.partition("__")[0]
    return [other for other in known if other.partition("__")[0] == field]


def body_expression(resource: Resource, value: Any, parameters: Collection[str]) -> Expression:
    """Return the expression in the JSON body of a request. Raises a 422 with every error."""
    errors = ErrorList()
    expression = ExpressionReader(resource, errors, parameters).read(value)
    errors.raise_any("invalid-body")
    return expression


class ExpressionReader:
    """Reads one expression from JSON, and adds each error with the JSON pointer (RFC 6901) of its place."""

    def __init__(self, resource: Resource, errors: ErrorList, parameters: Collection[str], parameter: str = "") -> None:
        """Take the names of the list's parameters, and the one that holds the expression, or none for a body."""
        self.resource, self.errors, self.parameters, self.parameter = resource, errors, parameters, parameter
        self.nodes = 0

    def read(self, value: Any) -> Expression:
        """Return the expression; where errors were added, it is incomplete."""
        expression = self._node(value, "", 1)
        if self.nodes > MAX_NODES:
            self._refuse("", "too-many-nodes", f"An expression has at most {MAX_NODES} nodes.", allowed={"maximum": MAX_NODES})
        return expression

    def _refuse(self, pointer: str, code: str, detail: str, **known: Any) -> None:
        self.errors.add(self.parameter, code, detail, pointer=pointer, **known)

    def _node(self, value: Any, pointer: str, depth: int) -> Expression:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            return Conditions(())
        if not isinstance(value, dict) or not value:
            names = [*CONNECTIVES, *filters(self.resource)]
            detail = "An expression is an object with at least one member."
            self._refuse(pointer, "invalid-expression", detail, allowed=names, word="")
            return Conditions(())
        joined = [self._group(name, value[name], f"{pointer}/{name}", depth) for name in CONNECTIVES if name in value]
        conditions = [
            self._conditions(name, below, f"{pointer}/{token_of(name)}")
            for name, below in value.items()
            if name not in CONNECTIVES
        ]
        flat = Conditions(tuple(row for rows in conditions for row in rows))
        return Group("and", (flat, *joined)) if joined else flat

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
            self.errors.unknown(
                name,
                similar(name, known) or [*CONNECTIVES, *known],
                "filter",
                nouns(self.resource),
                "It is a parameter of the query string." if name in self.parameters else None,
                parameter=self.parameter,
                pointer=pointer,
            )
            return []
        filter = known[name]
        values = value if isinstance(value, list) and filter.operator.many else [value]
        if not 1 <= len(values) <= MAX_VALUES:
            limits = {"minimum": 1, "maximum": MAX_VALUES}
            self._refuse(pointer, "too-many-values", f"`{name}` takes 1 to {MAX_VALUES} values.", allowed=limits)
            return []
        place = {"parameter": self.parameter, "pointer": pointer}
        read = [filter_value(filter, known, _text_of(filter, below), self.errors, **place) for below in values]
        return [Condition(filter, tuple(read) if filter.operator.many else read[0])]


def _text_of(filter: Filter, value: Any) -> str:
    """Return a JSON value as the text that a query string has; a value of the wrong type becomes a text that is refused."""
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
    return "\0" + ("a list" if isinstance(value, list) else OBJECT if isinstance(value, dict) else json.dumps(value))
