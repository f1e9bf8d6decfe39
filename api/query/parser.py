"""Parses the parameters of a request into a query; a request that is wrong gets every error at once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from api.errors import ELSEWHERE, ErrorList
from api.query.expressions import body_expression, similar
from api.query.flat import reachable
from api.query.language import (
    COUNTS,
    DEFAULT_LIMIT,
    MAX_CONTAINS,
    MAX_SUGGESTED,
    SEARCHABLE,
    SUGGESTED,
    Condition,
    Conditions,
    Expression,
    Filter,
    Find,
    Group,
    Query,
    facetable,
    filters,
    includable,
    nouns,
)
from api.query.order import order
from api.query.parameters import FIND_PARAMETERS, TRIMMING, Parameter, parameters, record_parameters
from api.query.values import filter_value, only_value
from api.resources import RESOURCES
from api.schema.operators import MAX_VALUES, split
from api.schema.resource import Resource

# For a whole query: SQLite takes at most 32,766 parameters in a statement, and a statement can repeat a value several times.
MAX_ALL_VALUES = 5_000

# Where parameters are that a search of several nouns does not take.
OF_LISTS = "The list of a noun takes it, also together with `q`: `/initiatives?q=`."
# The parameters of a request by name, each with its values.
Arguments = Iterable[tuple[str, list[str]]]


def parse(resource: Resource, arguments: Arguments, *bodies: Any) -> Query:
    """Return the query for a list; ``bodies`` are expressions from the body of the request.

    Raises a 400 with every error in the parameters, and a 422 with every error in a body.
    """
    errors = ErrorList()
    known, rows = filters(resource), parameters(resource)
    conditions: list[Condition] = []
    values: dict[str, Any] = {}
    for name, texts in arguments:
        if name in known:
            conditions += _condition(known[name], texts, errors, known)
        elif name in rows:
            values[name] = rows[name].read(rows[name], resource, texts, errors)
        else:
            errors.unknown(name, similar(name, known) or sorted([*rows, *known]), nouns=nouns(resource))
    if values.get("highlights") and "q" not in values:
        errors.add("highlights", "needs-q", "`highlights` shows where the words of `q` are, and there is no `q`.")
    trimmed = _trimmed(resource, values, errors)
    errors.raise_any()
    where = _joined(conditions, values.get("filter"), [body_expression(resource, body, rows) for body in bodies])
    _price(where, errors)
    errors.raise_any()
    return Query(
        resource=resource,
        where=where,
        search=values.get("q"),
        sort=order(resource, values["sort"]) if "sort" in values else None,
        limit=values.get("limit"),
        cursor=values.get("cursor"),
        count=values.get("count", COUNTS[0]),
        fields=values.get("fields"),
        include=tuple(includable(resource)[name] for name in values.get("include", ())),
        facets=tuple(facetable(resource)[name] for name in values.get("facets", ())),
        highlights=values.get("highlights", False),
        trimmed=trimmed,
        min_version=values.get("min_version", 0),
    )


def parse_find(path: str, arguments: Arguments) -> Find:
    """Return the query for `/search` or `/suggest`. Raises a 400 with every error."""
    texts = dict(arguments)
    values = parse_named(FIND_PARAMETERS[path], texts.items(), required=["q"], elsewhere=_of_lists())
    return Find(
        text=texts["q"][0],
        search=values["q"],
        kinds=values.get("kinds", tuple(row.name for row in (SUGGESTED if path == "suggest" else SEARCHABLE))),
        limit=values.get("limit", MAX_SUGGESTED if path == "suggest" else DEFAULT_LIMIT),
        cursor=values.get("cursor"),
        count=values.get("count", COUNTS[0]),
        highlights=values.get("highlights", False),
        min_version=values.get("min_version", 0),
    )


@cache
def _of_lists() -> frozenset[str]:
    return frozenset(name for resource in SEARCHABLE for name in (*parameters(resource), *filters(resource)))


def parse_named(
    rows: Mapping[str, Parameter], arguments: Arguments, required: Sequence[str] = (), elsewhere: Collection[str] = ()
) -> dict[str, Any]:
    """Return the values of parameters that do not depend on a noun, by name. Raises a 400 with every error.

    ``elsewhere`` are parameters of the lists that `q` searches, too.
    """
    errors = ErrorList()
    texts = dict(arguments)
    # No reader of these rows looks at the noun.
    values = _values(rows, RESOURCES[0], texts.items(), errors, elsewhere)
    for name in required:
        if name not in texts:
            errors.add(name, "missing-parameter", f"`{name}` is needed: the words to look for.")
    errors.raise_any()
    return values


def parse_record(resource: Resource, arguments: Arguments) -> Query:
    """Return the query for one record. Raises a 400 with every error."""
    errors = ErrorList()
    values = _values(record_parameters(resource), resource, arguments, errors)
    reached = {"include": values.get("include"), "fields": set(values.get("fields", ())) & reachable(resource).keys()}
    for name in [name for name, related in reached.items() if related and "as_of" in values]:
        detail = f"`{name}` reads related records as they are now: with `as_of`, ask for these one by one."
        errors.add(name, "not-together", detail)
    trimmed = _trimmed(resource, values, errors)
    errors.raise_any()
    return Query(
        resource=resource,
        fields=values.get("fields"),
        include=tuple(includable(resource)[name] for name in values.get("include", ())),
        trimmed=trimmed,
        as_of=values.get("as_of"),
        min_version=values.get("min_version", 0),
    )


def _trimmed(resource: Resource, values: Mapping[str, Any], errors: ErrorList) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the members of included records by noun; adds an error for each noun that `include` does not lead to."""
    trimmed = [(noun, values[row.name]) for noun, row in TRIMMING.items() if row.name in values]
    paths = includable(resource)
    nouns = {step.to for name in values.get("include", ()) for step in paths.get(name, ())}
    for noun in [noun for noun, _ in trimmed if noun not in nouns and not errors]:
        detail = f"`{TRIMMING[noun].name}` trims included {noun}, and `include` adds none."
        ways = [name for name, path in paths.items() if path[-1].to == noun]
        detail += " For the records of the list, use `fields`." if noun == resource.name else ""
        errors.add(TRIMMING[noun].name, "needs-include", detail, allowed=[f"include={name}" for name in ways])
    return tuple(trimmed)


