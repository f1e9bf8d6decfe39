"""Reads a sheet: its records go to the spool, and what was asked and read as something else into a report."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from api.editing.file_faults import FileError, FileFault
from api.editing.file_faults import Table as Placed
from api.editing.sheets import grids, headers, worker
from api.editing.sheets.headers import Header, Kind
from api.editing.sheets.meanings import Record
from api.editing.sheets.names import Names
from api.editing.sheets.questions import Question
from api.editing.sheets.rows import Reader, item_of, noted
from api.editing.sheets.spool import Spool, Table
from api.errors import shorten
from api.ledger.index.matching import spelled
from api.schema.canonical import PUBLICATION


@dataclass(frozen=True)
class Options:
    """How tables are read.

    ``columns`` maps names of columns to members, and to an empty text what is left out. ``constants`` are members with a value
    for all rows that have none. ``fill_down`` names columns whose blank cells have the value above. ``kind`` is that of tables
    whose name says none, ``sheets`` are the only ones to read, and ``form`` is the format of standard input. ``most`` is the
    greatest number of rows of all tables together, ``most_sheets`` that of sheets of a workbook that have records, and
    ``most_bytes`` that of bytes that a workbook unpacks to.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    fill_down: Sequence[str] = ()
    kind: Kind | None = None
    form: str | None = None
    sheets: Sequence[str] = ()
    encoding: str | None = None
    most: int = sys.maxsize
    most_sheets: int = sys.maxsize
    most_bytes: int = worker.MOST_BYTES


def _moved(fault: FileFault) -> FileFault:
    if not isinstance(fault.file, Table):
        return fault
    table, line, member = fault.file.owner(fault.line, fault.field)
    return replace(fault, file=table, line=line, field=member)


