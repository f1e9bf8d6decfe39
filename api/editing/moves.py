"""Merging and renaming: all references to a record go to another one, and its id leads there from then on.

Both are carried out as operations on the records that refer to it, which are checked as if a client had sent them. So what a
merge would break, such as a name that must be unique, refuses it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.types import Base
from api.editing import citing
from api.editing.changes import last_revisions, with_values
from api.editing.citing import Moved
from api.editing.inputs import sendable
from api.editing.operations import ANY, JOIN, RENAME, Operation, RecordKey
from api.editing.replacing import columns
from api.editing.rows import owners
from api.editing.staging import chunks
from api.errors import MAX_REFUSALS
from api.resources import BY_NAME
from api.resources.citations import Citation
from api.schema.canonical import Content

CITATIONS = Citation.__tablename__
# The operations that move records, by noun and id.
Moving = Mapping[RecordKey, Operation]


def expanded(session: Session, operations: Sequence[Operation]) -> list[Operation]:
    """Return operations with those that merges and renames make necessary, at the end.

    A record that another operation names is left to that operation.
    """
    moving = {key_of(operation): operation for operation in operations if operation.verb in {JOIN, RENAME}}
    if not moving:
        return [*operations]
    there = _documents(session, [*moving, *map(_target, moving.values())])
    # A record that is not there is refused as a deletion of it would be, and so is one whose place no other takes.
    named = [replace(row, verb="delete", expected=row.expected or ANY) if key_of(row) in there else row for row in operations]
    named = [replace(row, verb="delete") if row.verb in {JOIN, RENAME} else row for row in named]
    ready = {key: row for key, row in moving.items() if key in there and (row.verb == RENAME or _target(row) in there)}
    keys = {key_of(operation) for operation in operations}
    return [*named, *(row for row in _Moves(session, ready, there).implied() if key_of(row) not in keys)]


def key_of(operation: Operation) -> RecordKey:
    """Return the noun and the id of an operation's record."""
    return operation.resource.name, str(operation.id)


def _target(operation: Operation) -> RecordKey:
    """Return the noun and the id of the record that takes the place of an operation's."""
    return operation.resource.name, str(operation.into)


@dataclass(frozen=True)
class _Moves:
    """The records that move, each with its operation, and the documents of these and of those that take their places."""

    session: Session
    moving: Moving
    there: Mapping[RecordKey, Content]

    @property
    def ids(self) -> Mapping[RecordKey, str]:
        """The ids of the records that take the places of the moving ones."""
        return {key: str(operation.into) for key, operation in self.moving.items()}

    def implied(self) -> Iterator[Operation]:
        """Yield the records under new ids, the records that refer to moving ones, and citations of all of these."""
        causes, ids = self._referrers(), self.ids
        moved = {key: Moved(key, content, ids) for key, content in _documents(self.session, causes).items()}
        for key, operation in self.moving.items():
            target = _target(operation)
            row = Moved(target, self.there[key], ids)
            if operation.verb == RENAME:
                row.after["id"] = target[1]
                yield _operation(operation, "create", target, row.after)
            else:
                row = replace(row, target=moved[target].after if target in moved else self.there[target])
            moved[key] = row
        for key in [key for key, row in moved.items() if key in causes and row.after != row.before]:
            yield _operation(causes[key], "put", key, moved[key].after)
        sources = [id for kind, id in self.moving if kind == "sources"]
        by_source = {id: self.moving["sources", source] for id, source in citing.of_sources(self.session, sources)}
        for id, subject, after in citing.carried(self.session, moved, [*by_source], ids):
            cause = self.moving.get(subject) or causes.get(subject) or by_source[id]
            yield _operation(cause, "delete" if after is None else "put", (CITATIONS, id), after)

    def _referrers(self) -> dict[RecordKey, Operation]:
        """Return the records that refer to moving ones, apart from citations, each with the operation that changes it."""
        result: dict[RecordKey, Operation] = {}
        for name, column, noun in ((table, *row) for table, rows in columns().items() for row in rows.items()):
            table, (kind, owner) = Base.metadata.tables[name], owners()[name]
            for ids in chunks(id for of, id in self.moving if of == noun and kind.name != CITATIONS):
                rows = self.session.execute(select(table.c[owner], table.c[column]).where(table.c[column].in_(ids)))
                result |= {(kind.name, id): self.moving[noun, old] for id, old in rows}
        return {key: cause for key, cause in result.items() if key not in self.moving}


def _documents(session: Session, keys: Iterable[RecordKey]) -> dict[RecordKey, Content]:
    """Return the members that curators set of those of some records that exist."""
    revisions = last_revisions(session, dict.fromkeys(keys))
    return {
        (kind, id): sendable(BY_NAME[kind], json.loads(revision.document))
        for (kind, id), revision in revisions.items()
        if revision.document
    }


def _operation(cause: Operation, verb: str, key: RecordKey, content: Content | None) -> Operation:
    kind, id = key
    expected = None if verb == "create" else ANY
    operation = Operation(
        verb=verb, resource=BY_NAME[kind], id=id, body=content, expected=expected, place=cause.place, implied=True
    )
    return with_values(operation, MAX_REFUSALS)
