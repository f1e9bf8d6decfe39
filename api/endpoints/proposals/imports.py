"""`/imports`: a file of records is read as people have it, checked, and stored as a proposal."""

import datetime as dt
import json
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Response, request

from api.editing import entries, imports, sources
from api.editing.file_faults import FileFault
from api.editing.files import records_of
from api.editing.imports import ImportOptions
from api.editing.operations import Change
from api.editing.proposals import Proposal
from api.editing.sheets import grids
from api.editing.sheets.headers import kind_of, kinds
from api.editing.sheets.reading import Options
from api.editing.sources import Sources
from api.endpoints.proposals.listing import summary
from api.endpoints.proposals.making import propose
from api.endpoints.proposals.showing import shown_change
from api.errors import MAX_REFUSALS, ErrorList, Item, ProblemError, error_item
from api.query.parameters import Parameter
from api.schema import strict_json
from api.schema.operators import TYPES
from api.schema.resource import Resource
from api.web import tags
from api.web.commits import PARAMETERS as OF_WRITES
from api.web.commits import identity, once, replayed
from api.web.keys import ApiKey
from api.web.operations import MAX_OPERATIONS, Changeset, operations_of
from api.web.responses import JSON, NDJSON, no_store, writable

# The media types of files, and their formats.
FORMS = {
    "text/csv": "csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    NDJSON: "ndjson",
}
BODIES = {
    "required": True,
    "content": {
        "text/csv": {"schema": {"type": "string"}, "example": "Ort,State,Country\nFresno,CA,US\n"},
        **{name: {"schema": {"type": "string", "format": "binary"}} for name, form in FORMS.items() if form != "csv"},
    },
}
# Rows of all tables, lines of a text, sheets with records, bytes of a workbook unpacked. Larger files are for the command line.
MOST_ROWS, MOST_SHEETS, MOST_BYTES = 5_000, 20, 50_000_000
# Notes of an answer, and of a refusal.
MOST_NOTES = 500
# An option of the command line where a message begins or quotes it: `--columns "Ort=city"`.
OPTION = re.compile(r'(?:^|(?<=`))--([a-z-]+)(?: (?:"([^"]*)"|([^`:]+)))?')
ENCODINGS = ("utf-8", "utf-16", *grids.LIKELY)
# A process reads one file at a time: a workbook takes a process of its own with up to 200 MB.
READING = threading.Lock()


def _read_pairs(row: Parameter, _: Resource, values: Sequence[str], errors: ErrorList) -> Mapping[str, str]:
    pairs = [value.rpartition("=") for value in values]
    if wrong := [text for name, sign, text in pairs if not (sign and name.strip())]:
        errors.add(row.name, "invalid-value", f"`{row.name}` is of the form NAME=VALUE; `{wrong[0][:80]}` is not.")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _read_texts(_: Parameter, __: Resource, values: Sequence[str], ___: ErrorList) -> Sequence[str]:
    return values


def _texts(name: str, description: str, read: Any, example: str) -> Parameter:
    schema = {"type": "array", "items": {"type": "string"}}
    return Parameter(name, description, schema, read=read, example=lambda _: json.dumps([example]))


PARAMETERS = {
    row.name: row
    for row in (
        Parameter(
            "noun",
            "The noun of the records; a workbook whose sheets are named for nouns needs none.",
            {"type": "string", "enum": [str(kind) for kind in dict.fromkeys(kinds().values())]},
            example=lambda _: "cities",
        ),
        _texts("columns", "Member that a column is, or nothing to leave it out; repeatable.", _read_pairs, "Ort=name"),
        _texts("set", "Value of a member in rows without one; repeatable.", _read_pairs, "country=US"),
        _texts("fill_down", "Column whose blank cells have the value above; repeatable.", _read_texts, "State"),
        _texts("sheet", "Only sheet to read; repeatable.", _read_texts, "Cities"),
        Parameter(
            "encoding",
            "Encoding of a text; else it is detected.",
            {"type": "string", "enum": [*ENCODINGS]},
            example=lambda _: "utf-8",
        ),
        Parameter("replace", "Empty the members that a record lacks.", TYPES["flag"].schema, example=lambda _: "false"),
        *OF_WRITES.values(),
    )
}


