"""Checks staged changes against each other and against the database, before they are written.

The database has the same constraints, but names only the first one that fails, and neither the row nor what would have worked.
Every check reads only the keys that the changes touch: one statement for each constraint and `CHUNK` keys. An anti-join over
the written rows takes as many statements and about 1.6 times as long, and could not report a taken key and a missing one
together, because rows with a taken key cannot be written.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from api.db.types import Base, table_of
from api.editing.operations import Change, Refused
from api.editing.rows import layout, owners, unique_keys
from api.editing.staging import KeyValues, Reference, StagedRow, Staging, references, stored_keys
from api.ledger import redirects
from api.ledger.history import near_id
from api.resources import BY_NAME
from api.resources.citations import Subject

MAX_REFERRERS = 20


def check(session: Session, staging: Staging, coming: Mapping[str, AbstractSet[str]], refused: Refused) -> None:
    """Add an error to ``refused`` for each key that is missing, taken or still in use.

    ``coming`` are ids, by noun, of records that later changes of the same transaction create.
    """
    checks = _Checks(session, staging, coming, refused, _stored_ids(session, staging))
    checks.redirects()
    for name, rows in staging.rows.items():
        table = Base.metadata.tables[name]
        for reference in (reference for reference in references() if reference.table is table):
            checks.references(reference, rows)
        for columns in unique_keys(table):
            checks.unique(table, columns, rows)
    for reference in references():
        checks.referrers(reference)


def check_references(session: Session, staging: Staging, coming: Mapping[str, AbstractSet[str]], refused: Refused) -> None:
    """Add an error for each key that is missing, and for nothing else: the changes are refused for another reason."""
    checks = _Checks(session, staging, coming, refused)
    for reference in references():
        if rows := staging.rows_of(reference.table.name):
            checks.references(reference, rows)


def _stored_ids(session: Session, staging: Staging) -> dict[str, dict[KeyValues, bool]]:
    """Return the ids that the rows refer to, by noun, each with whether there is a record of it: one statement for all."""
    result: dict[str, dict[KeyValues, bool]] = defaultdict(dict)
    for reference in references():
        if reference.referred == ["id"]:
            ids = (row.row.values[reference.columns[0]] for row in staging.rows_of(reference.table.name))
            result[reference.target.name] |= {(id,): False for id in ids if id is not None}
    keys = [(kind, id) for kind, ids in result.items() for (id,) in ids]
    for (kind, id), _ in stored_keys(session, table_of(Subject), ["kind", "id"], keys, []):
        result[kind][id,] = True
    return result


@dataclass(frozen=True)
class _Checks:
    """The checks of some changes, by the kind of constraint; ``ids`` are known to exist or not, by noun."""

    session: Session
    staging: Staging
    coming: Mapping[str, AbstractSet[str]]
    refused: Refused
    ids: Mapping[str, Mapping[KeyValues, bool]] = field(default_factory=dict)

    def references(self, reference: Reference, rows: Sequence[StagedRow]) -> None:
        """Refuse rows that refer to a key that will not exist."""
        keys = {key for row in rows if None not in (key := row.key(reference.columns))}
        missing = keys - self._existing(reference.target, reference.referred, keys)
        for row in rows if missing else ():
            if row.key(reference.columns) in missing and not self.refused.full:
                self._refuse_reference(row, reference)

    def unique(self, table: Table, columns: Sequence[str], rows: Sequence[StagedRow]) -> None:
        """Refuse rows with a key of another record, or of another row of the same record; nulls in keys are equal."""
        kind, owner = owners()[table.name]
        first: dict[KeyValues, StagedRow] = {}
        by_name: dict[KeyValues, StagedRow] = {}
        for row in rows:
            key = row.key(columns)
            first.setdefault(key, row)
            by = key if row.row.layout.called.isdisjoint(columns) else row.key(columns, by_name=True)
            if (other := by_name.setdefault(by, row)) is not row:
                self._refuse_taken(row, columns, other.change.id, within=other.change is row.change)
        if owner in columns:
            # The key contains the id of the record, so no other record can have it.
            return
        for key, (id,) in stored_keys(self.session, table, columns, first, [owner]):
            if id not in self.staging.changes_of(kind.name):
                self._refuse_taken(first[key], columns, id)

    def referrers(self, reference: Reference) -> None:
        """Refuse to delete keys that other records refer to; citations are deleted together with their subject."""
        if reference.is_to_any_noun:
            return
        kind, owner = owners()[reference.table.name]
        deleted = self._deleted(reference.target, reference.referred)
        in_use: dict[KeyValues, set[str]] = defaultdict(set)
        for key, (id,) in stored_keys(self.session, reference.table, reference.columns, deleted, [owner]):
            if id not in self.staging.changes_of(kind.name):
                in_use[key].add(id)
        for key, ids in in_use.items():
            self._refuse_deletion(deleted[key], key, reference, sorted(ids))

    def redirects(self) -> None:
        """Refuse to merge records into ones that will not exist."""
        for kind, changes in self.staging.changes.items():
            table = layout(BY_NAME[kind]).table
            into = {change.operation.into: change for change in changes.values() if change.operation.into}
            existing = self._existing(table, ["id"], {(id,) for id in into})
            for id in into.keys() - {id for (id,) in existing}:
                change, noun = into[id], BY_NAME[kind].singular
                end = redirects.ends_at(self.session, kind, id) or near_id(self.session, kind, id)
                detail = f"There is no {noun} `{id}`, so `{change.id}` cannot be merged into it."
                self.refused.operation("conflict", change.operation, "into", detail, code="unknown-id", suggestion=end)

    # --- keys

    def _existing(self, target: Table, columns: Sequence[str], keys: AbstractSet[KeyValues]) -> set[KeyValues]:
        """Return those keys of a table that will exist once the changes are written."""
        if target.name not in owners():
            return self._existing_subjects(keys)
        kind, owner = owners()[target.name]
        changes, coming = self.staging.changes_of(kind.name), self.coming.get(kind.name, frozenset())
        known = self.ids.get(target.name, {}) if columns == ["id"] else {}
        stored = stored_keys(self.session, target, columns, keys - known.keys(), [owner])
        existing = {key for key, (id,) in stored if id not in changes}
        existing |= {key for key in keys if known.get(key) and key[0] not in changes}
        existing |= {row.key(columns) for row in self.staging.rows_of(target.name)}
        return existing | {key for key in keys if columns == ["id"] and key[0] in coming}

    def _existing_subjects(self, keys: AbstractSet[KeyValues]) -> set[KeyValues]:
        """Return those pairs of a kind and an id whose record will exist."""
        ids_of: dict[str, set[KeyValues]] = defaultdict(set)
        for kind, id in keys:
            ids_of[kind].add((id,))
        return {
            (kind, id) for kind, ids in ids_of.items() for (id,) in self._existing(layout(BY_NAME[kind]).table, ["id"], ids)
        }

    def _deleted(self, target: Table, columns: Sequence[str]) -> Mapping[KeyValues, Change]:
        """Return the keys of a table that the changes delete, each with its change."""
        kind, owner = owners()[target.name]
        changes = self.staging.changes_of(kind.name)
        if target.name == kind.name:
            return {(id,): change for id, change in changes.items() if change.content is None}
        existing = {(id,) for id, change in changes.items() if change.before is not None}
        kept = {row.key(columns) for row in self.staging.rows_of(target.name)}
        return {
            key: changes[id] for (id,), key in stored_keys(self.session, target, [owner], existing, columns) if key not in kept
        }

    # --- errors

    def _refuse_reference(self, row: StagedRow, reference: Reference) -> None:
        key, pointer = row.key(reference.columns), row.row.pointer_of(reference.columns[-1])
        noun = key[0] if reference.is_to_any_noun else reference.target.name
        kind, _ = owners()[noun]
        if noun != kind.name and not self._existing(layout(kind).table, ["id"], {key[:1]}):
            key, noun, pointer = key[:1], kind.name, row.row.pointer_of(reference.columns[0])
        if noun == kind.name:
            detail, suggestion = f"There is no {kind.singular} `{key[-1]}`.", None
            if self.refused.suggests:
                suggestion = redirects.ends_at(self.session, noun, key[-1]) or near_id(self.session, noun, key[-1])
            self.refused.value(row.change.operation, pointer, "unknown-reference", detail, suggestion=suggestion)
            return
        # The record exists, but not the part of it that has this key.
        allowed = self._parts_of(reference.target, key[0]) or None
        detail = f"The {kind.singular} `{key[0]}` has no `{key[-1]}`."
        self.refused.value(row.change.operation, pointer, "unknown-reference", detail, allowed=allowed)

    def _parts_of(self, target: Table, owner: str) -> list[Any]:
        """Return the keys of a record's parts, without the record's id."""
        first, last = (column.name for column in target.primary_key.columns)
        if owner in self.staging.changes_of(owners()[target.name][0].name):
            return [row.row.values[last] for row in self.staging.rows_of(target.name) if row.row.values[first] == owner]
        statement = select(target.c[last]).where(target.c[first] == owner).order_by(target.c[last])
        return list(self.session.scalars(statement))

    def _refuse_taken(self, row: StagedRow, columns: Sequence[str], id: str, *, within: bool = False) -> None:
        operation, layout = row.change.operation, row.row.layout
        sent = [name for name in columns if name not in layout.owner]
        pointer = row.row.pointer_of(sent[-1])
        if within:
            self.refused.value(operation, pointer, "named-twice", f"`{row.row.values[sent[-1]]}` occurs twice.")
            return
        members = " and ".join(f"`{layout.names[name]}`" for name in sent)
        detail = f"{members} {'are those' if len(sent) > 1 else 'is that'} of the {operation.resource.singular} `{id}`."
        records = [{"kind": operation.resource.name, "id": id}]
        self.refused.value(operation, pointer, "not-unique", detail, problem="conflict", records=records)

    def _refuse_deletion(self, change: Change, key: KeyValues, reference: Reference, ids: Sequence[str]) -> None:
        operation, (kind, _) = change.operation, owners()[reference.table.name]
        records = [{"kind": kind.name, "id": id} for id in ids[:MAX_REFERRERS]]
        subject = f"The {operation.resource.singular} `{change.id}`" if change.content is None else f"`{key[-1]}`"
        named = ", ".join(f"`{row['id']}`" for row in records) + (" and others" if len(ids) > len(records) else "")
        detail = f"{subject} is referred to, as `{reference.member}`, in `/{kind.name}` by {named}."
        self.refused.operation("conflict", operation, "id", detail, code="in-use", records=records)
