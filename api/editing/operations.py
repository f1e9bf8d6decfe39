"""Operations on records, the changes that they make, and the reasons why they are refused."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from api.editing.rows import Values
from api.errors import MAX_ERRORS, MAX_REFUSALS, MAX_SUMMARY, ErrorList, Item, ProblemError, ProblemName
from api.ledger.models import Revision
from api.logs import escaped
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import MAX_INTEGER
from api.schema.resource import Resource

# A noun and an id.
RecordKey = tuple[str, str]
# The problems that refuse operations; a response to several operations has the first one that occurs.
REFUSALS: Sequence[ProblemName] = (
    "invalid-body",
    "precondition-required",
    "precondition-failed",
    "conflict",
    "record-not-found",
    "record-deleted",
)
# The verbs of an import: members that a record lacks keep their values, or become empty.
IMPORTS = frozenset({"merge", "replace"})
# The member of a changeset's operation that stands for a part of a request.
MEMBERS = {"id": "id", "If-Match": "if_match", "If-None-Match": "op", "into": "into", "to": "to"}
# The verbs that give the references to a record to another one, as `moves` carries them out: to one that exists, or a new one.
JOIN, RENAME = "join", "rename"


def shown(value: Any) -> str:
    """Return a value as JSON on one line."""
    return escaped(json.dumps(value, ensure_ascii=False))


@dataclass(frozen=True)
class Expected:
    """The revisions of a record that the caller agrees to change; ``any``: every one.

    A revision is a version with the first digits of its hash, in hexadecimal; no digits stand for any hash.
    """

    revisions: AbstractSet[tuple[int, str]] = frozenset()
    any: bool = False

    def holds(self, revision: Revision) -> bool:
        """Tell whether the caller agrees to change this revision."""
        sha256 = (revision.leaf or b"").hex()
        return self.any or any(version == revision.version and sha256.startswith(digits) for version, digits in self.revisions)


# The caller agrees to change the record whatever its state is.
ANY = Expected(any=True)


@dataclass(frozen=True)
class Exported:
    """The revision that a record of a file was exported from, as the file names it."""

    version: int
    updated_at: dt.datetime | None = None

    def is_of(self, revision: Revision) -> bool:
        """Tell whether this is a revision; the time tells it from one of the same number that was lost in a restore."""
        return self.version == revision.version and self.updated_at in {None, revision.changed_at}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One change of one record, as it was requested.

    ``verb`` is `create`, `put`, `patch`, `delete`, `JOIN` or `RENAME`, or one of `IMPORTS`. ``place`` is the JSON Pointer of
    the operation in a changeset, None if it is a request of its own; ``pointer`` is that of the record. ``absent``: the record
    must not exist yet. ``values`` are those of a body that `changes.checked` has read, and ``errors`` what is wrong with it.
    ``exported`` tells what a record of a file is an edit of. ``into`` is the id of the record that takes the place of a deleted
    one. ``implied``: another operation, or a revert, makes this one necessary. ``revives``: it may end a redirect.
    """

    verb: str
    resource: Resource
    id: str | None = None
    body: Any = None
    expected: Expected | None = None
    absent: bool = False
    exported: Exported | None = None
    place: str | None = None
    pointer: str = ""
    values: Values | None = None
    errors: Sequence[Item] = ()
    into: str | None = None
    implied: bool = False
    revives: bool = False


@dataclass
class Change:
    """The effect of an operation: a record's content before and after it, None if there is no record."""

    operation: Operation
    id: str
    old: Revision | None
    before: Content | None = None
    data: Values | None = None
    content: Content | None = None

    @property
    def status(self) -> str:
        """One of `created`, `updated`, `unchanged` and `deleted`."""
        if self.content is None:
            return "deleted"
        return "created" if self.before is None else "unchanged" if self.content == self.before else "updated"

    @property
    def changed(self) -> AbstractSet[str]:
        """Names of the members with a new value."""
        before, after = self.before or {}, self.content or {}
        return frozenset(name for name in {*before, *after} if before.get(name) != after.get(name))


class Refused:
    """The errors of some operations, by the name of the problem that they belong to."""

    def __init__(self, most: int = MAX_REFUSALS) -> None:
        """Begin without errors; each problem takes at most ``most`` of them.

        ``published`` is the last version that clients can see; later ones are pending changes by raw SQL.
        """
        self.most, self.published = most, MAX_INTEGER
        self.items: dict[str, ErrorList] = defaultdict(lambda: ErrorList(most))
        self.members: dict[str, Any] = {}
        # Records of files that are wrong, with those of their values that are right.
        self.salvaged: list[Change] = []

    @property
    def full(self) -> bool:
        """Whether one problem has the maximum number of errors, so that further checks can stop."""
        return any(items.full for items in self.items.values())

    @property
    def suggests(self) -> bool:
        """Whether the next error may have a suggestion, which costs more than the error: only the first ones do."""
        return sum(map(len, self.items.values())) < MAX_ERRORS

    def current(self, document: Content) -> Content:
        """Return a record to show in a refusal, without its version if nobody can see that yet."""
        if document["version"] <= self.published:
            return document
        return {name: value for name, value in document.items() if name not in PUBLICATION}

    def value(self, operation: Operation, pointer: str, code: str, detail: str, **known: Any) -> None:
        """Add an error about a value of a record."""
        problem = known.pop("problem", "invalid-body")
        if operation.implied:
            # The record is not in the body.
            record = f"{operation.resource.name}/{operation.id}"
            self.items[problem].add("", code, f"`{record}`, `{pointer}`: {detail}", pointer=operation.place or "", **known)
        else:
            self.items[problem].add("", code, detail, pointer=operation.pointer + pointer, **known)

    def operation(self, problem: str, operation: Operation, parameter: str, detail: str, **known: Any) -> None:
        """Add an error about an operation; ``parameter`` is the part of the request that causes it."""
        code = known.pop("code", problem)
        if operation.place is None:
            self.items[problem].add(parameter, code, detail, **known)
        else:
            self.items[problem].add("", code, detail, pointer=f"{operation.place}/{MEMBERS[parameter]}", **known)

    def __bool__(self) -> bool:
        """Tell whether there is an error."""
        return any(self.items.values())

    def raise_any(self) -> None:
        """Raise a ProblemError with all errors, if there is one."""
        problems = [name for name in REFUSALS if self.items.get(name)]
        if problems:
            items = [item for name in problems for item in self.items[name]]
            raise ProblemError(problems[0], " ".join(item["detail"] for item in items[:MAX_SUMMARY]), *items, **self.members)