@dataclass
class Report:
    """The faults of what cannot be read, notes of what was detected or read as what, the rows, and records with a question.

    ``asked`` has these by table and row; row 0 stands for a table with a question about its header.
    """

    faults: list[FileFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    asked: set[tuple[Path | Placed, int]] = field(default_factory=set)

    def with_faults(self, faults: Iterable[FileFault]) -> list[FileFault]:
        """Return these faults, but for those of records with a question, whose answer decides, and those of the report.

        It is called while the records are there: a fault of an item of a list moves to the table that the item is in.
        """
        others = [fault for fault in faults if not {(fault.file, fault.line), (fault.file, 0)} & self.asked]
        return sorted([*self.faults, *map(_moved, others)], key=lambda fault: (str(fault.file), fault.line))


@dataclass(frozen=True)
class Sheet:
    """A table that was found: where it is, what it has, and the file that keeps the rows of a workbook's sheet."""

    path: Path
    shown: Path
    sheet: str | None
    kind: Kind
    header: Header
    notes: Sequence[str]
    kept: Path | None = None


class Reading:
    """The reading of one table."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it reads, and where to
        self, report: Report, spool: Spool, names: Names, options: Options, sheet: Sheet, table: Table
    ) -> None:
        """Take a sheet, and the table that its records go to."""
        self.report, self.spool, self.names = report, spool, names
        self.options, self.sheet, self.table = options, sheet, table
        known = headers.targets(sheet.kind).values()
        constants = {name: text for name, text in self.options.constants.items() if name in known}
        # Programs write semicolons where the comma begins the decimals.
        decimal_commas = grids.BY_SEMICOLONS in sheet.notes
        self.reader = Reader(self.names, sheet.kind, sheet.header, constants, may_have_decimal_commas=decimal_commas)
        # What was read as what, with the first row and the number of rows.
        self.noted: dict[tuple[str, str, str], list[int]] = {}

    def read(self) -> None:
        """Read all rows into the spool."""
        self._check_header()
        try:
            for line, row in self._rows():
                self._take(line, self.reader.read(row))
        except FileError as error:
            self.report.faults.append(replace(error.fault, file=self.table))
        for (column, text, value), (line, count) in self.noted.items():
            said = f"`{shorten(text)}` read as {shorten(value)}" if text else value
            more = f" (and in {count - 1} more {'row' if count == 2 else 'rows'})" if count > 1 else ""  # noqa: PLR2004 - one more
            self.report.notes.append(f"{self.table}, row {line}, {column}: {said}{more}")

    def _check_header(self) -> None:
        header = self.sheet.header
        if header.unknown or header.twice:
            self.report.asked.add((self.table, 0))
        for name, near in header.unknown.items():
            cure = f'`--columns "{name}={near or "MEMBER"}"` names its member, and `--columns "{name}="` leaves it out'
            detail = f"the column `{name}` is no member of {self.sheet.kind}: {cure}"
            self.report.faults.append(FileFault(self.table, header.row, "", detail))
        for name in header.twice:
            detail = f"the column `{name}` occurs twice: {self._leave_out(name)}"
            self.report.faults.append(FileFault(self.table, header.row, "", detail))

    @staticmethod
    def _leave_out(name: str) -> str:
        return f'leave one out, by another name and `--columns "NAME="`, such as `{name} 2`'

    def _rows(self) -> Iterator[grids.Row]:
        """Yield the rows behind the header that are not blank, with the cells that are filled down."""
        header = self.sheet.header
        wanted = {spelled(name) for name in self.options.fill_down}
        filled = [
            place for place, member in header.columns.items() if {spelled(member), spelled(header.names[member])} & wanted
        ]
        above: dict[int, grids.Cell] = {}
        unnamed: set[int] = set()
        for line, cells in self._below():
            self.report.rows += 1
            if self.report.rows > self.options.most:
                raise FileError(self.table, line, f"the file has more than {self.options.most:,} rows")
            self._check_width(line, cells)
            row = [*cells, *[""] * (header.width - len(cells))]
            has_own = any(row[place] != "" for place in header.columns if place not in filled)
            unnamed |= {
                place for place, cell in enumerate(row) if place >= header.width or place in header.unnamed if cell != ""
            }
            for place in filled:
                above[place] = row[place] = row[place] if row[place] != "" else above.get(place, "")
            if has_own and any(str(row[place]).strip() != header.names[member] for place, member in header.columns.items()):
                yield line, row
        if unnamed:
            places = ", ".join(str(place + 1) for place in sorted(unnamed))
            self.report.notes.append(f"{self.table}: no name is above what stands in column {places}, so it is not read")

    def _below(self) -> Iterator[grids.Row]:
        """Yield the rows below the header."""
        path, kept = self.sheet.path, self.sheet.kept
        rows = grids.kept(kept) if kept else grids.text(path, self.options.encoding).rows
        yield from (row for row in rows if row[0] > self.sheet.header.row)

    def _check_width(self, line: int, row: list[grids.Cell]) -> None:
        """Refuse a row of a text that is shorter than the header, and so was cut off, or longer."""
        width = self.sheet.header.width
        if self.sheet.sheet is None and (len(row) < width or any(cell.strip() for cell in row[width:])):
            detail = f"the header has {width} cells, and this row {len(row)}: put quotes around a cell with a comma"
            raise FileError(self.table, line, detail)

    def _take(self, line: int, record: Record) -> None:
        """Keep a record, its questions and its notes."""
        if self.sheet.kind.part:
            self._take_item(line, record)
        elif not record.questions or record.content.get("id") is not None:
            # Other records may refer to one with a question.
            self.names.coming(self.sheet.kind.noun, record.content)
            self.spool.add(self.table, line, record.content)
        for member, question in record.questions:
            self.report.asked.add((self.table, line))
            self.report.faults.append(FileFault(self.table, line, member.replace(".", "/"), question))
        for note in noted(record, self.sheet.header):
            self.noted.setdefault(note, [line, 0])[1] += 1

    def _take_item(self, line: int, record: Record) -> None:
        """Keep an item of a list of a record."""
        item = item_of(self.sheet.kind, record)
        id = record.content.get("id")
        if isinstance(id, str) and not record.questions:
            id = self._owner(record, id)
        if id is None and not record.questions:
            record.questions.append(("id", f"the id of the {self.sheet.kind.noun.singular} is missing"))
        if isinstance(id, str) and not record.questions:
            publication = {name: record.content[name] for name in PUBLICATION if record.content.get(name) is not None}
            self.spool.add_item(self.table, line, id, publication, item)
            self.names.coming_item(self.sheet.kind, id, item)

    def _owner(self, record: Record, text: str) -> str | None:
        """Return the id of the record that a row of a list belongs to, by id or name."""
        try:
            id = self.names.resolve(self.sheet.kind.noun, text, {})
        except Question as question:
            record.questions.append(("id", str(question)))
            return None
        if id != text:
            record.note("id", text, id)
        return id
