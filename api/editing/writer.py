"""Writing: operations in, one commit of the ledger out, all of it or nothing.

The head of the ledger is taken first, and held to the end. So what an operation is checked against, `If-Match` above
all, is what it changes; writers wait for each other and never for each other's rows; and a request that is sent twice
at once is carried out once.
"""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from api.editing.constraints import CHUNK, Staged
from api.editing.inputs import content_of, merged, read, sendable
from api.editing.operations import Change, Expected, Operation, Refused
from api.errors import ProblemError, error_item
from api.ledger import publish
from api.ledger.history import near_id
from api.ledger.models import Op, Revision
from api.ledger.rendering import quick_hash
from api.resources import RESOURCES
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import RESERVED, SLUG, instant, is_slug
from api.schema.resource import Resource

__all__ = ["Change", "Expected", "Operation", "Outcome", "Writer"]

LATER = {"postgresql": "set constraints all deferred", "sqlite": "pragma defer_foreign_keys = on"}


@dataclass(frozen=True)
class Outcome:
    """What became of an operation; ``revision`` is the record's current one."""

    status: str
    resource: Resource
    revision: Revision


class Writer:
    """Checks and writes operations in one transaction, and publishes them as one commit."""

    def __init__(self, session: Session, *, coming: Mapping[str, AbstractSet[str]] | None = None) -> None:
        """Take the ledger's head. ``coming`` are ids, by noun, of what later calls of `apply` create."""
        self.session, self.coming = session, coming or {}
        self.dialect = session.get_bind().dialect.name
        self.checked: set[bytes] = set()
        # What raw SQL has broken stays as it was published, and is no mistake of those who come after.
        self.broken = set(publish.settle(session).refused)
        session.execute(text(LATER[self.dialect]))

    def apply(self, operations: Sequence[Operation], refused: Refused | None = None) -> list[Change]:
        """Write some operations, if nothing is wrong with them.

        Raises a ProblemError with everything that is wrong, or adds it to ``refused``, if that is given.
        """
        found = Refused() if refused is None else refused
        changes = self._changes(operations, found)
        # What refers to a refused record is not wrong for that.
        staged = Staged(self.session, changes, self._coming(operations) if found else self.coming, found)
        staged.check()
        if refused is None:
            found.raise_any()
        if not found:
            staged.write()
            self.checked |= {quick_hash(change.content) for change in changes if change.content}
        return changes

    def _coming(self, operations: Sequence[Operation]) -> Mapping[str, AbstractSet[str]]:
        found = {kind: set(ids) for kind, ids in self.coming.items()}
        for operation in operations:
            id = operation.id or (operation.body.get("id") if isinstance(operation.body, dict) else None)
            if isinstance(id, str):
                found.setdefault(operation.resource.name, set()).add(id)
        return found

    def publish(
        self, *, reason: str | None, author: str | None, progress: publish.Progress | None = None
    ) -> publish.Publication:
        """Publish what was written. Raises a ProblemError when it can't be."""
        if self.dialect == "postgresql":
            self.session.execute(text("set constraints all immediate"))
        publication = publish.publish(self.session, reason=reason, author=author, progress=progress, checked=self.checked)
        refused = [line for line in publication.refused if line not in self.broken]
        if refused:
            items = [error_item("", "invalid-value", line, pointer="") for line in refused]
            raise ProblemError("invalid-body", " ".join(refused[:10]), *items)
        return publication

    def outcomes(self, changes: Sequence[Change]) -> list[Outcome]:
        """Return what became of operations that were published, in their order."""
        found = self._current([(change.operation.resource.name, change.id) for change in changes])
        return [
            Outcome(change.status, change.operation.resource, found[change.operation.resource.name, change.id])
            for change in changes
        ]

    def _current(self, named: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Revision]:
        """Return the current revisions of some records."""
        found: dict[tuple[str, str], Revision] = {}
        for resource in RESOURCES:
            ids = [id for kind, id in named if kind == resource.name]
            for start in range(0, len(ids), CHUNK):
                current = publish.current(self.session, resource.name, ids[start : start + CHUNK])
                found |= {(resource.name, id): revision for id, revision in current.items()}
        return found

    def _changes(self, operations: Sequence[Operation], refused: Refused) -> list[Change]:
        """Return what the operations come to; each record may be named once."""
        named: dict[tuple[str, str], Operation] = {}
        for operation in operations:
            id = _id(operation, refused)
            if id is None:
                continue
            if (operation.resource.name, id) in named:
                detail = f"`{operation.resource.name}/{id}` is named by an earlier operation: one is enough."
                refused.operation("invalid-body", operation, "id", detail, code="named-twice")
            named.setdefault((operation.resource.name, id), operation)
        olds = self._current(list(named))
        found = [self._change(operation, id, olds.get((kind, id)), refused) for (kind, id), operation in named.items()]
        return [change for change in found if change]

    def _change(self, operation: Operation, id: str, old: Revision | None, refused: Refused) -> Change | None:
        """Check one operation by itself; None where it is refused."""
        change = Change(operation, id, old)
        if old and old.op is Op.UPSERT:
            document = json.loads(old.document or "")
            change.before = sendable(operation.resource, document)
            allowed = _may_change(change, document, refused)
        else:
            allowed = self._may_create(change, refused)
        if not allowed or operation.verb == "delete":
            return change if allowed else None
        body = operation.body
        if operation.verb == "patch" and isinstance(body, dict):
            body = merged(change.before, body)
        body = {"id": id, **body} if isinstance(body, dict) else body
        change.data = read(operation.resource, body, refused.items["invalid-body"], operation.pointer)
        if change.data is None:
            return None
        change.content = content_of(operation.resource, change.data)
        return change

    def _may_create(self, change: Change, refused: Refused) -> bool:
        """Tell whether an operation can do without the record, which is not there."""
        operation, name = change.operation, f"{change.operation.resource.singular} `{change.id}`"
        if operation.expected:
            refused.operation("precondition-failed", operation, "If-Match", f"There is no {name}.")
            refused.members.setdefault("current", None)
        elif operation.verb in {"create", "put", "upsert"}:
            return True
        elif change.old:
            detail = f"The {name} was deleted in version {change.old.version}."
            refused.operation("record-deleted", operation, "id", detail)
            refused.members |= {"deleted_at": instant(change.old.changed_at), "version": change.old.version}
        else:
            suggestion = near_id(self.session, operation.resource.name, change.id)
            detail = f"There is no {name}."
            refused.operation("record-not-found", operation, "id", detail, code="unknown-id", suggestion=suggestion)
        return False


