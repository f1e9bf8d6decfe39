"""The records that those of a page are related to."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from api.db.statements import Among, of_ids
from api.errors import ProblemError, error_item
from api.ledger.models import CURRENT, Revision
from api.query import conditions
from api.schema.resource import Relation, Resource

MAX_INCLUDED = 500


def related(
    session: Session,
    resource: Resource,
    ids: Sequence[str],
    paths: Sequence[tuple[Relation, ...]],
    beside: Mapping[Relation, Mapping[str, str]],
) -> dict[str, dict[str, str]]:
    """Return the documents of the records that these are related to, by noun and id.

    As many statements as there are steps, whatever the number of records, but none for a first step that is ``beside``: what
    it leads to was read already. Raises a 400 above `MAX_INCLUDED` of a noun.
    """
    reached: dict[tuple[Relation, ...], list[str]] = {(): list(ids)}
    steps = dict.fromkeys(path[:length] for path in paths for length in range(1, len(path) + 1))
    wanted: dict[str, dict[str, str]] = {}
    for path in steps:
        relation = path[-1]
        there = beside.get(relation) if len(path) == 1 else None
        if there is None:
            shape = ("related", resource.name, tuple([step.name for step in path]))
            there = dict(of_ids(session, shape, reached[path[:-1]], partial(_reached, relation)))
        reached[path] = [*there]
        noun = wanted.setdefault(relation.to or "", {})
        noun.update(there)
        if len(noun) > MAX_INCLUDED:
            raise _too_many(resource, path)
    return {noun: dict(sorted(found.items())) for noun, found in sorted(wanted.items())}


def _reached(relation: Relation, ids: Among) -> Select[Any]:
    link = aliased(relation.link)
    owner, target = getattr(link, relation.owner.key), getattr(link, conditions.target_of(relation).key)
    found = select(target).where(ids.condition(owner), target.is_not(None), *conditions.fixed(link, relation))
    named = (Revision.kind == relation.to, Revision.id.in_(found), *CURRENT)
    return cast("Select[Any]", select(Revision.id, Revision.document).where(*named).limit(MAX_INCLUDED + 1))


def _too_many(resource: Resource, path: tuple[Relation, ...]) -> ProblemError:
    name, noun = ".".join(step.name for step in path), path[-1].to
    detail = f"`include={name}` would add more than {MAX_INCLUDED} {noun} to this page."
    cure = f"Ask for fewer {resource.name} with `limit`, or for the {noun} themselves at `/{noun}`, filtered."
    item = error_item("include", "too-many-included", f"{detail} {cure}", allowed={"maximum": MAX_INCLUDED})
    return ProblemError("too-many-included", f"{detail} {cure}", item)
