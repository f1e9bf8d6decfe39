"""Checks stored records by the rules of writing: raw SQL and former releases may have stored what no request can.

Each record is read, staged and checked as if a request had sent it, by the functions that check requests.
"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.editing import constraints, naming
from api.editing.inputs import content_of, read, sendable
from api.editing.operations import Change, Operation, Refused, shown
from api.editing.rows import arranged, layout
from api.editing.rules import Rules
from api.editing.staging import staged
from api.errors import Item
from api.ledger.models import BATCH
from api.ledger.rendering import rendered
from api.resources import RESOURCES
from api.schema.canonical import Content
from api.schema.resource import Resource

# Faults of a batch.
MAX_FAULTS = 100_000
# Codes of errors that the batches leave out. A record that shares a name is found among all records afterwards, and one that
# disagrees with a related record is reported, but not the related record, too.
ELSEWHERE = {("conflict", "not-unique"), ("conflict", "disagrees")}


def audit(session: Session) -> Iterator[str]:
    """Yield a line for each rule that a stored record breaks, with the request that mends it.

    Records that cannot be published are left to `verify`.
    """
    for resource in RESOURCES:
        for ids in _batches(session, resource):
            contents = rendered(session, resource, ids).contents
            yield from _faults_of(session, resource, contents)
            session.expunge_all()
        for suspects in naming.suspects(session, resource):
            refused = Refused(MAX_FAULTS)
            operations = {id: _operation(resource, id) for id in suspects}
            naming.check(session, resource, lambda *_, named=operations: named, refused, {})
            yield from map(_line, refused.items["conflict"])


def _batches(session: Session, resource: Resource) -> Iterator[Sequence[str]]:
    """Yield the ids of a noun's records in the tables, `BATCH` at a time."""
    last = ""
    statement = select(resource.model.id).order_by(resource.model.id).limit(BATCH)
    while ids := session.scalars(statement.where(resource.model.id > last)).all():
        yield ids
        last = ids[-1]


def _faults_of(session: Session, resource: Resource, contents: Mapping[str, Content]) -> Iterator[str]:
    """Yield a line for each rule that some records of a noun break."""
    refused = Refused(MAX_FAULTS)
    changes = list(_changes(resource, contents, refused))
    constraints.check(session, staged(changes), {}, refused)
    rules = Rules(session)
    rules.note(changes)
    rules.check_related(refused)
    yield from _lines(refused)


def _changes(resource: Resource, contents: Mapping[str, Content], refused: Refused) -> Iterator[Change]:
    """Yield records as if they were to be created; one that would be stored otherwise, or not at all, is refused."""
    for id, content in sorted(contents.items()):
        operation, before = _operation(resource, id), sendable(resource, content)
        data = read(resource, before, refused.items["invalid-body"], operation.pointer)
        if data is None:
            continue
        after = arranged(layout(resource), content_of(resource, data))
        for member in (member for member in before if before[member] != after[member]):
            detail = f"Stored as {shown(before[member])}, which is written {shown(after[member])}."
            refused.value(operation, f"/{member}", "differs", detail)
        yield Change(operation, id, None, None, data, after)


def _operation(resource: Resource, id: str) -> Operation:
    return Operation(verb="put", resource=resource, id=id, pointer=f"/{resource.name}/{id}")


def _lines(refused: Refused) -> Iterator[str]:
    errors = ((problem, item) for problem, items in refused.items.items() for item in items)
    return (_line(item) for problem, item in errors if (problem, item["code"]) not in ELSEWHERE)


def _line(item: Item) -> str:
    """Return an error as a line: the record, the place in it, the fault, and the request that mends it."""
    _, kind, id, *rest = item["pointer"].split("/")
    place = f", {'/'.join(rest)}" if rest else ""
    cure = "Create it again with another id" if rest == ["id"] else f"Correct it with `PATCH /{kind}/{id}`"
    return f"{kind}/{id}{place}: {item['detail']} {cure}."
