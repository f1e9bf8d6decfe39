"""Reads the parameters of the feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request

from api.errors import ErrorList
from api.ledger.parts import Part
from api.query import parser
from api.query.parameters import AS_OF, MIN_VERSION, Parameter
from api.query.parts import KINDS, SCOPE_PARAMETERS, part_of
from api.schema.operators import TYPES
from api.web import positions

DEFAULT_LIMIT, MAX_LIMIT, MAX_WAIT = 500, 1_000, 30
# Changes on a page for people.
FOR_PEOPLE = 50

FLAT_PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "since",
            "Only changes after this version, 0 for all; or after the change that has this `cursor`.",
            {"type": "string", "pattern": f"^({positions.SINCE.pattern})$"},
            refusal="`since` is a version of the dataset, or the `cursor` of a change.",
            example=lambda _: "0",
        ),
        Parameter(
            "cursor",
            "Continue here: `cursor` of the last answer or change. It never expires. An earlier `since` has no effect.",
            {"type": "string", "maxLength": 400},
        ),
        Parameter(
            "limit",
            f"About this number of changes on a page; {DEFAULT_LIMIT} by default. No commit is split, so there can be more.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
            example=lambda _: "100",
        ),
        Parameter(
            "history",
            "With `true`, every change of a record, not only its last.",
            TYPES["flag"].schema,
            example=lambda _: "false",
        ),
        Parameter(
            "wait",
            "Seconds to wait for a change if there is none yet.",
            {"type": "integer", "minimum": 0, "maximum": MAX_WAIT},
            example=lambda _: "0",
        ),
        *SCOPE_PARAMETERS.values(),
        AS_OF,
        MIN_VERSION,
        Parameter(
            "order",
            "`-version`: the newest first, in pages of `limit` changes, with `label` and `author`; not with `wait`.",
            {"type": "string"},
            lambda _: ("version", "-version"),
            example=lambda _: "version",
        ),
    )
}
PARAMETERS = {**FLAT_PARAMETERS, KINDS.name: KINDS}


@dataclass(frozen=True)
class FeedQuery:
    """A request of the feed."""

    part: Part
    since: str
    cursor: str | None
    limit: int
    history: bool
    wait: int
    as_of: str | None
    min_version: int
    newest_first: bool


def read_query(rows: Mapping[str, Parameter], kinds: tuple[str, ...] = (), *, for_people: bool = False) -> FeedQuery:
    """Return the feed query of the request's parameters; people get the newest first. Raises a 400 that names every error."""
    values = parser.parse_named(rows, request.args.lists())
    for name, is_set in {"as_of": "as_of" in values, "order=-version": values.get("order") == "-version"}.items():
        if is_set and values.get("wait"):
            raise positions.not_together("wait", f"`wait` and `{name}` don't go together: leave one of them out.")
    if for_people:
        _refuse_programs(values)
    return FeedQuery(
        part=part_of(values, kinds),
        since=values.get("since", "0"),
        cursor=values.get("cursor"),
        limit=values.get("limit", FOR_PEOPLE if for_people else DEFAULT_LIMIT),
        history=values.get("history", False),
        wait=values.get("wait", 0),
        as_of=values.get("as_of"),
        min_version=values.get("min_version", 0),
        newest_first=for_people or values.get("order") == "-version",
    )


def _refuse_programs(values: Mapping[str, Any]) -> None:
    errors = ErrorList()
    for name, is_set in {"wait": values.get("wait"), "order": values.get("order") == "version"}.items():
        if is_set:
            detail = "Pages and feeds for people have the newest changes first, and do not wait; add `.json` to the path."
            errors.add(name, "not-in-this-format", detail, allowed=["json"])
    errors.raise_any()
