"""Import and export: all that files hold in one commit, or nothing; and all there is, from one state."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.types import Base
from api.editing.files import Fault, FileError, Record, files_in, noun_of, records_of, write
from api.editing.operations import Operation, Refused
from api.editing.writer import Writer
from api.errors import Item
from api.ledger.models import CURRENT, Revision
from api.resources import RESOURCES
from api.schema.canonical import Content
from api.schema.resource import Resource

CHUNK = 1_000
STREAMED = 500
Progress = Callable[[str, int], None]


def _unseen(_step: str, _count: int) -> None:
    """Show nobody how far it is."""


@dataclass
class Imported:
    """What became of an import: how many records were created, updated and unchanged, and what was wrong."""

    statuses: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    version: int = 0


def read(paths: Sequence[Path]) -> tuple[list[Path], Mapping[str, set[str]], list[Fault]]:
    """Read files once: those that can be, the ids that they hold, by noun, and what is wrong with the files.

    The files come in an order in which what is referred to by more than its id comes first.
    """
    places = {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}
    good: list[tuple[int, Path]] = []
    ids: dict[str, set[str]] = defaultdict(set)
    faults: list[Fault] = []
    for path in files_in(paths):
        try:
            noun = noun_of(path).name
            for record in records_of(path):
                id = record.content.get("id") if isinstance(record.content, dict) else None
                if isinstance(id, str) and id in ids[noun]:
                    faults.append(Fault(path, record.line, "id", f"there is a second `{id}` among these files"))
                elif isinstance(id, str):
                    ids[noun].add(id)
            good.append((places[noun], path))
        except FileError as error:
            faults.append(error.fault)
    return [path for _, path in sorted(good)], ids, faults


def load(  # noqa: PLR0913 - what an import is asked for
    database: Database,
    files: Sequence[Path],
    ids: Mapping[str, set[str]],
    *,
    message: str | None = None,
    dry_run: bool = False,
    progress: Progress = _unseen,
) -> Imported:
    """Create and update the records of files, as one commit; of what is wrong, everything is found and nothing written."""
    found = Imported()
    with database.writing() as session:
        writer = Writer(session, coming=ids)
        try:
            for path in files:
                _load_file(writer, path, found, progress)
            if not found.faults:
                _publish(writer, message, found, progress)
        except IntegrityError:
            detail = "what only one record can have would pass from one to another: take it from the one in an import before"
            found.faults.append(Fault(path, 1, "", detail))
        if found.faults or dry_run:
            session.rollback()
    return found


def _load_file(writer: Writer, path: Path, found: Imported, progress: Progress) -> None:
    records, noun = records_of(path), noun_of(path)
    while chunk := list(islice(records, CHUNK)):
        refused = Refused()
        operations = [
            Operation(verb="upsert", resource=noun, body=record.content, place=f"/{number}", pointer=f"/{number}")
            for number, record in enumerate(chunk)
        ]
        changes = writer.apply(operations, refused)
        found.statuses.update(change.status for change in changes)
        faults = [_fault(item, chunk) for items in refused.items.values() for item in items]
        found.faults += sorted(faults, key=lambda fault: (fault.line, fault.field))
        writer.session.expunge_all()
        progress("write", len(chunk))


def _publish(writer: Writer, message: str | None, found: Imported, progress: Progress) -> None:
    def note(count: int) -> None:
        progress("publish", count)

    found.version = writer.publish(reason=message or "import", author=None, progress=note).version


def _fault(item: Item, chunk: Sequence[Record]) -> Fault:
    """Return where in its file an error is."""
    _, number, *rest = item["pointer"].split("/", 2)
    record = chunk[int(number)]
    allowed = item.get("allowed")
    cure = f" (allowed: {', '.join(map(str, allowed))})" if isinstance(allowed, list) else f" ({allowed})" if allowed else ""
    return Fault(record.file, record.line, "/".join(rest), f"{item['detail']}{cure}")


def export(
    database: Database, folder: Path, form: str, nouns: Sequence[Resource] = RESOURCES, progress: Progress = _unseen
) -> dict[Path, int]:
    """Write a file for each noun, from one state of the dataset; returns how many records each has.

    The files are put in place when all of them are whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, int] = {}
    parts: dict[Path, Path] = {}
    try:
        with database.reading() as session:
            for noun in nouns:
                path = folder / f"{noun.name}.{form}"
                parts[path] = folder / f".{noun.name}.{os.getpid()}.{form}"
                written[path] = write(parts[path], _documents(session, noun, progress), noun)
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return written


def _documents(session: Session, noun: Resource, progress: Progress) -> Iterator[Content]:
    published = select(Revision.document).where(Revision.kind == noun.name, *CURRENT).order_by(Revision.id)
    with session.execute(published.execution_options(yield_per=STREAMED)) as rows:
        for document in rows.scalars():
            progress("export", 1)
            yield json.loads(document or "")
