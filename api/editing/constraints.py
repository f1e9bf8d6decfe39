"""Changes of records: checked together and against what is there, then written as rows.

References wait for the end of the transaction, so the order of the rows doesn't matter: what goes is deleted, then what
changes is updated, then what comes is inserted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ForeignKeyConstraint, String, Table, UniqueConstraint, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.orm import Session

from api.db.types import Base
from api.editing.operations import Change, Refused
from api.editing.rows import Layout, Row, layout, owners, rows
from api.ledger.history import near_id
from api.resources import BY_NAME, RESOURCES
from api.resources.citations import Subject
from api.schema.resource import Resource

MAX_REFERRERS = 20
CHUNK = 500
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Entry:
    """A row of a change."""

    change: Change
    row: Row

    def key(self, columns: Iterable[str]) -> Key:
        """Return the values of some columns."""
        return tuple(self.row.values[name] for name in columns)


@dataclass
class Staged:
    """Changes that are each right by themselves.

    ``coming`` are ids, by noun, of records that will be there besides.
    """

    session: Session
    changes: Sequence[Change]
    coming: Mapping[str, AbstractSet[str]]
    refused: Refused
    entries: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, dict[str, Change]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        """Make rows of them."""
        for change in (found for found in self.changes if found.status != "unchanged"):
            self.ids[change.operation.resource.name][change.id] = change
            for row in rows(change.operation.resource, change.data) if change.data is not None else ():
                self.entries[row.layout.table.name].append(Entry(change, row))

    # --- checking

    def check(self) -> None:
        """Say what is wrong with the changes together, and with what is there."""
        for name, staged in self.entries.items():
            table = Base.metadata.tables[name]
            for constraint in sorted(table.constraints, key=lambda found: str(found.name)):
                if isinstance(constraint, ForeignKeyConstraint):
                    self._check_references(_Reference(constraint), staged)
                elif constraint is table.primary_key or isinstance(constraint, UniqueConstraint):
                    self._check_unique(table, [column.name for column in constraint.columns], staged)
        for table in Base.metadata.sorted_tables:
            for constraint in table.foreign_key_constraints if table.name in owners() else ():
                self._check_referrers(_Reference(constraint))

    def _check_references(self, reference: "_Reference", staged: Sequence[Entry]) -> None:
        """Refuse references to what is not there, and will not be."""
        if reference.is_ownership:
            return
        wanted = {key for entry in staged if None not in (key := entry.key(reference.columns))}
        missing = wanted - self._present(reference.target, reference.referred, wanted)
        for entry in staged if missing else ():
            if entry.key(reference.columns) in missing:
                self._refuse_reference(entry, reference)

    def _present(self, target: Table, columns: Sequence[str], wanted: AbstractSet[Key]) -> set[Key]:
        """Return which of some keys of a table there will be."""
        if target.name == Subject.__tablename__:
            return {
                (kind, id)
                for kind in {kind for kind, _ in wanted}
                for (id,) in self._present(
                    layout(BY_NAME[kind]).table, ["id"], {(id,) for other, id in wanted if other == kind}
                )
            }
        kind, owner = owners()[target.name]
        ours, coming = self.ids[kind.name], self.coming.get(kind.name, frozenset())
        there = {key for key, (id,) in self._rows(target, columns, wanted, [owner]) if id not in ours}
        there |= {entry.key(columns) for entry in self.entries.get(target.name, ())}
        return there | {key for key in wanted if columns == ["id"] and key[0] in coming}

    def _rows(
        self, table: Table, columns: Sequence[str], keys: Iterable[Key], more: Sequence[str]
    ) -> Iterator[tuple[Key, Key]]:
        """Yield of the rows of a table that have one of these keys: the key, and further columns."""
        wanted, named = sorted(keys), [table.c[name] for name in columns]
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            condition = named[0].in_([key[0] for key in chunk]) if len(named) == 1 else tuple_(*named).in_(chunk)
            for row in self.session.execute(select(*named, *[table.c[name] for name in more]).where(condition)):
                yield tuple(row[: len(named)]), tuple(row[len(named) :])

    def _refuse_reference(self, entry: Entry, reference: "_Reference") -> None:
        key, pointer = entry.key(reference.columns), entry.row.pointer_of(reference.columns[-1])
        noun = key[0] if reference.target.name == Subject.__tablename__ else reference.target.name
        kind, _ = owners()[noun]
        if noun != kind.name and not self._present(layout(kind).table, ["id"], {key[:1]}):
            key, noun, pointer = key[:1], kind.name, entry.row.pointer_of(reference.columns[0])
        if noun == kind.name:
            detail, suggestion = f"There is no {kind.singular} `{key[-1]}`.", near_id(self.session, noun, key[-1])
            self.refused.value(entry.change.operation, pointer, "unknown-reference", detail, suggestion=suggestion)
            return
        # What is missing is a part of another record.
        allowed = self._listed(reference.target, key[0]) or None
        detail = f"The {kind.singular} `{key[0]}` has no `{key[-1]}`."
        self.refused.value(entry.change.operation, pointer, "unknown-reference", detail, allowed=allowed)

    def _listed(self, target: Table, owner: str) -> list[Any]:
        """Return what could have been referred to within a part of a record."""
        first, last = (column.name for column in target.primary_key.columns)
        if owner in self.ids[owners()[target.name][0].name]:
            return [entry.row.values[last] for entry in self.entries.get(target.name, ()) if entry.row.values[first] == owner]
        listed = select(target.c[last]).where(target.c[first] == owner).order_by(target.c[last])
        return list(self.session.scalars(listed))

    def _check_unique(self, table: Table, columns: Sequence[str], staged: Sequence[Entry]) -> None:
        """Refuse what another record has already, or another row of the same record."""
        kind, owner = owners()[table.name]
        seen: dict[Key, Entry] = {}
        for entry in staged:
            key = entry.key(columns)
            other = seen.setdefault(key, entry)
            if None not in key and other is not entry:
                self._refuse_taken(entry, columns, other.change.id, within=other.change is entry.change)
        if table.name != kind.name or columns == ["id"]:
            return
        for key, (id,) in self._rows(table, columns, {key for key in seen if None not in key}, [owner]):
            if id not in self.ids[kind.name]:
                self._refuse_taken(seen[key], columns, id)

    def _refuse_taken(self, entry: Entry, columns: Sequence[str], id: str, *, within: bool = False) -> None:
        operation, row = entry.change.operation, entry.row
        own = [name for name in columns if name not in row.layout.owner]
        pointer = row.pointer_of(own[-1])
        if within:
            self.refused.value(operation, pointer, "named-twice", f"`{row.values[own[-1]]}` is there twice.")
            return
        members = " and ".join(f"`{row.layout.names[name]}`" for name in own)
        detail = f"{members} {'are those' if len(own) > 1 else 'is that'} of the {operation.resource.singular} `{id}`."
        records = [{"kind": operation.resource.name, "id": id}]
        self.refused.value(operation, pointer, "not-unique", detail, problem="conflict", records=records)

    def _check_referrers(self, reference: "_Reference") -> None:
        """Refuse to take away what others refer to; citations go with what they warrant."""
        if reference.is_ownership or reference.target.name == Subject.__tablename__:
            return
        kind, owner = owners()[reference.table.name]
        gone = self._gone(reference.target, reference.referred)
        found: dict[Key, set[str]] = defaultdict(set)
        for key, (id,) in self._rows(reference.table, reference.columns, gone, [owner]):
            if id not in self.ids[kind.name]:
                found[key].add(id)
        for key, ids in found.items():
            change, records = gone[key], [{"kind": kind.name, "id": id} for id in sorted(ids)[:MAX_REFERRERS]]
            what = f"The {change.operation.resource.singular} `{change.id}`" if change.content is None else f"`{key[-1]}`"
            named = ", ".join(f"`{row['id']}`" for row in records) + (" and others" if len(ids) > len(records) else "")
            detail = f"{what} is referred to, as `{reference.member}`, in `/{kind.name}` by {named}."
            self.refused.operation("conflict", change.operation, "id", detail, code="in-use", records=records)

    def _gone(self, target: Table, columns: Sequence[str]) -> Mapping[Key, Change]:
        """Return the keys of a table that go with these changes."""
        kind, owner = owners()[target.name]
        ours = self.ids[kind.name]
        if target.name == kind.name:
            return {(id,): change for id, change in ours.items() if change.content is None}
        there = self._rows(target, [owner], {(id,) for id, change in ours.items() if change.before is not None}, columns)
        staying = {entry.key(columns) for entry in self.entries.get(target.name, ())}
        return {key: ours[id] for (id,), key in there if key not in staying}

    # --- writing

    def write(self) -> None:
        """Write the changes."""
        for resource in RESOURCES:
            ours = self.ids[resource.name].values()
            self._delete(layout(resource).table, "id", [change.id for change in ours if change.content is None])
        for resource in RESOURCES:
            ours = self.ids[resource.name].values()
            self._update(layout(resource), [change for change in ours if change.content is not None and change.before])
        for table in Base.metadata.sorted_tables:
            new = [entry.row.values for entry in self.entries.get(table.name, ()) if _is_new(entry)]
            if new:
                self.session.execute(insert(table), new)

    def _delete(self, table: Table, column: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), CHUNK):
            self.session.execute(delete(table).where(table.c[column].in_(ids[start : start + CHUNK])))

    def _update(self, own: Layout, changes: Sequence[Change]) -> None:
        """Update the rows of records, and delete those of the parts that change, which are inserted anew."""
        changed = {change.id for change in changes}
        values = [entry.row.values for entry in self.entries.get(own.table.name, ()) if entry.change.id in changed]
        self._make_way(own, changes)
        if values:
            new = {name: bindparam(f"new_{name}", type_=own.table.c[name].type) for name in own.names if name != "id"}
            statement = update(own.table).where(own.table.c.id == bindparam("key")).values(new)
            parameters = [{"key": row["id"], **{f"new_{name}": row[name] for name in new}} for row in values]
            self.session.connection().execute(statement, parameters)
        for part in own.parts:
            ids = [change.id for change in changes if part.member in change.changed]
            self._delete(part.table, owners()[part.table.name][1], ids)

    def _make_way(self, own: Layout, changes: Sequence[Change]) -> None:
        """Let go of what only one record can have, so that records can swap it: uniqueness can't wait for the end."""
        for constraint in (found for found in own.table.constraints if isinstance(found, UniqueConstraint)):
            free = [column for column in constraint.columns if not column.foreign_keys and isinstance(column.type, String)]
            ids = [change.id for change in changes if free and own.names[free[-1].name] in change.changed]
            for start in range(0, len(ids), CHUNK):
                chosen = own.table.c.id.in_(ids[start : start + CHUNK])
                self.session.execute(update(own.table).where(chosen).values({free[-1]: "/" + own.table.c.id}))