def _id(operation: Operation, refused: Refused) -> str | None:
    """Return the id that an operation is about; where the request's and the record's both say it, they agree."""
    said = operation.body.get("id") if isinstance(operation.body, dict) else None
    id = said if operation.id is None else operation.id
    if operation.id is not None and not (isinstance(said, str | None) and said in (None, id)):
        detail = f"The record is `{id}`, and an id never changes."
        refused.value(operation, "/id", "read-only", detail, allowed=[id])
        return None
    if id is None and not isinstance(operation.body, dict):
        refused.value(operation, "", "invalid-value", f"The {operation.resource.singular} is to be an object.")
    elif not (isinstance(id, str) and is_slug(id) and id != RESERVED):
        example = operation.resource.fields["id"].example
        detail = f"An id is of lower-case letters and digits with single hyphens, such as `{example}`, 200 characters at most."
        code = "missing" if id is None else "invalid-value"
        refused.value(operation, "/id", code, "`id` is missing. " * (id is None) + detail, allowed={"pattern": SLUG})
    else:
        return id
    return None


def _may_change(change: Change, document: Content, refused: Refused) -> bool:
    """Tell whether an operation can change a record that is there: not if it could undo what its caller has not seen."""
    operation, old = change.operation, change.old
    assert old
    name = f"The {operation.resource.singular} `{change.id}`"
    if operation.verb == "create":
        records = [{"kind": operation.resource.name, "id": change.id}]
        detail = f"{name} is there already."
        refused.value(operation, "/id", "already-exists", detail, problem="conflict", records=records)
    elif operation.verb == "upsert":
        return True
    elif operation.absent:
        refused.operation("precondition-failed", operation, "If-None-Match", f"{name} is there already.")
        refused.members["current"] = document
    elif operation.expected is None:
        cure = "send the `ETag` that you read as `If-Match`" if operation.place is None else "send its `version` as `if_match`"
        refused.operation("precondition-required", operation, "If-Match", f"{name} is there already: {cure}.")
    elif not operation.expected.holds(old.version):
        _refuse_overtaken(change, document, refused)
    else:
        return True
    return False


def _refuse_overtaken(change: Change, document: Content, refused: Refused) -> None:
    """Say that a record has changed since the caller saw it, and which of the caller's members are not what it says now."""
    operation, old = change.operation, change.old
    assert old
    detail = f"The {operation.resource.singular} `{change.id}` has changed: it is at version {old.version}."
    refused.operation("precondition-failed", operation, "If-Match", detail)
    refused.members.setdefault("current", document)
    for member, value in operation.body.items() if isinstance(operation.body, dict) else ():
        if member in document and member not in PUBLICATION and document[member] != value:
            detail = f"`{member}` is another now than you sent."
            refused.value(operation, f"/{member}", "differs", detail, problem="precondition-failed")
