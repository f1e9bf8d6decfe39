"""Reads which part of the dataset a feed or a snapshot is of: the parameters `kinds`, `city` and `survey`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from api.ledger import history
from api.ledger.parts import Part
from api.query.hints import Hint
from api.query.parameters import Parameter, read_ids, read_names
from api.resources import BY_NAME, RESOURCES
from api.schema.operators import TYPES
from api.schema.resource import Resource

NOUNS = [resource.name for resource in RESOURCES]
SCOPES = {resource.singular: resource for resource in RESOURCES if resource.is_scope}
# Ids of a noun that a part can have, at most.
MOST = 20


def _scope(noun: Resource) -> Parameter:
    return Parameter(
        noun.singular,
        f"Only what belongs to one of these {noun.name}, by id. In the feed, a record that leaves is told as a deletion.",
        TYPES["reference"].schema,
        read=read_ids,
        most=MOST,
        example=lambda _: str(noun.fields["id"].example),
    )


KINDS = Parameter(
    "kinds", "Only records of these nouns.", {"type": "string"}, lambda _: NOUNS, read=read_names, example=lambda _: "cities"
)
SCOPE_PARAMETERS = {name: _scope(noun) for name, noun in SCOPES.items()}


def hints_of(session: Session, part: Part, rows: int) -> dict[str, Any]:
    """Return `hints`, a member of an answer, with each city and survey of its part that there never was.

    As in lists, an answer with rows has hints only for a parameter with several values.
    """
    scopes = [(BY_NAME[noun], id) for noun, ids in part.scopes for id in ids if not rows or len(ids) > 1]
    unknown = [(noun, id) for noun, id in scopes if history.newest(session, noun.name, id) is None]
    hints = [asdict(_hint(noun.singular, id, history.near_id(session, noun.name, id))) for noun, id in unknown]
    return {"hints": hints} if hints else {}


def _hint(name: str, id: str, near: str | None) -> Hint:
    detail = f"There never was a {name} `{id}`{'.' if near is None else f'; did you mean `{near}`?'}"
    return Hint(name, detail, [near] if near else [], near)


def part_of(values: Mapping[str, Any], kinds: tuple[str, ...] = ()) -> Part:
    """Return the part that the values of these parameters name; ``kinds`` go before those of the parameter."""
    scopes = tuple((noun.name, tuple(sorted(values[name]))) for name, noun in SCOPES.items() if name in values)
    return Part(kinds or tuple(noun for noun in NOUNS if noun in values.get("kinds", ())), scopes)
