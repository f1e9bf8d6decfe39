"""The parameters that a request can have besides filters, each with its reader."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.errors import ErrorList, meant, nearest, shorten
from api.ledger.index.words import MAX_WORDS, Search, TooManyWords
from api.ledger.index.words import parse as parse_search
from api.query.expressions import ExpressionReader
from api.query.flat import selectable
from api.query.language import (
    CAP,
    COUNTS,
    DEFAULT_LIMIT,
    MAX_CONTAINS,
    MAX_DEPTH,
    MAX_FACETS,
    MAX_LIMIT,
    MAX_NODES,
    MAX_SUGGESTED,
    SEARCHABLE,
    SUGGESTED,
    Expression,
    includable,
    nouns,
)
from api.query.order import sortable
from api.query.values import bounds, limits, only_value, valid
from api.resources import RESOURCES
from api.schema.fields import MAX_INTEGER
from api.schema.operators import MAX_TEXT, MAX_VALUES, TYPES
from api.schema.resource import Resource
from api.schema.strict_json import load, printable

# How other APIs write the direction of a sort key.
DIRECTION = re.compile(r"^[+-]|(?:^|[\W_])(?:asc|desc)(?:ending)?(?:$|[\W_])", re.IGNORECASE)
DESCENDING = re.compile(r"^-|(?:^|[\W_])desc", re.IGNORECASE)
TYPE_NAMES = {"integer": "whole", "boolean": "flag", "string": "text"}


def read_value(row: "Parameter", resource: Resource, values: Sequence[str], errors: ErrorList) -> Any:
    """Return the one value of a parameter; None, with an error added, if it is not valid."""
    text = only_value(row.name, values, errors)
    if text is None:
        return None
    schema = {**row.schema, **({"enum": list(row.choices(resource))} if row.choices else {})}
    type = TYPES[TYPE_NAMES[schema["type"]]]
    try:
        value = type.read(text)
        if valid(value, schema):
            return value
    except (ValueError, KeyError):
        pass
    if row.refusal:
        errors.add(row.name, "invalid-value", row.refusal)
        return None
    options = schema.get("enum") or (["true", "false"] if type.name == "flag" else None)
    expected = f"one of {', '.join(f'`{name}`' for name in options)}" if options else f"{type.description}{bounds(schema)}"
    suggestion = nearest(text, options) if options else None
    errors.add(
        row.name, "invalid-value", f"`{row.name}` is {expected}.", allowed=options or limits(schema), suggestion=suggestion
    )
    return None


def read_names(row: "Parameter", resource: Resource, values: Sequence[str], errors: ErrorList) -> tuple[str, ...]:
    """Return the names in a list, each once; adds an error for each name that is not a choice."""
    assert row.choices is not None
    choices, names = list(row.choices(resource)), _split(values)
    for name in dict.fromkeys(names):
        if name not in choices:
            detail = f"`{row.name}` does not take `{shorten(name)}` here.{f' {row.refusal}' if row.refusal else ''}"
            # A name can say the direction of a sort key: `-`, `:desc`, `desc(`.
            near = meant(DIRECTION.sub(" ", name), choices, nouns(resource)) or ""
            suggestion = f"-{near}" if f"-{near}" in choices and DESCENDING.search(name) else near
            errors.add(row.name, "unknown-name", detail, allowed=choices, word=name, suggestion=suggestion or None)
    if len(names) > row.most:
        errors.add(row.name, "too-many-values", f"`{row.name}` takes at most {row.most} names.", allowed={"maximum": row.most})
    return tuple(dict.fromkeys(names))


def read_sort(row: "Parameter", resource: Resource, values: Sequence[str], errors: ErrorList) -> tuple[str, ...]:
    """Return the names of sort keys; adds an error if a field is named twice."""
    names = read_names(row, resource, values, errors)
    if len({name.removeprefix("-") for name in names}) < len(_split(values)):
        errors.add(row.name, "named-twice", "`sort` names a field twice; the second has no effect.")
    return names


def read_ids(row: "Parameter", _: Resource, values: Sequence[str], errors: ErrorList) -> tuple[str, ...]:
    """Return the ids in a list, each once; adds an error for each that can be no id."""
    ids = tuple(dict.fromkeys(_split(values)))
    for id in (id for id in ids if not valid(id, row.schema)):
        detail = f"`{row.name}` takes ids{bounds(row.schema)}; `{shorten(printable(id))}` is none."
        errors.add(row.name, "invalid-value", detail, allowed=limits(row.schema))
    if len(ids) > row.most:
        errors.add(row.name, "too-many-values", f"`{row.name}` takes at most {row.most} ids.", allowed={"maximum": row.most})
    return ids


def _split(values: Sequence[str]) -> list[str]:
    return [name for value in values for name in value.split(",")]


def read_search(row: "Parameter", _: Resource, values: Sequence[str], errors: ErrorList) -> Search | None:
    """Return the parsed text of a search; None, with an error added, if it is too long."""
    text = only_value(row.name, values, errors)
    if text is None:
        return None
    try:
        if len(text) <= MAX_TEXT:
            return parse_search(text)
    except TooManyWords:
        pass
    allowed = {"maxLength": MAX_TEXT, "words": MAX_WORDS}
    errors.add(row.name, "too-long", f"`{row.name}` takes at most {MAX_WORDS} words in {MAX_TEXT} characters.", allowed=allowed)
    return None


def read_expression(row: "Parameter", resource: Resource, values: Sequence[str], errors: ErrorList) -> Expression | None:
    """Return the expression of `filter`; None, with an error added, if it is not JSON."""
    text = only_value(row.name, values, errors)
    if text is None:
        return None
    try:
        value = load(text)
    except ValueError as error:
        errors.add(row.name, "invalid-json", f"`filter` is JSON: {error}.", allowed={"example": '{"not": {"id": "x"}}'})
        return None
    return ExpressionReader(resource, errors, parameters(resource), row.name).read(value)


Reader = Callable[["Parameter", Resource, Sequence[str], ErrorList], Any]


@dataclass(frozen=True)
class Parameter:
    """A parameter that is not a filter.

    ``schema`` is the JSON Schema of the value, or of one value of a list. ``choices`` returns the values to choose from,
    ``most`` limits how many a list has. ``read`` returns the value from the texts in a request. ``refusal`` replaces the
    generated text of the error for an invalid value. ``applies`` tells whether the lists of a noun have the parameter.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    choices: Callable[[Resource], Iterable[str]] | None = None
    read: Reader = read_value
    most: int = MAX_VALUES
    refusal: str | None = None
    example: Callable[[Resource], str] | None = None
    applies: Callable[[Resource], bool] = lambda _: True

    @property
    def many(self) -> bool:
        """Whether the value is a list."""
        return self.read in {read_names, read_sort, read_ids}


