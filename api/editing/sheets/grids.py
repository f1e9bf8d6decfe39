"""Grids: the cells of a sheet, row by row, from workbooks and from text with separators."""

import codecs
import csv
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

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
TOO_MUCH = f"it needs more than {worker.MEMORY // 1_000_000} MB or {worker.SECONDS} s: {worker.CURE}"


@dataclass
class Grid:
    """A sheet: its rows that are not blank, each with its number.

    ``sheet`` is its name, None for a text. ``merged``: some cells reach over several rows. ``notes`` say what was detected.
    ``kept`` is the file that has the rows of a workbook's sheet once they are read.
    """

    sheet: str | None
    rows: Iterator[Row]
    merged: bool = False
    notes: list[str] = field(default_factory=list)
    kept: Path | None = None


def workbook(path: Path, folder: Path, most_bytes: int = worker.MOST_BYTES) -> Iterator[Grid]:
    """Yield the sheets of a workbook, whose rows are read before the next one and kept in the folder. Raises FileError."""
    # -P keeps the modules of the script's own folder from standing for others.
    command = [sys.executable, "-P", worker.__file__, str(path), str(most_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8") as process:  # noqa: S603 - our own script
        assert process.stdout is not None
        # A process that is ended leaves a part of a line.
        lines = takewhile(lambda line: line.endswith("\n"), process.stdout)
        heading = [next(lines, "")]

        def rows(file: IO[str]) -> Iterator[str]:
            heading[0] = ""
            for line in lines:
                if line.startswith("{"):
                    heading[0] = line
                    return
                file.write(line)
                yield line

        try:
            while heading[0]:
                known = json.loads(heading[0])
                if "refused" in known:
                    raise FileError(path, 0, known["refused"])
                with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
                    texts = rows(file)
                    yield Grid(known["sheet"], map(_row, texts), known["merged"], kept=Path(file.name))
                    for _ in texts:
                        pass
            if process.wait() != 0:
                raise FileError(path, 0, TOO_MUCH)
        finally:
            process.kill()


def kept(path: Path) -> Iterator[Row]:
    """Yield the rows of a sheet again, from the file that they are kept in."""
    with path.open(encoding="utf-8") as file:
        yield from map(_row, file)


def _row(line: str) -> Row:
    number, cells = json.loads(line)
    return number, cells


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
