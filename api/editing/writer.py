"""Writes operations as one commit of the ledger, all of them or none.

A writer locks the head of the ledger first and keeps the lock to the end. So the state that an operation is checked against,
such as by `If-Match`, is the state that it changes; writers wait for each other only there; and two copies of one request
that arrive together are carried out once.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.editing import constraints, moves, store
from api.editing.changes import changes_of, last_revisions
from api.editing.operations import Change, Operation, RecordKey, Refused
from api.editing.rules import Rules
from api.editing.staging import Staging, staged
from api.errors import ProblemError, error_item
from api.ledger import head, publish
from api.ledger.history import RevisionRow
from api.ledger.models import Revision
from api.ledger.rendering import Written
from api.schema.resource import Resource


@dataclass(frozen=True)
class Outcome:
    """The result of an operation; ``revision`` is the record's current one."""

    status: str
    resource: Resource
    revision: Revision | RevisionRow


class Writer:
    """One transaction: applies operations, in one call or several, and publishes them as one commit."""

    def __init__(
        self, session: Session, *, coming: Mapping[str, AbstractSet[str]] | None = None, is_rehearsal: bool = False
    ) -> None:
        """Lock the ledger's head, unless nothing will be published.

        ``coming`` are ids, by noun, of records that later calls of `apply` create.
        """
        self.session, self.coming, self.is_rehearsal = session, coming or {}, is_rehearsal
        self.written = Written()
        self.deferred = False
        self.rules = Rules(session)
        # The ids that take the places of deleted records, by noun and id.
        self.merged: dict[RecordKey, str] = {}
        settled = _unchanged(session) if is_rehearsal else publish.settle(session)
        # A refusal takes back what was published here, so it must not name these versions.
        self.published = settled.before
        # Records that raw SQL broke keep their last revision, and are not the fault of this writer.
        self.broken = set(settled.refused)

    def apply(self, operations: Sequence[Operation], refused: Refused | None = None) -> list[Change]:
        """Write operations, which `checked` returned, if all of them are valid, and return their changes.

        Raises a ProblemError with every error. A caller that collects errors in ``refused`` calls `rules.check` at its end.
        """
        errors = Refused() if refused is None else refused
        errors.published = self.published
        changes, staging = examined(self.session, operations, errors, self.coming)
        if refused is None:
            errors.raise_any()
        if not errors:
            # Foreign keys allow the order in which the rows of one new record are written.
            is_one = len(changes) == 1 and changes[0].status == "created" and not self.written.last
            if not self.deferred and not is_one:
                store.defer_foreign_keys(self.session)
                self.deferred = True
            self.rules.note(changes)
            store.write(self.session, staging)
            self.merged |= {
                (change.operation.resource.name, change.id): change.operation.into
                for change in changes
                if change.operation.into
            }
            for change in changes if not self.is_rehearsal else ():
                self.written.add(change.operation.resource.name, change.id, change.content, change.old)
        if refused is None:
            self.rules.check(errors)
            errors.raise_any()
        return changes

    def publish(
        self,
        *,
        reason: str | None,
        author: str | None,
        import_id: str | None = None,
        progress: publish.Progress | None = None,
    ) -> publish.Publication:
        """Publish the changes. Raises a ProblemError if a record cannot be published.

        ``import_id`` names the import that they are a piece of: the commits that have one name are reverted as one.
        """
        if self.deferred:
            store.check_foreign_keys(self.session)
        # The rules were checked, and what they know of a large import takes much memory.
        self.rules = Rules(self.session)
        known = {"reason": reason, "author": author, "import_id": import_id}
        publication = publish.publish(self.session, **known, merged=self.merged, progress=progress, written=self.written)
        refused = [line for line in publication.refused if line not in self.broken]
        if refused:
            items = [error_item("", "invalid-value", line, pointer="") for line in refused]
            raise ProblemError("invalid-body", " ".join(refused[:10]), *items)
        return publication


def _unchanged(session: Session) -> publish.Publication:
    version = head.state(session).version
    return publish.Publication(version, version)


def examined(
    session: Session, operations: Sequence[Operation], refused: Refused, coming: Mapping[str, AbstractSet[str]]
) -> tuple[list[Change], Staging]:
    """Return the changes that operations make in the dataset as a session sees it, and their rows; adds to ``refused``."""
    operations = moves.expanded(session, operations)
    changes = changes_of(session, operations, refused)
    staging = staged(changes)
    # A reference to a record that was refused for another reason is not a second error.
    coming = _with_ids_of(operations, coming) if refused else coming
    constraints.check(session, staging, coming, refused)
    constraints.check_references(session, staged(refused.salvaged), coming, refused)
    return changes, staging


def outcomes_of(session: Session, changes: Sequence[Change], publication: publish.Publication) -> list[Outcome]:
    """Return the results of changes that were published, in their order, without implied ones that changed nothing."""
    records = [(change.operation.resource.name, change.id) for change in changes]
    revisions: dict[RecordKey, Revision | RevisionRow] = {
        record: _readable(row) for record in records if (row := publication.added.get(record))
    }
    revisions |= last_revisions(session, [record for record in records if record not in revisions])
    return [
        Outcome(change.status, change.operation.resource, revisions[change.operation.resource.name, change.id])
        for change in changes
        if not (change.operation.implied and change.status == "unchanged")
    ]


def _readable(row: Mapping[str, Any]) -> RevisionRow:
    """Return the row of a revision that was just added, as readers know it."""
    columns = {**row, "erases": False}
    return RevisionRow(**{name: columns[name] for name in RevisionRow._fields})


def _with_ids_of(operations: Sequence[Operation], coming: Mapping[str, AbstractSet[str]]) -> Mapping[str, AbstractSet[str]]:
    """Return ids, by noun, together with those of the operations' records."""
    result = {kind: set(ids) for kind, ids in coming.items()}
    for operation in operations:
        result.setdefault(operation.resource.name, set()).add(str(operation.id))
    return result
