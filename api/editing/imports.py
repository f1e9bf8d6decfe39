"""Imports: the records of files are checked, and written as one commit, or as many pieces under one import id.

A small import is one commit. A larger one is rehearsed first, on private copies of the tables, so that every fault is found
while others write. Then it is published in pieces, and each of them keeps other writers waiting for a moment only. If it is
interrupted, the same command goes on: what is published already is unchanged. Of one that shall be one commit, a sample is
written and taken back, which tells how long others will wait.
"""

import itertools
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.editing import entries as listed
from api.editing.changes import checked
from api.editing.entries import Entry, Missing, operation_of
from api.editing.file_faults import FileFault
from api.editing.files import FileRecord, Source, noun_of, records_of
from api.editing.operations import Change, RecordKey, Refused
from api.editing.rehearsal import rehearsing
from api.editing.reports import Imported, StepProgress, differences, unseen
from api.editing.writer import Writer
from api.ledger import head

# The time of a commit, with its publication, as a multiple of the time that its records take to be written.
PUBLISHING = 2.5
# Records of an import that is one commit, and of what is checked and written at once.
ONE_COMMIT = CHUNK = 1_000
# Records of a chunk of the sample: the first one makes statements and loads modules, and the second one is timed.
SAMPLE = 100
# Records of the first piece of a larger import, and of the smallest one; seconds that a piece may take, which others wait.
FIRST_PIECE, LEAST_PIECE, SECONDS = 200, 20, 0.4
# Seconds after which a writer that waited for a piece has the lock: on SQLite, it asks every millisecond.
PAUSE = 0.02
# Attempts to publish a piece, each without what the one before refused: records refer to others that refer to others.
ATTEMPTS = 4
# Faults of a chunk: all of them, because a curator mends a file as a whole.
MAX_FAULTS = 100_000
MOVED = "a unique value moves from one record to another: take it from the first in an import of its own"


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What an import does.

    Members that a record lacks keep their values, or become empty with ``replace``. What others changed since a record was
    exported is kept, or undone with ``overwrite``. ``delete_missing``: records that are in no file are deleted, of each noun
    that has a file. ``atomic``: one commit, however large it is. ``import_id`` is that of an import to go on with; otherwise
    one in pieces gets a new id. ``report`` is called with a line about each change, ``note`` with the change itself, and
    ``warn`` with what is to be known before it is done.
    """

    message: str | None = None
    author: str | None = None
    replace: bool = False
    overwrite: bool = False
    delete_missing: bool = False
    dry_run: bool = False
    atomic: bool = False
    import_id: str | None = None
    progress: StepProgress = unseen
    report: Callable[[str], None] = unseen
    note: Callable[[Change], None] = unseen
    warn: Callable[[str], None] = unseen


def load(database: Database, files: Sequence[Source], ids: Mapping[str, AbstractSet[str]], options: ImportOptions) -> Imported:
    """Create and update the records of files; if there are faults, find all of them and write nothing.

    ``files`` and ``ids`` are what `entries.read` returned. Raises DBAPIError.
    """
    missing, faults = listed.missing(database, files, ids, overwrite=options.overwrite) if options.delete_missing else ([], [])
    total = sum(map(len, ids.values())) + len(missing)
    if total <= ONE_COMMIT:
        return _carried_out(database, _entries(files, missing), ids, options, faults)
    if options.atomic and not options.dry_run and not faults:
        sample = _sampled(database, itertools.islice(_entries(files, missing), 2 * SAMPLE), ids, options)
        if not sample.faults:
            _warn(sample, total, options)
            return _carried_out(database, _entries(files, missing), ids, options, [])
    result = rehearse(database, _entries(files, missing), ids, options)
    result.faults += faults
    if result.faults or options.dry_run:
        return result
    if options.atomic:
        # Later records have what those of the sample lacked. What each of them changes was told while they were rehearsed.
        _warn(result, total, options)
        rest = replace(options, report=unseen, note=unseen, progress=partial(_publishing, options.progress))
        return _carried_out(database, _entries(files, missing), ids, rest, [])
    result.lines.clear()
    import_id = options.import_id or secrets.token_hex(4)
    options.warn(f"Import {import_id}. If it is interrupted, go on with --import-id {import_id}.")
    pieces = _Pieces(database, replace(options, import_id=import_id, report=unseen, progress=unseen), options.progress)
    return pieces.publish(lambda: _entries(files, missing))


def rehearse(
    database: Database, entries: Iterable[Entry], ids: Mapping[str, AbstractSet[str]], options: ImportOptions
) -> Imported:
    """Check entries on private copies of the tables: nothing is written, and nobody waits. Raises DBAPIError."""
    with rehearsing(database) as session:
        return _written(Writer(session, coming=ids, is_rehearsal=True), entries, options)


def _sampled(
    database: Database, entries: Iterable[Entry], ids: Mapping[str, AbstractSet[str]], options: ImportOptions
) -> Imported:
    """Write a few entries, and take them back: to copy the tables, as `rehearse` does, would take longer than others wait."""
    quiet = replace(options, report=unseen, note=unseen, progress=unseen)
    with database.writing(bounded=True) as session:
        result = _written(Writer(session, coming=ids), entries, quiet, is_piece=True, chunk=SAMPLE)
        session.rollback()
    return result


def _warn(tried: Imported, total: int, options: ImportOptions) -> None:
    """Tell how long others will wait for a commit of ``total`` records, by the time that those which were ``tried`` took."""
    options.warn(f"Other writers will wait for about {max(1, round(PUBLISHING * tried.seconds * total))} seconds.")


def _publishing(progress: StepProgress, step: str, count: int) -> None:
    """Pass on only the progress of publication."""
    if step == "publish":
        progress(step, count)


def _entries(files: Sequence[Source], missing: Iterable[Missing]) -> Iterator[Entry]:
    return itertools.chain(itertools.chain.from_iterable(map(records_of, files)), missing)


def _carried_out(  # noqa: PLR0913 - what is known of a commit
    database: Database,
    entries: Iterable[Entry],
    ids: Mapping[str, AbstractSet[str]],
    options: ImportOptions,
    faults: Sequence[FileFault],
    *,
    is_piece: bool = False,
) -> Imported:
    """Write all entries as one commit, unless there are faults."""
    with database.writing(bounded=True) as session:
        writer = Writer(session, coming=ids)
        result = _written(writer, entries, options, is_piece=is_piece)
        result.faults += faults
        if not result.faults:
            _publish(writer, result, options)
        if result.faults or options.dry_run:
            session.rollback()
    return result


def _publish(writer: Writer, result: Imported, options: ImportOptions) -> None:
    def progress(count: int) -> None:
        options.progress("publish", count)

    reason = options.message or "import"
    try:
        result.version = writer.publish(
            reason=reason, author=options.author, progress=progress, import_id=options.import_id
        ).version
    except IntegrityError:
        result.faults.append(FileFault(result.lines[-1][0], 1, "", MOVED))


class _Pieces:
    """The publication of entries that were rehearsed, in pieces with pauses, so that others can write in between.

    A piece can break a rule that a record of a later piece mends, such as one that it refers to. So what is refused is set
    aside and tried again after the others. If that helps none of them, they need each other, and the pieces grow.
    """

    def __init__(self, database: Database, options: ImportOptions, progress: StepProgress) -> None:
        """Begin with a small piece, because it is not known how long one takes."""
        self.database, self.options, self.progress = database, options, progress
        self.size, self.least = FIRST_PIECE, LEAST_PIECE
        self.result = Imported(import_id=options.import_id)

    def publish(self, entries: Callable[[], Iterator[Entry]]) -> Imported:
        """Publish all that can be; ``entries`` yields the same entries each time that it is called."""
        left: set[RecordKey] | None = None
        while left is None or left:
            aside, faults = self._pass(entry for entry in entries() if left is None or _key(entry) in left)
            if aside == left and len(aside) <= self.size:
                self.result.faults = faults
                break
            if aside == left:
                self.size = self.least = 2 * self.size
            left = aside
        return self.result

    def _pass(self, entries: Iterator[Entry]) -> tuple[set[RecordKey], list[FileFault]]:
        """Publish entries piece by piece; returns those that were set aside, and the faults of the last piece."""
        aside, faults = set[RecordKey](), list[FileFault]()
        while piece := list(itertools.islice(entries, self.size)):
            refused, faults = self._piece(piece)
            aside |= set(map(_key, refused))
        return aside, faults

    def _piece(self, piece: Sequence[Entry]) -> tuple[Sequence[Entry], list[FileFault]]:
        """Publish a piece, if need be without what is refused; returns that, and why."""
        rest, faults = piece, list[FileFault]()
        for _ in range(ATTEMPTS):
            part = self._attempt(rest)
            if not part.faults:
                kept = set(map(_key, rest))
                return [entry for entry in piece if _key(entry) not in kept], faults
            faults = faults or part.faults
            rest = [entry for number, entry in enumerate(rest) if number not in part.wrong]
            if not (part.wrong and rest):
                break
        return piece, faults

    def _attempt(self, piece: Sequence[Entry]) -> Imported:
        coming: dict[str, set[str]] = {}
        for kind, id in (_key(entry) for entry in piece if isinstance(entry, FileRecord)):
            coming.setdefault(kind, set()).add(id)
        begun = time.monotonic()
        part = _carried_out(self.database, piece, coming, self.options, [], is_piece=True)
        seconds = time.monotonic() - begun
        if not part.faults:
            self.result.statuses += part.statuses
            self.result.version = part.version
            self.progress("publish", len(piece))
            self.size = max(self.least, min(CHUNK, int(self.size * SECONDS / max(seconds, SECONDS / 2))))
        self._give_way(seconds)
        return part

    def _give_way(self, seconds: float) -> None:
        """Pause for a moment, and while others write, for as long as the piece took at most."""
        now, end = self._state(), time.monotonic() + min(seconds, SECONDS)
        while time.monotonic() < end:
            time.sleep(PAUSE)
            before, now = now, self._state()
            if now == before:
                break

    def _state(self) -> head.DatasetState:
        with self.database.reading() as session:
            return head.state(session)


def _key(entry: Entry) -> RecordKey:
    """Return the noun and the id of an entry that was rehearsed."""
    return noun_of(entry.file).name, entry.id if isinstance(entry, Missing) else entry.content["id"]


def _written(
    writer: Writer, entries: Iterable[Entry], options: ImportOptions, *, is_piece: bool = False, chunk: int = CHUNK
) -> Imported:
    """Write entries, chunk by chunk, and return the result with every fault, also of rules that all of them break together.

    Members that other records decide are not checked in a piece, because those records may come in another.
    """
    result = Imported()
    entries = iter(entries)
    try:
        while some := list(itertools.islice(entries, chunk)):
            begun = time.monotonic()
            _write_chunk(writer, some, result, options)
            result.seconds = (time.monotonic() - begun) / len(some)
    except IntegrityError:
        result.faults.append(FileFault(some[0].file, some[0].line or 1, "", MOVED))
    if not result.faults:
        refused = Refused(MAX_FAULTS)
        writer.rules.check(refused)
        if not is_piece:
            result.derived.check(writer.session, refused)
        result.refuse(refused)
    return result


def _write_chunk(writer: Writer, chunk: Sequence[Entry], result: Imported, options: ImportOptions) -> None:
    refused, verb = Refused(MAX_FAULTS), "replace" if options.replace else "merge"
    operations = []
    for number, entry in enumerate(chunk, len(result.lines)):
        operation = operation_of(entry, f"/{number}", refused, verb=verb, overwrite=options.overwrite)
        operations.append(result.derived.taken(operation))
    result.lines += [(entry.file, entry.line) for entry in chunk]
    changes = writer.apply(checked(operations, refused), refused)
    result.statuses.update(change.status for change in changes)
    result.refuse(refused)
    writer.session.expunge_all()
    for change in changes:
        options.note(change)
        for line in differences(change, result) if options.report is not unseen else ():
            options.report(line)
    options.progress("write", len(changes))
