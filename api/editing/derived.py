"""Derived members of files: members of our own downloads that other records decide.

An import accepts them if they are what the data says once everything is written, or what it said when the file was exported.
Any other value is refused: it is an edit that could not be carried out.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.editing.operations import Exported, Operation, Refused, shown
from api.editing.staging import chunks
from api.ledger.models import Revision
from api.ledger.rendering import rendered
from api.resources import BY_NAME
from api.schema.canonical import Content
from api.schema.resource import Resource


@dataclass(frozen=True)
class Derived:
    """The derived members that records of files have, with their operations, by noun and id."""

    sent: dict[str, dict[str, tuple[Operation, Content]]] = field(default_factory=lambda: defaultdict(dict))

    def taken(self, operation: Operation) -> Operation:
        """Return an operation without the derived members of its body, which are kept to be checked."""
        body, kind = operation.body, operation.resource
        if not (isinstance(body, dict) and isinstance(body.get("id"), str)):
            return operation
        members = {name: body[name] for name in kind.derived if name in body}
        if not members:
            return operation
        slim = replace(operation, body=None)
        self.sent[kind.name][body["id"]] = (slim, members)
        return replace(operation, body={name: value for name, value in body.items() if name not in members})

    def check(self, session: Session, refused: Refused) -> None:
        """Refuse derived members that the written records, and those that were exported, do not have."""
        for kind, records in self.sent.items():
            for ids in chunks(records):
                contents = rendered(session, BY_NAME[kind], ids).contents
                for id in (id for id in ids if id in contents):
                    _check(session, *records[id], contents[id], refused)


def _check(session: Session, operation: Operation, members: Content, content: Content, refused: Refused) -> None:
    others = {name for name, value in members.items() if value != content[name]}
    base = _exported(session, operation.resource, content["id"], operation.exported) if others else {}
    for name in sorted(name for name in others if name not in base or members[name] != base[name]):
        detail = f"`{name}` is set by other records, to {shown(content[name])}; leave it out, or change those records."
        refused.value(operation, f"/{name}", "read-only", detail)


def _exported(session: Session, resource: Resource, id: str, exported: Exported | None) -> Mapping[str, object]:
    """Return the document that a record of a file was exported from; empty if there is none."""
    if exported is None:
        return {}
    this = (Revision.kind == resource.name, Revision.id == id, Revision.version == exported.version)
    revision = session.scalars(select(Revision).where(*this)).one_or_none()
    return json.loads(revision.document) if revision and revision.document and exported.is_of(revision) else {}
