"""What the dataset says of one record: the records that refer to it, the first of each kind, and its citations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.query import lists, parser
from api.query.language import MAX_LIMIT
from api.query.lists import Result
from api.query.order import is_many
from api.query.plan import Planner
from api.resources import BY_NAME, RESOURCES
from api.schema.resource import Resource

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
    for name, description, target, filter in (*_leading_back(resource), *_leading_here(resource)):
        query = parser.parse(target, [(filter, [id]), ("limit", [str(FIRST)])])
        if (result := lists.read(session, query, planner)).total:
            related.append(RelatedList(name, description, target, filter, result))
    cited = any(relation.to == CITATIONS for relation in resource.relations)
    return Profile(related, _citations(session, resource, id, planner) if cited else None)


def _citations(session: Session, resource: Resource, id: str, planner: Planner) -> Result:
    arguments = {"subject_kind": resource.name, "subject_id": id, "include": "source", "limit": str(MAX_LIMIT)}
    query = parser.parse(BY_NAME[CITATIONS], [(name, [value]) for name, value in arguments.items()])
    return lists.read(session, query, planner)


def _leading_here(resource: Resource) -> Iterator[tuple[str, str, Resource, str]]:
    """Yield the nouns that refer to a noun which does not know of it, such as citations to their source."""
    known = {relation.to for relation in resource.relations}
    for other in RESOURCES:
        for relation in other.relations:
            if relation.to == resource.name and other.name not in known:
                yield other.name, "", other, relation.prefix


def _leading_back(resource: Resource) -> Sequence[tuple[str, str, Resource, str]]:
    """Return the relations to many records that have a relation back, with the filter that follows it, in reading order."""
    first = resource.look.lists
    back = [
        (relation, other.prefix)
        for relation in resource.relations
        # The record itself lists the others.
        if relation.to and is_many(relation) and relation.name not in resource.members
        for other in BY_NAME[relation.to].relations
        if other.to == resource.name and other.owner is relation.target and other.target is relation.owner
    ]
    back.sort(key=lambda row: first.index(row[0].name) if row[0].name in first else len(first))
    return [(relation.name, relation.description, BY_NAME[relation.to or ""], filter) for relation, filter in back]
