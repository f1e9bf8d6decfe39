"""Operations on records, what they come to, and why they are refused."""

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from api.editing.rows import Values
from api.errors import ErrorList, ProblemError, ProblemName
from api.ledger.models import Revision
from api.schema.canonical import Content
from api.schema.resource import Resource

# The kinds of refusal: an answer to several operations is of the first that there is.
REFUSALS: Sequence[ProblemName] = (
    "invalid-body",
    "precondition-required",
    "precondition-failed",
    "conflict",
    "record-not-found",
    "record-deleted",
)
# What a header of a request is called in an operation of a changeset.
MEMBERS = {"id": "id", "If-Match": "if_match", "If-None-Match": "op"}


@dataclass(frozen=True)
class Expected:
    """Which versions of a record the caller is content to change; ``any``: whatever there is."""

    versions: AbstractSet[int] = frozenset()
    any: bool = False

    def holds(self, version: int) -> bool:
        """Tell whether a record at this version is what the caller knows."""
        return self.any or version in self.versions


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One change of one record.

    ``verb`` is `create`, `put`, `patch`, `delete` or, of an import, `upsert`. ``place`` is the JSON Pointer of the operation in
    a changeset, None where it is the request itself; ``pointer`` is that of the record. ``absent``: there must be no such
    record yet.
    """

    verb: str
    resource: Resource
    id: str | None = None
    body: Any = None
    expected: Expected | None = None
    absent: bool = False
    place: str | None = None
    pointer: str = ""


@dataclass
class Change:
    """What an operation comes to: the record as it is published, and as it shall be, None for not there."""

    operation: Operation
    id: str
    old: Revision | None
    before: Content | None = None
    data: Values | None = None
    content: Content | None = None

    @property
    def status(self) -> str:
        """What happens."""
        if self.content is None:
            return "deleted"
        return "created" if self.before is None else "unchanged" if self.content == self.before else "updated"

    @property
    def changed(self) -> AbstractSet[str]:
        """Names of the members that will be others than they are."""
        before, after = self.before or {}, self.content or {}
        return {name for name in {*before, *after} if before.get(name) != after.get(name)}


class Refused:
    """What is wrong with each operation, by the name of the problem that it is."""

    def __init__(self) -> None:
        """Nothing is, so far."""
        self.items: dict[str, ErrorList] = defaultdict(lambda: ErrorList(100_000))
        self.members: dict[str, Any] = {}

    def value(self, operation: Operation, pointer: str, code: str, detail: str, **known: Any) -> None:
        """Say what is wrong with a value of a record."""
        problem = known.pop("problem", "invalid-body")
        self.items[problem].add("", code, detail, pointer=operation.pointer + pointer, **known)

    def operation(self, problem: str, operation: Operation, parameter: str, detail: str, **known: Any) -> None:
        """Say why an operation can't be; ``parameter`` is the part of a request that it is about."""
        code = known.pop("code", problem)
        if operation.place is None:
            self.items[problem].add(parameter, code, detail, **known)
        else:
            self.items[problem].add("", code, detail, pointer=f"{operation.place}/{MEMBERS[parameter]}", **known)

    def __bool__(self) -> bool:
        """Tell whether anything is."""
        return any(self.items.values())

    def raise_any(self) -> None:
        """Raise a problem with all of it, if there is any."""
        there = [name for name in REFUSALS if self.items.get(name)]
        if there:
            items = [item for name in there for item in self.items[name]]
            raise ProblemError(there[0], " ".join(item["detail"] for item in items[:10]), *items, **self.members)