def _sort_names(resource: Resource) -> list[str]:
    return [name for field in sortable(resource) for name in (field, f"-{field}")]


VERSION = {**TYPES["version"].schema, "maximum": MAX_INTEGER}
MIN_VERSION = Parameter(
    "min_version",
    "Wait for this version of the dataset, such as that of your own write; a 503 if it does not arrive within a second.",
    VERSION,
    example=lambda _: "1",
)
PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "q",
            (
                'Full text: words in any form, without regard to case and accents; `"a phrase"`, `-word`. Best first, '
                "and among equals the newest, unless you set `sort`."
            ),
            {"type": "string", "maxLength": MAX_TEXT},
            read=read_search,
            example=lambda _: "digital",
            applies=lambda resource: bool(resource.search),
        ),
        Parameter(
            "highlights",
            "Add `highlights`: where the words of `q` are, in pieces of text, by id and field.",
            TYPES["flag"].schema,
            example=lambda _: "false",
            applies=lambda resource: bool(resource.search),
        ),
        Parameter(
            "filter",
            (
                'What flat filters cannot say, as JSON: `{"or": [{"status": "draft"}, {"city.state": ["CA", "WA"]}]}`. '
                "The names are those of the filters; `and`, `or` take lists, `not` one expression. "
                f"At most {MAX_DEPTH} deep, {MAX_NODES} nodes; at most {MAX_CONTAINS} `contains` in all filters together."
            ),
            {"type": "object"},
            read=read_expression,
        ),
        Parameter(
            "sort",
            "Keys of the order, `-` for descending. Nulls come last both ways; the id breaks ties.",
            {"type": "string"},
            _sort_names,
            read=read_sort,
            refusal=(
                "Keys are fields of the record or of one that it refers to, not prose, lists or numbers of records; `-` before "
                "a key is for descending."
            ),
            example=lambda resource: resource.default_sort,
        ),
        Parameter(
            "limit",
            (
                f"Greatest number of records on a page; {DEFAULT_LIMIT} by default. 0 is for totals and facets alone. CSV and "
                "NDJSON have all records by default."
            ),
            {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
            example=lambda _: "20",
        ),
        Parameter(
            "cursor",
            (
                "Continue a list: `page.cursor` of the page before, with the same filters and order. `links.next` has it "
                "filled in. It never expires."
            ),
            {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
            refusal="`cursor` is taken from `page.cursor` or `links.next`.",
        ),
        Parameter(
            "count",
            f"`capped`: `total` is exact up to {CAP:,}; `exact`: always; `none`: nothing is counted.",
            {"type": "string"},
            lambda _: COUNTS,
            example=lambda _: COUNTS[0],
        ),
        Parameter(
            "fields",
            (
                "Only these members of each record: the others are missing from the answer, even those that its schema "
                "requires. A dotted name adds a member of this name: a field of the related record, or their number."
            ),
            {"type": "string"},
            selectable,
            read=read_names,
            refusal=(
                "A dotted name is a field of the one record that a member refers to, or the number of several: `include` adds "
                "records as a whole."
            ),
            example=lambda resource: f"id,{resource.members[1]}",
        ),
        Parameter(
            "include",
            "Add these related records under `included`, by noun and id; the fields stay ids.",
            {"type": "string"},
            includable,
            read=read_names,
            example=lambda resource: next(iter(includable(resource))),
        ),
        Parameter(
            "facets",
            "Count the records of the list by the values of these fields, each with its label and links.",
            {"type": "string"},
            lambda resource: resource.facets,
            read=read_names,
            most=MAX_FACETS,
            example=lambda resource: resource.facets[0],
        ),
        MIN_VERSION,
    )
}


