"""Grids: the cells of a sheet, row by row, from workbooks and from text with separators."""

import codecs
import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from api.editing.file_faults import FileError
from api.editing.sheets import worker

WORKBOOKS = ("xlsx", "ods")
# A cell as a workbook or a text has it.
Cell = Any
Row = tuple[int, list[Cell]]
# Bytes from which an encoding is guessed, and rows from which a separator is.
SAMPLE, HEAD = 100_000, 30
PIECE, MAX_LINE = 65_536, 1_000_000
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# Encodings of spreadsheets; others, such as EBCDIC, would fit by chance.
LIKELY = ["cp1252", "cp1250", "cp1251", "mac_roman", "shift_jis", "gb18030", "big5", "euc_kr"]
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
NOTE = "separated by "
BY_SEMICOLONS = NOTE + SEPARATORS[";"]
TOO_MUCH = f"it needs more than {worker.MEMORY // 1_000_000} MB or {worker.SECONDS} s: save only the sheets of records, as CSV"


@dataclass
class Grid:
    """A sheet: its rows that are not blank, each with its number.

    ``sheet`` is its name, None for a text. ``merged``: some cells reach over several rows. ``notes`` say what was detected.
    """

    sheet: str | None
    rows: Iterator[Row]
    merged: bool = False
    notes: list[str] = field(default_factory=list)


def workbook(path: Path, sheet: str | None = None) -> Iterator[Grid]:
    """Yield the sheets of a workbook, or one of them; the rows of one are read before the next one. Raises FileError."""
    # -P keeps the modules of the script's own folder from standing for others.
    command = [sys.executable, "-P", worker.__file__, str(path), *([] if sheet is None else [sheet])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8") as process:  # noqa: S603 - our own script
        assert process.stdout is not None
        lines = map(json.loads, process.stdout)
        heading: list[Any] = [next(lines, None)]

        def rows() -> Iterator[Row]:
            heading[0] = None
            for line in lines:
                if isinstance(line, dict):
                    heading[0] = line
                    return
                yield line[0], line[1]

        try:
            while heading[0] is not None:
                if "refused" in heading[0]:
                    raise FileError(path, 0, heading[0]["refused"])
                grid = Grid(heading[0]["sheet"], rows(), heading[0]["merged"])
                yield grid
                for _ in grid.rows:
                    pass
            if process.wait() != 0:
                raise FileError(path, 0, TOO_MUCH)
        finally:
            process.kill()


def text(path: Path, encoding: str | None = None) -> Grid:
    """Return the rows of a text with separators; the encoding and the separator are detected. Raises FileError."""
    encoding, is_sure = (encoding, True) if encoding else _encoding(path)
    separator = _separator(path, encoding)
    notes = [] if encoding == "utf-8-sig" else [f"read as {encoding}{'' if is_sure else ', by its letters'}"]
    if separator != ",":
        notes.append(NOTE + SEPARATORS[separator])
    return Grid(None, _rows(path, encoding, separator), notes=notes)


def _encoding(path: Path) -> tuple[str, bool]:
    """Return the encoding of a text, and whether it is sure."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        sample = file.read(SAMPLE)
        for mark, encoding in MARKS:
            if sample.startswith(mark):
                return encoding, True
        try:
            decoder.decode(sample)
            while piece := file.read(PIECE):
                decoder.decode(piece)
                sample = piece
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            pass
        else:
            return "utf-8-sig", True
    if sample[1::2].count(0) > len(sample) / 4:
        return "utf-16-le", False
    best = from_bytes(sample, cp_isolation=LIKELY).best()
    if best is None:
        raise FileError(path, 0, "its encoding is not known: save it as UTF-8, or name it with `--encoding`")
    # Encodings that read the same text are alike: the most likely one is named.
    return next((name for name in LIKELY if name in best.could_be_from_charset), best.encoding), False


def _separator(path: Path, encoding: str) -> str:
    """Return the separator that cuts the first rows into the most cells, as many in each row as possible."""
    with path.open(encoding=encoding, newline="") as file:
        head = [line for _, line in zip(range(HEAD), _lines(path, file), strict=False)]

    def fitness(separator: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in csv.reader(head, delimiter=separator) if len(row) > 1]
        except csv.Error:
            # A cell would be too long.
            return 0, 0
        usual = max(set(widths), key=widths.count, default=1)
        return widths.count(usual) * (usual > 1), usual

    # Excel's own way to say it.
    named = re.match(r"sep=(.)\r?\n", head[0]) if head else None
    return named[1] if named and named[1] in SEPARATORS else max(SEPARATORS, key=fitness)


def _lines(path: Path, file: Any) -> Iterator[str]:
    number = 0
    try:
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise FileError(path, number, f"a record has at most {MAX_LINE:,} characters")
            yield line
    except UnicodeError as error:
        # A text in UTF-16 without its mark is no UnicodeDecodeError.
        name = error.encoding if isinstance(error, UnicodeDecodeError) else file.encoding
        detail = f"it is not in {name}: save it as UTF-8, or name its encoding with `--encoding`"
        raise FileError(path, number + 1, detail) from None


def _rows(path: Path, encoding: str, separator: str) -> Iterator[Row]:
    number = 0
    try:
        with path.open(encoding=encoding, newline="") as file:
            for number, row in enumerate(csv.reader(_lines(path, file), delimiter=separator, strict=True), 1):
                if any(cell.strip() for cell in row):
                    yield number, row
    except csv.Error as error:
        detail = f"{error}: a cell in quotes ends with a quote, and has two for each quote in it"
        raise FileError(path, number + 1, detail) from None
