"""Imports and exports files: an import is one commit with everything that the files hold, or nothing."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.types import Base
from api.editing.changes import checked
from api.editing.derived import Derived
from api.editing.file_faults import FileError, FileFault, place
from api.editing.files import FileRecord, Source, files_in, names_of, noun_of, records_of, write
from api.editing.operations import Change, Exported, Operation, Refused, shown
from api.editing.writer import Writer
from api.errors import Item
from api.ledger.models import BATCH, CURRENT, Revision
from api.resources import RESOURCES
from api.schema.canonical import PUBLICATION, Content
from api.schema.operators import TYPES
from api.schema.resource import Resource

# Records of a file that are checked and written at once.
CHUNK = 1_000
# Faults of a chunk: all of them, because a curator mends a file as a whole.
MAX_FAULTS = 100_000
MOVED = "a unique value moves from one record to another: take it from the first in an import of its own"
# Is called with the name of a step and the number of records that it has finished.
StepProgress = Callable[[str, int], None]


# Is called with a line about each change.
Report = Callable[[str], None]


def unseen(*_told: object) -> None:
    """Show nothing."""


@dataclass
class Imported:
    """The result of an import: the number of records by status, every fault, and the version if anything was published.

    ``lines`` has the file and the line of each record, whose number in the import is its JSON Pointer. ``derived`` are the
    members that other records decide.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[FileFault] = field(default_factory=list)
    version: int = 0
    lines: list[tuple[Source, int]] = field(default_factory=list)
    derived: Derived = field(default_factory=Derived)


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


def load(  # noqa: PLR0913 - the options of an import
    database: Database,
    files: Sequence[Source],
    ids: Mapping[str, set[str]],
    *,
    message: str | None = None,
    author: str | None = None,
    replace: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: StepProgress = unseen,
    report: Report = unseen,
) -> Imported:
    """Create and update the records of files as one commit; if there are faults, find all of them and write nothing.

    ``files`` and ``ids`` are what `read` returned. Members that a record lacks keep their values, or become empty with
    ``replace``. What others changed since a record was exported is kept, or undone with ``overwrite``.
    """
    verb = "replace" if replace else "merge"
    result = Imported()
    with database.writing() as session:
        writer = Writer(session, coming=ids)
        try:
            for path in files:
                for changes in _load_file(writer, path, verb, result, overwrite=overwrite):
                    for line in (line for change in changes for line in _differences(change, result)):
                        report(line)
                    progress("write", len(changes))
            if not result.faults:
                result.faults += _broken_rules(writer, result)
            if not result.faults:
                published = partial(progress, "publish")
                result.version = writer.publish(reason=message or "import", author=author, progress=published).version
        except IntegrityError:
            result.faults.append(FileFault(path, 1, "", MOVED))
        if result.faults or dry_run:
            session.rollback()
    return result


def _broken_rules(writer: Writer, result: Imported) -> list[FileFault]:
    """Return a fault for each rule between records, and each derived member, that the whole import breaks."""
    refused = Refused(MAX_FAULTS)
    writer.rules.check(refused)
    result.derived.check(writer.session, refused)
    return _faults(refused, result)


def _load_file(writer: Writer, path: Source, verb: str, result: Imported, *, overwrite: bool) -> Iterator[list[Change]]:
    """Write the records of a file, and yield their changes, piece by piece."""
    records, noun = records_of(path), noun_of(path)
    while chunk := list(islice(records, CHUNK)):
        refused = Refused(MAX_FAULTS)
        operations = []
        for number, record in enumerate(chunk, len(result.lines)):
            operation = Operation(verb=verb, resource=noun, place=f"/{number}", pointer=f"/{number}")
            with_record = _with_record(operation, record, refused, overwrite=overwrite)
            operations.append(result.derived.taken(with_record))
        result.lines += [(record.file, record.line) for record in chunk]
        changes = writer.apply(checked(operations, refused), refused)
        result.statuses.update(change.status for change in changes)
        result.faults += _faults(refused, result)
        writer.session.expunge_all()
        yield changes


def _with_record(operation: Operation, record: FileRecord, refused: Refused, *, overwrite: bool) -> Operation:
    """Return an operation with a record of a file; the members that the ledger adds tell what was exported."""
    if not isinstance(record.content, dict):
        return replace(operation, body=record.content)
    body = {name: value for name, value in record.content.items() if name not in PUBLICATION}
    version, updated_at = map(record.content.get, PUBLICATION)
    exported = None
    try:
        if version is not None and not overwrite:
            moment = None if updated_at is None else TYPES["instant"].read(updated_at)
            exported = Exported(TYPES["version"].read(_whole(version)), moment)
    except (TypeError, ValueError, OverflowError):
        detail = "`version` and `updated_at` stay as they were exported; leave them out of a record that was not."
        refused.value(operation, "/version", "invalid-value", detail)
    return replace(operation, body=body, exported=exported)


def _whole(number: object) -> str:
    """Return a whole number without the decimals that some programs give it."""
    return str(number).removesuffix(".0")


def _differences(change: Change, result: Imported) -> Iterator[str]:
    """Yield a line for a new record, and one for each changed member, with its value before and after."""
    start = f"{place(*result.lines[int(change.operation.pointer[1:])])}: {change.id}"
    if change.before is None:
        yield f"{start}: created"
        return
    for name in sorted(change.changed):
        before, after = (shown((content or {}).get(name)) for content in (change.before, change.content))
        yield f"{start}: {name}: {before} -> {after}"


def _faults(refused: Refused, result: Imported) -> list[FileFault]:
    """Return errors as faults of the files; a pointer begins with the number of the record in the import."""
    faults = [_fault(item, result) for items in refused.items.values() for item in items]
    return sorted(faults, key=lambda fault: (str(fault.file), fault.line, fault.field))


def _fault(item: Item, result: Imported) -> FileFault:
    _, number, *rest = item["pointer"].split("/", 2)
    file, line = result.lines[int(number)]
    allowed = item.get("allowed")
    cure = f" (allowed: {', '.join(map(str, allowed))})" if isinstance(allowed, list) else f" ({allowed})" if allowed else ""
    return FileFault(file, line, "/".join(rest), f"{item['detail']}{cure}")


def export(
    database: Database, folder: Path, form: str, nouns: Sequence[Resource] = RESOURCES, progress: StepProgress = unseen
) -> dict[Path, int]:
    """Write a file for each noun, all from the same version of the dataset; returns the number of records of each file.

    No file is replaced before all new ones are complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, int] = {}
    parts: dict[Path, Path] = {}
    try:
        with database.reading() as session:
            for noun in nouns:
                paths = [folder / name for name in names_of(noun, form)]
                parts |= {path: folder / f".{path.stem}.{os.getpid()}.{form}" for path in paths}
                path = paths[0]
                written[path] = write([parts[path] for path in paths], _documents(session, noun, progress), noun)
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return written


def _documents(session: Session, noun: Resource, progress: StepProgress) -> Iterator[Content]:
    published = select(Revision.document).where(Revision.kind == noun.name, *CURRENT).order_by(Revision.id)
    with session.execute(published.execution_options(yield_per=BATCH)) as rows:
        for document in rows.scalars():
            progress("export", 1)
            yield json.loads(document or "")