def _trimming(noun: Resource) -> Parameter:
    return Parameter(
        f"fields[{noun.name}]",
        f"Only these members of included {noun.name}.",
        {"type": "string"},
        lambda _: noun.members,
        read_names,
        applies=lambda resource: noun.name in {path[-1].to for path in includable(resource).values()},
    )


# The parameters that trim included records, by noun.
TRIMMING = {noun.name: _trimming(noun) for noun in RESOURCES}
PARAMETERS |= {row.name: row for row in TRIMMING.values()}


def parameters(resource: Resource) -> dict[str, Parameter]:
    """Return the parameters of a noun's list by name, without its filters."""
    return {name: row for name, row in PARAMETERS.items() if row.applies(resource)}


def _kinds(nouns: Sequence[Resource]) -> Parameter:
    return Parameter(
        "kinds",
        "Only records of these nouns.",
        {"type": "string"},
        lambda _: [resource.name for resource in nouns],
        read_names,
        example=lambda _: "cities,initiatives",
    )


FIND_PARAMETERS = {
    "search": {
        row.name: row
        for row in (
            PARAMETERS["q"],
            _kinds(SEARCHABLE),
            *(PARAMETERS[n] for n in ("limit", "cursor", "count", "highlights", "min_version")),
        )
    },
    "suggest": {
        row.name: row
        for row in (
            Parameter(
                "q",
                "What was typed so far: the beginning of any word of a name or alias, without regard to case and accents.",
                PARAMETERS["q"].schema,
                read=read_search,
                example=lambda _: "san",
            ),
            _kinds(SUGGESTED),
            Parameter(
                "limit",
                f"Greatest number of records; {MAX_SUGGESTED} by default.",
                {"type": "integer", "minimum": 1, "maximum": MAX_SUGGESTED},
                example=lambda _: "5",
            ),
            MIN_VERSION,
        )
    },
}
# Parameters of pages, which mean nothing for a list that is streamed as a whole.
OF_PAGES = frozenset({"cursor", "count", "include", "facets", "highlights", *(row.name for row in TRIMMING.values())})

AS_OF = Parameter(
    "as_of",
    "As it was at a version of the dataset, or at a time (RFC 3339).",
    {"type": "string", "maxLength": 40, "anyOf": [{"pattern": "^[0-9]{1,16}$"}, {"format": "date-time"}]},
    example=lambda _: "603",
)
RECORD_PARAMETERS = {
    name: PARAMETERS[name] for name in ("fields", "include", "min_version", *(r.name for r in TRIMMING.values()))
}


def record_parameters(resource: Resource) -> dict[str, Parameter]:
    """Return the parameters of one record of a noun by name."""
    return {**{name: row for name, row in RECORD_PARAMETERS.items() if row.applies(resource)}, "as_of": AS_OF}
