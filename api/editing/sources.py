"""The sources of an import: files and folders, workbooks, text with separators and standard input, as records of nouns."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from api.db.database import Database
from api.editing.file_faults import FileError, FileFault
from api.editing.file_formats import FILE_FORMATS
from api.editing.files import Source, is_table, noun_of, records_of, suffix_of
from api.editing.sheets import grids, headers
from api.editing.sheets.headers import Header, Kind
from api.editing.sheets.names import Names
from api.editing.sheets.reading import Options, Reading, Report, Sheet
from api.editing.sheets.spool import Spool
from api.ledger.index.matching import spelled
from api.resources import BY_NAME

# Bytes of standard input, and those that are read at once.
MAX_INPUT, PIECE = 1_000_000_000, 1_000_000
STANDARD_INPUT, PLAIN = Path("-"), Options()
# The kind of a table whose records are not read.
ANY = Kind(BY_NAME["cities"])


@dataclass
class Sources(Report):
    """What can be imported, what was not taken, options that are mistaken, and the report of what was read."""

    taken: list[Source] = field(default_factory=list)
    untaken: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)


@contextmanager
def opened(
    database: Database, paths: Sequence[Path], options: Options = PLAIN, standard_input: BinaryIO | None = None
) -> Iterator[Sources]:
    """Yield the sources at these paths; their records are in temporary files until the block ends."""
    with tempfile.TemporaryDirectory() as folder, closing(Spool(Path(folder))) as spool:
        opening = _Opening(Path(folder), spool, options)
        for path in paths:
            opening.add(path, standard_input)
        if opening.sheets:
            opening.sources.mistakes = opening.mistakes()
            with database.reading() as session:
                opening.read(Names(session, opening.nouns()))
        yield opening.sources


class _Opening:
    """The opening of sources, in two steps: which tables there are, and then what they have."""

    def __init__(self, folder: Path, spool: Spool, options: Options) -> None:
        self.folder, self.spool, self.options = folder, spool, options
        self.sources = Sources()
        self.sheets: list[Sheet] = []

    def add(self, path: Path, standard_input: BinaryIO | None) -> None:
        """Add a file, the files of a folder, or standard input."""
        if path == STANDARD_INPUT and standard_input is not None:
            try:
                self._file(self._stored(standard_input), path)
            except FileError as error:
                self.sources.faults.append(error.fault)
            return
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            # A text is a table only if its name says so.
            is_other = suffix_of(file) not in FILE_FORMATS or (file.suffix == ".txt" and headers.kind_of(file.stem) is None)
            if path.is_dir() and is_other:
                self.sources.untaken.append(str(file))
            else:
                self._file(file, file)

    def _stored(self, standard_input: BinaryIO) -> Path:
        """Return a file with what standard input has."""
        path = self.folder / f"{self.options.kind}.{self.options.form}"
        with path.open("wb") as file:
            while piece := standard_input.read(PIECE):
                file.write(piece)
                if file.tell() > MAX_INPUT:
                    raise FileError(STANDARD_INPUT, 0, f"it has more than {MAX_INPUT // 1_000_000:,} MB: save it as a file")
        return path

    def _file(self, path: Path, shown: Path) -> None:
        try:
            if not is_table(path):
                noun_of(path)
                self._plain(path, shown)
            elif suffix_of(path) in grids.WORKBOOKS:
                self._workbook(path, shown)
            else:
                self._text(path, shown)
        except FileError as error:
            fault = error.fault
            source = self.spool.table(shown, None, ANY, {}) if fault.line and is_table(path) else shown
            self.sources.faults.append(replace(fault, file=source))
        except OSError as error:
            self.sources.faults.append(FileFault(shown, 0, "", f"the file can't be read: {error.strerror}"))

    def _plain(self, path: Path, shown: Path) -> None:
        """Add a file that is no table; standard input is stored under another name."""
        if path == shown:
            self.sources.taken.append(path)
            return
        table = self.spool.table(shown, None, Kind(noun_of(path)), {}, unit="line")
        for record in records_of(path):
            self.spool.add(table, record.line, record.content)
        self.sources.taken.append(table)

    def _workbook(self, path: Path, shown: Path) -> None:
        of_file, sheets = headers.kind_of(path.stem), list[Sheet]()
        for grid in grids.workbook(path, self.folder, self.options.most_bytes):
            kind = headers.kind_of(str(grid.sheet)) or self.options.kind or of_file
            label = f"{shown}, sheet {grid.sheet}"
            if kind is None or (self.options.sheets and grid.sheet not in self.options.sheets):
                self.sources.untaken.append(label)
                continue
            head = list(islice(grid.rows, grids.HEAD))
            header = headers.find(kind, head, self.options.columns)
            if header is None:
                if head:
                    self.sources.untaken.append(f"{label} (no row has names of columns of {kind})")
                continue
            notes = []
            if grid.merged and not self.options.fill_down:
                notes.append("some cells are merged over several rows: only the first one has the value; see `--fill-down`")
            sheets.append(Sheet(path, shown, grid.sheet, kind, header, notes, grid.kept))
            if len(sheets) > self.options.most_sheets:
                raise FileError(path, 0, f"more than {self.options.most_sheets} sheets have records: divide it")
        if not sheets:
            hint = f"name a sheet for its noun ({', '.join(BY_NAME)}), or use `--noun`"
            raise FileError(path, 0, f"no sheet has records: {hint}")
        self.sheets += sheets

    def _text(self, path: Path, shown: Path) -> None:
        kind = headers.kind_of(path.stem)
        kind = kind or self.options.kind or Kind(noun_of(path))
        grid = grids.text(path, self.options.encoding)
        head = list(islice(grid.rows, grids.HEAD))
        header = headers.find(kind, head, self.options.columns)
        if header is None and head:
            names = ", ".join(dict.fromkeys(name for name in headers.targets(kind).values() if "." not in name))
            detail = f"no row has names of columns, such as {names}: name them with `--columns`"
            raise FileError(path, 0, detail)
        self.sheets.append(Sheet(path, shown, None, kind, header or Header(0), grid.notes))

    def mistakes(self) -> list[str]:
        """Return the options that no table has a use for, each with what it names."""
        known = {name for sheet in self.sheets for name in headers.targets(sheet.kind).values()} | {headers.NOTHING}
        columns = {spelled(name) for sheet in self.sheets for pair in sheet.header.names.items() for name in pair}
        wrong = [
            f'--columns "{name}={member}": no table has a member `{member}`'
            for name, member in self.options.columns.items()
            if member not in known
        ]
        wrong += [f"--set {member}: no table has such a member" for member in self.options.constants if member not in known]
        return wrong + [
            f"--fill-down {name}: no table has such a column" for name in self.options.fill_down if spelled(name) not in columns
        ]

    def nouns(self) -> set[str]:
        """Return the nouns whose records the tables can name."""
        constants = self.options.constants
        return {noun for sheet in self.sheets for noun in headers.named_in(sheet.kind, {**sheet.header.names, **constants})}

    def read(self, names: Names) -> None:
        """Read the tables, those first that others refer to, and lists of records after the records."""
        for source in self.sources.taken:
            _take_names(source, names)
        places = headers.reading_order()
        for sheet in sorted(self.sheets, key=lambda row: (places[row.kind.noun.name], row.kind.part != "")):
            table = self.spool.table(sheet.shown, sheet.sheet, sheet.kind, sheet.header.names)
            self.sources.notes += [f"{table}: {note}" for note in sheet.notes]
            self.sources.taken.append(table)
            Reading(self.sources, self.spool, names, self.options, sheet, table).read()


def _take_names(source: Source, names: Names) -> None:
    try:
        for record in records_of(source):
            if isinstance(record.content, dict):
                names.coming(noun_of(source), record.content)
    except FileError:
        # It is reported when the records are read.
        return
