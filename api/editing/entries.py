"""The entries of an import: the records of its files, and the records that are in no file and are deleted."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from operator import itemgetter

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.types import Base
from api.editing.file_faults import FileError, FileFault
from api.editing.files import FileRecord, Source, files_in, noun_of, records_of
from api.editing.merging import by
from api.editing.operations import ANY, Exported, Operation, Refused
from api.editing.replacing import columns
from api.editing.rows import owners
from api.editing.sheets.spool import Table
from api.editing.staging import chunks
from api.ledger.models import CURRENT, Revision
from api.schema.canonical import PUBLICATION
from api.schema.fields import MAX_INTEGER
from api.schema.operators import TYPES
from api.schema.resource import Resource


@dataclass(frozen=True)
class Missing:
    """A record that is in no file, and is deleted. Its place is the file of its noun."""

    file: Source
    id: str
    line: int = 0


Entry = FileRecord | Missing


def read(paths: Sequence[Source]) -> tuple[list[Source], Mapping[str, set[str]], list[FileFault]]:
    """Read files once; returns the readable ones, the ids in them by noun, and the faults.

    The files are ordered so that a noun with parts that others refer to comes before them: only records are known to be
    coming, and not their parts.
    """
    places = {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}
    readable: list[tuple[int, Source]] = []
    ids: dict[str, set[str]] = defaultdict(set)
    faults: list[FileFault] = []
    for path in files_in(paths):
        try:
            noun = noun_of(path).name
            for record in records_of(path):
                id = record.content.get("id") if isinstance(record.content, dict) else None
                if isinstance(id, str) and id in ids[noun]:
                    faults.append(FileFault(path, record.line, "id", f"these files have a second `{id}`"))
                elif isinstance(id, str):
                    ids[noun].add(id)
            readable.append((places[noun], path))
        except FileError as error:
            faults.append(error.fault)
    return [path for _, path in sorted(readable, key=itemgetter(0))], ids, faults


def operation_of(entry: Entry, pointer: str, refused: Refused, *, verb: str, overwrite: bool) -> Operation:
    """Return the operation of an entry; the members that the ledger adds tell what was exported."""
    noun = noun_of(entry.file)
    if isinstance(entry, Missing):
        return Operation(verb="delete", resource=noun, id=entry.id, expected=ANY, place=pointer, pointer=pointer)
    if not isinstance(entry.content, dict):
        return Operation(verb=verb, resource=noun, place=pointer, pointer=pointer, body=entry.content)
    body = {name: value for name, value in entry.content.items() if name not in PUBLICATION}
    operation = Operation(verb=verb, resource=noun, place=pointer, pointer=pointer, body=body)
    version, updated_at = map(entry.content.get, PUBLICATION)
    exported = None
    try:
        if version is not None and not overwrite:
            moment = None if updated_at is None else TYPES["instant"].read(updated_at)
            exported = Exported(_version(version), moment)
    except (TypeError, ValueError, OverflowError):
        detail = "`version` and `updated_at` stay as they were exported; leave them out of a record that was not."
        refused.value(operation, "/version", "invalid-value", detail)
    return replace(operation, exported=exported) if exported else operation


def _version(number: object) -> int:
    """Read a version; some programs give a whole number decimals. Raises ValueError."""
    return int(TYPES["version"].read(str(number).removesuffix(".0")))


# --- records that are in no file


def missing(
    database: Database, files: Sequence[Source], ids: Mapping[str, AbstractSet[str]], *, overwrite: bool
) -> tuple[list[Missing], list[FileFault]]:
    """Return the records of the files' nouns that are in no file, each before those that it refers to.

    One that may have been created or changed after the files were exported is a fault, unless that may be undone; so is a file
    without records. A table of a list alone does not say which records there are.
    """
    sources = {noun_of(file): file for file in files if not (isinstance(file, Table) and file.kind.part)}
    places = {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}
    result: list[Missing] = []
    faults: list[FileFault] = []
    with database.reading() as session:
        for noun, file in sorted(sources.items(), key=lambda pair: -places[pair[0].name]):
            if not ids.get(noun.name):
                faults.append(FileFault(file, 0, "", f"it has no record, and `--delete-missing` would delete all {noun.name}"))
                continue
            newest = MAX_INTEGER if overwrite else _newest(files, noun.name)
            gone = {id for id in _published(session, noun.name) if id not in ids[noun.name]}
            deleted = set[str]()
            for chunk in chunks(gone):
                current = select(Revision).where(Revision.kind == noun.name, Revision.id.in_(chunk), *CURRENT)
                for row in session.scalars(current.order_by(Revision.id)):
                    # The files show one state, so they show the whole commit of their newest record.
                    if row.commit_version <= newest:
                        deleted.add(row.id)
                        continue
                    detail = (
                        f"the {noun.singular} `{row.id}` is in no file, and was changed{by(row)}, perhaps after the export: no "
                        "record of the file is as new; if it is to go, import with `--overwrite`"
                    )
                    faults.append(FileFault(file, 0, "", detail))
            result += [Missing(file, id) for id in _children_first(session, noun, deleted)]
    return result, faults


def _children_first(session: Session, noun: Resource, ids: AbstractSet[str]) -> Iterable[str]:
    """Return ids in an order in which each comes before the records of the same noun that it refers to, such as its parent."""
    referring: dict[str, list[str]] = {id: [] for id in sorted(ids)}
    for name, column in ((name, column) for name, row in columns().items() for column, of in row.items() if of == noun.name):
        of, owner = owners()[name]
        table = Base.metadata.tables[name]
        if of is noun:
            rows = session.execute(select(table.c[owner], table.c[column]).where(table.c[column].is_not(None)))
            for id, referred in rows:
                if id in ids and referred in ids:
                    referring[referred].append(id)
    return TopologicalSorter(referring).static_order()


def _published(session: Session, kind: str) -> Iterator[str]:
    yield from session.scalars(select(Revision.id).where(Revision.kind == kind, *CURRENT))


def _newest(files: Sequence[Source], kind: str) -> int:
    """Return the newest version that a noun's records were exported at; files without one were made by hand."""
    contents = (record.content for file in files if noun_of(file).name == kind for record in records_of(file))
    versions = [content["version"] for content in contents if isinstance(content, dict) and content.get("version")]
    try:
        return max(map(_version, versions), default=MAX_INTEGER)
    except (TypeError, ValueError, OverflowError):
        # A fault of its own, which is found when the record is read.
        return MAX_INTEGER
