"""Reads the records that `include` adds to a page."""

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
    known: Mapping[Relation, Mapping[str, str]],
) -> dict[str, dict[str, str]]:
    """Return the documents of related records, by noun and id.

    Runs one statement per step, whatever the number of records, and none for a first step whose documents are ``known``.
    Raises a 400 above `MAX_INCLUDED` records of a noun.
    """
    reached: dict[tuple[Relation, ...], list[str]] = {(): list(ids)}
    steps = dict.fromkeys(path[:length] for path in paths for length in range(1, len(path) + 1))
    by_noun: dict[str, dict[str, str]] = {}
    for path in steps:
        relation = path[-1]
        documents = known.get(relation) if len(path) == 1 else None
        if documents is None:
            shape = ("related", resource.name, tuple([step.name for step in path]))
            documents = dict(of_ids(session, shape, reached[path[:-1]], partial(_reached, relation)))
        reached[path] = [*documents]
        noun = by_noun.setdefault(relation.to or "", {})
        noun.update(documents)
        if len(noun) > MAX_INCLUDED:
            raise _too_many(resource, path)
    return {noun: dict(sorted(documents.items())) for noun, documents in sorted(by_noun.items())}


def _reached(relation: Relation, ids: Among) -> Select[Any]:
    link = aliased(relation.link)
    owner, target = getattr(link, relation.owner.key), getattr(link, conditions.target_of(relation).key)
    targets = select(target).where(ids.condition(owner), target.is_not(None), *conditions.fixed(link, relation))
    current = (Revision.kind == relation.to, Revision.id.in_(targets), *CURRENT)
    return cast("Select[Any]", select(Revision.id, Revision.document).where(*current).limit(MAX_INCLUDED + 1))


def _too_many(resource: Resource, path: tuple[Relation, ...]) -> ProblemError:
    name, noun = ".".join(step.name for step in path), path[-1].to
    detail = f"`include={name}` would add more than {MAX_INCLUDED} {noun} to this page."
    advice = f"Ask for fewer {resource.name} with `limit`, or for the {noun} themselves at `/{noun}`, filtered."
    item = error_item("include", "too-many-included", f"{detail} {advice}", allowed={"maximum": MAX_INCLUDED})
    return ProblemError("too-many-included", f"{detail} {advice}", item)
