"""What an import or an export tells: how far it is, what it changed, member by member, and what was wrong."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from api.editing.derived import Derived
from api.editing.file_faults import FileFault, place
from api.editing.files import Source
from api.editing.operations import Change, Refused, shown
from api.errors import Item

BOUNDS = {"minimum": "from", "maximum": "to", "pattern": "what matches"}
# Is called with the name of a step and the number of records that it has finished.
StepProgress = Callable[[str, int], None]


def unseen(*_told: object) -> None:
    """Show nothing."""


@dataclass
class Imported:
    """The result of an import: the number of records by status, every fault, and the version if anything was published.

    ``lines`` has the file and the line of each record, whose number in the import is its JSON Pointer. ``wrong`` are the
    numbers of those that were refused. ``derived`` are the members that other records decide. ``import_id`` names the commits
    of an import in pieces. ``seconds`` is the time that a record of the last chunk took to write.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[FileFault] = field(default_factory=list)
    version: int = 0
    import_id: str | None = None
    seconds: float = 0.0
    lines: list[tuple[Source, int]] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)
    derived: Derived = field(default_factory=Derived)

    def refuse(self, refused: Refused) -> None:
        """Add errors as faults of the files; a pointer begins with the number of the record in the import."""
        items = [item for items in refused.items.values() for item in items]
        self.wrong |= {_number(item) for item in items}
        faults = [_fault(item, *self.lines[_number(item)]) for item in items]
        self.faults += sorted(faults, key=lambda fault: (str(fault.file), fault.line, fault.field))


def differences(change: Change, result: Imported) -> Iterator[str]:
    """Yield a line for a record that comes or goes, and one for each of its members with another value."""
    start = f"{place(*result.lines[int(change.operation.pointer[1:])])}: {change.id}"
    if change.status in {"created", "deleted"}:
        yield f"{start}: {change.status}"
    for name in sorted(change.changed):
        before, after = ((content or {}).get(name) for content in (change.before, change.content))
        if name != "id" and (before or after or change.status == "updated"):
            yield f"{start}: {name}: {shown(before)} -> {shown(after)}"


def _number(item: Item) -> int:
    return int(item["pointer"].split("/")[1])


def _fault(item: Item, file: Source, line: int) -> FileFault:
    _, _, *rest = item["pointer"].split("/", 2)
    return FileFault(file, line, "/".join(rest), f"{item['detail']}{_cure(item.get('allowed'))}")


def _cure(allowed: Any) -> str:
    """Return what is allowed, in words."""
    if isinstance(allowed, list):
        return f" (allowed: {', '.join(map(str, allowed))})"
    bounds = [f"{word} {allowed[name]}" for name, word in BOUNDS.items() if name in (allowed or {})]
    return f" (allowed: {' '.join(bounds)})" if bounds else ""