def referrers(resource: Resource) -> Sequence[str]:
    """Return the names of the tables that can keep a record of a noun, or a part of it, from being deleted."""
    references = [
        _Reference(constraint)
        for table in Base.metadata.sorted_tables
        if table.name in owners()
        for constraint in table.foreign_key_constraints
        if constraint.referred_table.name in owners()
    ]
    return [found.table.name for found in references if not found.is_ownership and owners()[found.target.name][0] is resource]


def _is_new(entry: Entry) -> bool:
    """Tell whether a row is to be inserted: of a record that is there, those of the parts that change."""
    member = entry.row.pointer.split("/", 2)[1] if entry.row.pointer else None
    return entry.change.before is None or member in entry.change.changed


class _Reference:
    """What one table says of another."""

    def __init__(self, constraint: ForeignKeyConstraint) -> None:
        self.table, self.target = constraint.table, constraint.referred_table
        self.columns = [found.parent.name for found in constraint.elements]
        self.referred = [found.column.name for found in constraint.elements]
        below = next(found for found in _layouts(layout(owners()[self.table.name][0])) if found.table is self.table)
        # A part's reference to the record that it belongs to.
        self.is_ownership = set(self.columns) <= set(below.owner)
        self.member = below.member or below.names[self.columns[-1]]


def _layouts(below: Layout) -> Iterator[Layout]:
    yield below
    for part in below.parts:
        yield from _layouts(part)