def _values(
    rows: Mapping[str, Parameter],
    resource: Resource,
    arguments: Arguments,
    errors: ErrorList,
    elsewhere: Collection[str] = (),
) -> dict[str, Any]:
    values = {}
    for name, texts in arguments:
        if name in rows:
            values[name] = rows[name].read(rows[name], resource, texts, errors)
        else:
            is_of_lists = name in elsewhere and rows.keys().isdisjoint(ELSEWHERE.get(name, ()))
            errors.unknown(name, rows, instead=OF_LISTS if is_of_lists else None)
    return values


def _condition(filter: Filter, values: Sequence[str], errors: ErrorList, known: Collection[str]) -> list[Condition]:
    """Return the condition of a filter in the query string; none, with an error added, if it has the wrong number of values."""
    name = filter.name
    if not filter.operator.many:
        text = only_value(name, values, errors)
        return [] if text is None else [Condition(filter, filter_value(filter, known, text, errors, parameter=name))]
    texts = [part for value in values for part in split(value)]
    if len(texts) > MAX_VALUES:
        errors.add(name, "too-many-values", f"`{name}` takes at most {MAX_VALUES} values.", allowed={"maximum": MAX_VALUES})
        return []
    return [Condition(filter, tuple(filter_value(filter, known, text, errors, parameter=name) for text in texts))]


def _joined(conditions: Sequence[Condition], nested: Expression | None, bodies: Sequence[Expression]) -> Expression:
    """Return one expression; conditions are sorted by name, so that the order of parameters makes no other statement."""
    where: Expression = Conditions(tuple(sorted(conditions, key=lambda row: row.filter.name)))
    if nested is not None:
        where = Group("and", (where, nested))
    return Group("and", (where, *[replace(body, kept=True) for body in bodies])) if bodies else where


def _price(where: Expression, errors: ErrorList) -> None:
    """Add an error for each limit that all filters together exceed."""
    conditions = _all(where)
    if sum(len(row.value) if row.filter.operator.many else 1 for row in conditions) > MAX_ALL_VALUES:
        detail = f"All filters together take at most {MAX_ALL_VALUES} values."
        errors.add("filter", "too-many-values", detail, allowed={"maximum": MAX_ALL_VALUES})
    if len([row for row in conditions if row.filter.operator.name == "contains"]) > MAX_CONTAINS:
        detail = f"All filters together have at most {MAX_CONTAINS} conditions with `contains`; `q` finds words faster."
        errors.add("filter", "too-many-values", detail, allowed={"maximum": MAX_CONTAINS})


def _all(expression: Expression) -> Sequence[Condition]:
    """Return all conditions of an expression."""
    if isinstance(expression, Group):
        return [row for child in expression.children for row in _all(child)]
    return expression.all
