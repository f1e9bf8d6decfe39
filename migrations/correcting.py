"""Publishes the correction of a released edition, and takes it back; imports nothing from `api`.

A correction is a folder like an edition's, in the form of its revision, with the records that changed or are new, and
`deleted.yaml` with the ids of those that are deleted, by noun. Each record is replaced by id, whatever it was. What it was is
kept in `replaced_records`, so that a downgrade restores it exactly. Released revisions call these functions for ever, so none
of them may change; a better one gets a new name.
"""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
import yaml
from alembic import op
from alembic.util import CommandError

from migrations import seeding
from migrations.altering import is_sqlite
from migrations.seeding import Layout, Part, documents_of, reflected

# The author of a correction in the history of its records.
AUTHOR = "maintainers"
# What makes a citation the only one of its kind.
CITED = ("subject_kind", "subject_id", "field", "source_id", "paragraph", "sentence", "locator_record", "locator_column")
# Records that a warning names.
NAMED = 20

# References that lead nowhere, in SQLite: table, row, table referred to, number of the key.
BROKEN = "pragma foreign_key_check"

log = logging.getLogger("alembic.correcting")

Row = dict[str, Any]
Rows = Sequence[tuple[sa.Table, Row]]
Tables = Mapping[str, sa.Table]


class Correction(NamedTuple):
    """A correction: its revision, its folder with the folder's SHA-256, the parts of its documents, and the reason for it."""

    revision: str
    edition: str
    sha256: str
    layout: Layout
    reason: str

    def apply(self) -> None:
        """Delete and replace records. Raises `CommandError` if the folder differs from the released one."""
        tables = reflected()
        corrected = dict(documents_of(self.edition, self.sha256, self.layout))
        deleted = yaml.load((seeding.SEEDS / self.edition / "deleted.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
        records = {(noun, row["id"]) for noun, rows in corrected.items() for row in rows}
        _warn_of_changes(tables, records)
        _warn_of_citations(tables, records, {*deleted.get("citations", ())})
        with _references_checked_last():
            for noun in reversed([*self.layout]):
                self._delete(tables, noun, deleted.get(noun, ()))
            self._delete(tables, "citations", _twins(tables, corrected.get("citations", ())))
            for noun, documents in corrected.items():
                former = _stored(tables, noun, [document["id"] for document in documents], self.layout[noun])
                self._keep(tables, noun, former)
                rows = ([*_rows(tables, noun, document, self.layout[noun])] for document in documents)
                _put(zip(former.values(), rows, strict=True))

    def revert(self) -> None:
        """Restore the records that were replaced or deleted, and delete those that were new."""
        tables = reflected()
        kept = tables["replaced_records"]
        of_this = kept.c.revision == self.revision
        with _references_checked_last():
            for record in op.get_bind().execute(sa.select(kept).where(of_this).order_by(kept.c.number.desc())).all():
                rows = [(tables[table], row) for table, row in json.loads(record.rows)]
                _put([(_stored(tables, record.kind, [record.id], self.layout[record.kind])[record.id], rows)])
            op.get_bind().execute(sa.delete(kept).where(of_this))

    def _delete(self, tables: Tables, noun: str, ids: Sequence[str]) -> None:
        """Delete records, after the citations about them."""
        citations = tables["citations"]
        about = sa.select(citations.c.id).where(citations.c.subject_kind == noun, citations.c.subject_id.in_(ids))
        if ids and noun != citations.name:
            self._delete(tables, citations.name, op.get_bind().scalars(about).all())
        former = _stored(tables, noun, ids, self.layout[noun])
        self._keep(tables, noun, former)
        _put((rows, ()) for rows in former.values())

    def _keep(self, tables: Tables, noun: str, former: Mapping[str, Rows]) -> None:
        """Keep the rows of records, and note why they change."""
        if not former:
            return
        rows = {id: json.dumps([(table.name, row) for table, row in rows], default=str) for id, rows in former.items()}
        kept = [{"revision": self.revision, "kind": noun, "id": id, "rows": text} for id, text in rows.items()]
        notes = [{"kind": noun, "id": id, "reason": self.reason, "author": AUTHOR} for id in former]
        op.get_bind().execute(sa.insert(tables["replaced_records"]), kept)
        op.get_bind().execute(sa.insert(tables["ledger_dirty"]), notes)


def _warn_of_changes(tables: Tables, records: Collection[tuple[str, str]]) -> None:
    """Log the records that were changed here: their history has the former state."""
    revisions = tables["revision"]
    # A migration has no author.
    is_own = sa.func.coalesce(revisions.c.author, revisions.c.reason, "").not_in(["migration", "erase", AUTHOR])
    changed = sa.select(revisions.c.kind, revisions.c.id).where(is_own).distinct().order_by(revisions.c.kind, revisions.c.id)
    _warn(
        "the correction replaces records that were changed here; compare their history: %s%s",
        [f"{kind}/{id}" for kind, id in op.get_bind().execute(changed) if (kind, id) in records],
    )


def _warn(message: str, names: Sequence[str]) -> None:
    """Log a message with the first of some names, if there are any."""
    if names:
        log.warning(message, ", ".join(names[:NAMED]), f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _warn_of_citations(tables: Tables, records: Collection[tuple[str, str]], deleted: Collection[str]) -> None:
    """Log the citations that were added here to records that are replaced: what they support may have moved or changed."""
    citations = tables["citations"]
    kept = sa.select(citations.c.id, citations.c.subject_kind, citations.c.subject_id).order_by(citations.c.id)
    _warn(
        "the correction replaces records that have citations of your own; check what these support: %s%s",
        [
            f"citations/{id}"
            for id, kind, subject in op.get_bind().execute(kept)
            if (kind, subject) in records and ("citations", id) not in records and id not in deleted
        ],
    )


def _twins(tables: Tables, documents: Collection[Mapping[str, Any]]) -> list[str]:
    """Return the ids of citations that cite for the same fact what one of these does, under another id."""
    table = tables["citations"]
    keys = {tuple(_rows_of_citation(table, row).get(name) for name in CITED) for row in documents}
    ids = {row["id"] for row in documents}
    stored = op.get_bind().execute(sa.select(table.c.id, *(table.c[name] for name in CITED)))
    return [id for id, *key in stored if id not in ids and tuple(key) in keys]


def _rows_of_citation(table: sa.Table, document: Mapping[str, Any]) -> Row:
    return {name: value for key, member in document.items() for name, value in _columns(table, key, member).items()}


@contextmanager
def _references_checked_last() -> Iterator[None]:
    """Let a block break references that it mends. Raises `CommandError` if a record of one's own refers to one that is gone.

    They are checked here, because later revisions of the same upgrade cannot alter tables of PostgreSQL before.
    """
    try:
        if is_sqlite():
            # Other programs can have broken some before.
            before = {*op.get_bind().exec_driver_sql(BROKEN).all()}
            op.execute("pragma defer_foreign_keys = on")
            yield
            after = [row for row in op.get_bind().exec_driver_sql(BROKEN).all() if row not in before]
            broken = [f"{table} to {referred}" for table, _, referred, _ in after]
        else:
            op.execute("set constraints all deferred")
            yield
            op.execute("set constraints all immediate")
            broken = []
    except sa.exc.IntegrityError as error:
        broken = [str(getattr(getattr(error.orig, "diag", None), "message_detail", error.orig))]
    if broken:
        raise CommandError(
            f"nothing was changed, because your records refer to records that would be deleted: {', '.join(broken)}"
        )


def _put(changes: Iterable[tuple[Rows, Rows]]) -> None:
    """Replace the former rows of records by new ones, if any: a record's own row comes first, then those of its parts."""
    added: dict[sa.Table, list[Row]] = {}
    for former, rows in changes:
        is_kept = bool(former and rows)
        for table, row in reversed(former[is_kept:]):
            op.get_bind().execute(sa.delete(table).where(*_is(table, row)))
        if is_kept:
            # To delete and insert it would delete the citations about it.
            table, row = rows[0]
            op.get_bind().execute(sa.update(table).where(*_is(table, row)).values(row))
        for table, row in rows[is_kept:]:
            added.setdefault(table, []).append(row)
    for table, new in added.items():
        op.get_bind().execute(sa.insert(table), new)


def _is(table: sa.Table, row: Row) -> Iterator[sa.ColumnElement[bool]]:
    return (column == row[column.name] for column in table.primary_key)


def _stored(tables: Tables, noun: str, ids: Sequence[str], parts: Mapping[str, Part]) -> dict[str, Rows]:
    """Return the stored rows of records by id: each before those of its parts, and none of a record that is not there."""
    rows: dict[str, Rows] = dict.fromkeys(ids, ())
    for record in op.get_bind().execute(sa.select(tables[noun]).where(tables[noun].c.id.in_(ids))).mappings().all():
        rows[record["id"]] = [(tables[noun], dict(record)), *_parts(tables, dict(record), parts)]
    return rows


def _parts(tables: Tables, row: Mapping[str, Any], parts: Mapping[str, Part]) -> Iterator[tuple[sa.Table, Row]]:
    """Yield the rows of a row's parts."""
    for part in parts.values():
        table = tables[part.table]
        owned = (table.c[column] == row[source] for column, source in part.owner.items())
        for below in op.get_bind().execute(sa.select(table).where(*owned)).mappings().all():
            yield table, dict(below)
            yield from _parts(tables, dict(below), part.parts)


def _rows(tables: Tables, table: str, item: Mapping[str, Any], parts: Mapping[str, Part]) -> Iterator[tuple[sa.Table, Row]]:
    """Yield the rows of a document: each before those of its parts, with null for each column that it leaves out."""
    row: Row = dict.fromkeys(tables[table].c.keys())
    for key, value in item.items():
        if key not in parts:
            row |= _columns(tables[table], key, value)
    yield tables[table], row
    for key, part in parts.items():
        owner = {column: row[source] for column, source in part.owner.items()}
        for n, value in enumerate(item[key], part.first):
            counted = {part.position: n} if part.position else {}
            below = {**owner, **counted, **(value if part.value is None else {part.value: value})}
            yield from _rows(tables, part.table, below, part.parts)


def _columns(table: sa.Table, key: str, value: Any) -> Row:
    """Return the columns of a member: its own, that of a reference, which ends in `_id`, or those of an object's members."""
    if isinstance(value, dict):
        return {f"{key}_{name}": member for name, member in value.items()}
    column = next((name for name in (key, f"{key}_id") if name in table.c), None)
    # An object that is null has no column of its own name.
    return {} if column is None and value is None else {column or key: value}
