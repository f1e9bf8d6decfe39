"""What the dataset says of one record: the records that refer to it, the first of each kind, and its citations."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.query import lists, parser
from api.query.language import MAX_LIMIT
from api.query.lists import Result
from api.query.plan import Planner
from api.resources import BY_NAME, RESOURCES
from api.schema.resource import Relation, Resource

# Records of a list on the page of another record.
FIRST = 10
CITATIONS = "citations"


@dataclass(frozen=True)
class RelatedList:
    """The first records of a noun that refer to a record; ``filter`` is the parameter of their list that leads to all."""

    name: str
    description: str
    resource: Resource
    filter: str
    result: Result


@dataclass(frozen=True)
class Profile:
    """The related lists of a record, those without records left out, and its citations with their sources."""

    lists: Sequence[RelatedList]
    citations: Result | None


def profile(session: Session, resource: Resource, id: str, planner: Planner) -> Profile:
    """Return the profile of a record as it is now."""
    related = []
    for name, description, target, filter in _referring(resource):
        query = parser.parse(target, [(filter, [id]), ("limit", [str(FIRST)])])
        if (result := lists.read(session, query, planner)).total:
            related.append(RelatedList(name, description, target, filter, result))
    cited = any(relation.to == CITATIONS for relation in resource.relations)
    return Profile(related, _citations(session, resource, id, planner) if cited else None)


def _citations(session: Session, resource: Resource, id: str, planner: Planner) -> Result:
    arguments = {"subject_kind": resource.name, "subject_id": id, "include": "source", "limit": str(MAX_LIMIT)}
    query = parser.parse(BY_NAME[CITATIONS], [(name, [value]) for name, value in arguments.items()])
    return lists.read(session, query, planner)


def _referring(resource: Resource) -> Sequence[tuple[str, str, Resource, str]]:
    """Return the lists of records that refer to a noun, in reading order: name, description, noun, and filter.

    A relation of the noun itself, the other way round, gives the name; without one it is that of the other noun. Lists that
    the record itself has are left out.
    """
    referring = []
    for other in RESOURCES:
        for relation in (row for row in other.relations if row.to == resource.name):
            back = next((row for row in resource.relations if _is_inverse(row, relation)), None)
            if back is None:
                referring.append((other.name, "", other, relation.prefix))
            elif back.name not in resource.members:
                referring.append((back.name, back.description, other, relation.prefix))
    first = resource.look.lists
    return sorted(referring, key=lambda row: first.index(row[0]) if row[0] in first else len(first))


def _is_inverse(relation: Relation, other: Relation) -> bool:
    return relation.owner is other.target and relation.target is other.owner