@dataclass
class Report:
    """What was read of a file: the changes that it would make, faults and questions as errors, and notes."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    errors: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def require_changes(self) -> Sequence[Change]:
        """Return the changes. Raises a 422 with all faults and questions, or if there are too many changes."""
        if len(self.changes) > MAX_OPERATIONS:
            detail = f"A proposal changes at most {MAX_OPERATIONS:,} records, and this file {len(self.changes):,}: divide it."
            self.errors.append(error_item("", "wrong-number", detail, pointer="", allowed={"maximum": MAX_OPERATIONS}))
        if not (self.errors or self.changes or self.unchanged):
            self.errors.append(error_item("", "missing", "There is no record in the file.", pointer=""))
        if self.errors:
            detail = f"Nothing was stored; faults and questions: {len(self.errors):,}."
            raise ProblemError("invalid-body", detail, *self.errors[:MAX_REFUSALS], notes=self.notes[:MAX_REFUSALS])
        return self.changes


def import_file(key: ApiKey, query: Mapping[str, Any]) -> Response:
    """Store what a file would change as a proposal, and answer with the report. Raises 400, 415, 422 and 503."""
    known = identity(key, query)
    if stored := replayed(known):
        return stored
    with _file(query.get("noun")) as path:
        report = _read(path, query)
    changes = report.require_changes()

    def answer(proposal: Proposal | None, now: dt.datetime, changes: Sequence[Change], status: int = 201) -> Response:
        body = {
            "data": proposal and summary(proposal, now),
            "changes": [shown_change(change) for change in changes],
            "unchanged": report.unchanged,
            "notes": report.notes[:MOST_NOTES],
        }
        return no_store(Response(json.dumps(body, separators=(",", ":"), default=float), status, content_type=JSON))

    if not changes:
        return once(known, lambda _: answer(None, dt.datetime.now(dt.UTC), [], status=200), query)
    # Decimals as the body of a request has them.
    rows = strict_json.load(json.dumps([_row(change) for change in changes], default=float), exact=True)
    return propose(key, known, Changeset(None, operations_of(rows), rows), query, answer)


@contextmanager
def _file(noun: str | None) -> Iterator[Path]:
    """Yield a file with the body of the request. Raises 400, 413, 415, 422, and a 503 while another one is read."""
    form = FORMS.get(request.mimetype)
    if form is None or request.content_encoding:
        detail = f"The body is a file, not compressed: `{'`, `'.join(FORMS)}`."
        item = error_item("Content-Type", "unsupported-media-type", detail, allowed=[*FORMS])
        raise ProblemError("unsupported-media-type", detail, item)
    if noun is None and form not in grids.WORKBOOKS:
        detail = "`noun` is missing: only the sheets of a workbook can be named for their nouns."
        raise ProblemError("invalid-query", detail, error_item("noun", "missing", detail))
    content = request.get_data()
    if form not in grids.WORKBOOKS and max(map(content.count, (b"\n", b"\r"))) > MOST_ROWS:
        raise _too_long("lines")
    if not READING.acquire(blocking=False):
        raise ProblemError("unavailable", "Another file is being read.")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{noun or 'file'}.{form}")
            path.write_bytes(content)
            yield path
    finally:
        READING.release()


def _too_long(what: str) -> ProblemError:
    detail = f"A file has at most {MOST_ROWS:,} {what} here; `data import` takes any number."
    return ProblemError(
        "invalid-body", detail, error_item("", "wrong-number", detail, pointer="", allowed={"maximum": MOST_ROWS})
    )


def _read(path: Path, query: Mapping[str, Any]) -> Report:
    """Read a file, and rehearse the import of its records: others do not wait meanwhile."""
    report, noun = Report(), query.get("noun")
    options = Options(
        columns=query.get("columns", {}),
        constants=query.get("set", {}),
        fill_down=query.get("fill_down", ()),
        kind=kind_of(noun) if noun else None,
        sheets=query.get("sheet", ()),
        encoding=query.get("encoding"),
        most=MOST_ROWS,
        most_sheets=MOST_SHEETS,
        most_bytes=MOST_BYTES,
    )
    with sources.opened(writable(), [path], options) as opened:
        _refuse_mistakes(opened)
        if opened.rows > MOST_ROWS:
            raise _too_long("rows")
        files, ids, faults = entries.read(opened.taken)
        how = ImportOptions(replace=query.get("replace", False), note=report.changes.append)
        records = (record for file in files for record in records_of(file))
        try:
            imported = imports.rehearse(writable(), records, ids, how)
        except PermissionError:
            detail = "The database's role may not make temporary tables, which the check of a file needs."
            raise ProblemError("unavailable", detail) from None
        faults = opened.with_faults([*faults, *imported.faults])
        report.errors += [_error(fault, opened.asked, path.parent) for fault in faults]
        notes = [*opened.notes, *(f"not taken: {name}" for name in opened.untaken)]
        report.notes += [_told(note, path.parent) for note in notes]
    report.unchanged = imported.statuses["unchanged"]
    report.changes = [change for change in report.changes if change.status != "unchanged"]
    return report


def _refuse_mistakes(opened: Sources) -> None:
    """Raise a 400 for options that no table has a use for."""
    errors = ErrorList()
    for mistake in opened.mistakes:
        detail = OPTION.sub(_parameter, mistake)
        errors.add(detail.partition("=")[0], "invalid-value", f"{detail}.")
    errors.raise_any()


def _told(text: str, folder: Path) -> str:
    """Return what the command line would say, without its folder, and with parameters for its options."""
    return OPTION.sub(_parameter, text.replace(f"{folder}/", ""))


def _parameter(option: re.Match[str]) -> str:
    """Return an option with its value as a parameter; one that only the command line has stays as it is."""
    name, value = option[1].replace("-", "_"), option[2] or option[3]
    return option[0] if name not in PARAMETERS else f"{name}={value}" if value else name


def _error(fault: FileFault, asked: AbstractSet[tuple[Any, int]], folder: Path) -> Item:
    code = "question" if {(fault.file, fault.line), (fault.file, 0)} & asked else "invalid-value"
    return error_item("", code, _told(str(fault), folder), pointer="")


def _row(change: Change) -> Mapping[str, Any]:
    """Return the operation of a changeset that makes a change, if the record is as it is now."""
    known = {"kind": change.operation.resource.name, "id": change.id, "document": change.content}
    if change.old is None or change.before is None:
        return {"op": "create", **known}
    return {"op": "put", **known, "if_match": f'"{tags.of_record(change.old)}"'}
