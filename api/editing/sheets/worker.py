"""Prints the sheets of a workbook as lines of JSON, in a process of its own with little memory and time.

Workbooks are archives of XML, and a small one can unpack to any size. The limits of the process hold for all of them.
"""

import datetime as dt
import json
import math
import re
import resource
import sys
import zipfile
from collections.abc import Iterator

from python_calamine import CalamineError, CalamineWorkbook

MEMORY, SECONDS = 200_000_000, 10
# Bytes that a workbook unpacks to, and those that its cells print; a cell has as many characters as in Excel.
MOST_BYTES, MOST_CHARACTERS = 200_000_000, 32_767
# The time to parse sheets grows with their marks (`<`), and that to print them with their cells, blank ones between others too.
MOST_MARKS, MOST_CELLS = 20_000_000, 5_000_000
PIECE = 1_000_000
# The reader takes a cell with an error for a blank one. To look for the marks first is ten times as fast.
ERROR = re.compile(rb"""<c [^<>]{0,200}\bt=["']e["']|calcext:value-type=["']error["']""")
ERROR_MARKS = (b't="e"', b"t='e'", b'value-type="error"', b"value-type='error'")
MACROS = ("vbaproject.bin", "basic/", "scripts/")
CURE = "save only the sheets of records, as CSV"


class UnreadableError(Exception):
    """Raised with what to do about a workbook that is not read."""


def main(path: str, most: int) -> None:
    """Print a line for each sheet, and one for each of its rows that is not blank, with its number.

    The workbook unpacks to at most a number of bytes, and prints as many.
    """
    for resource_, limit in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        resource.setrlimit(resource_, (limit, limit))
    printed = 0
    try:
        _check(path, most)
        for line in _lines(path):
            text = json.dumps(line)
            printed += len(text)
            _require(printed, most, "MB of text in its cells")
            print(text)  # noqa: T201 - its output is its result
    except UnreadableError as error:
        print(json.dumps({"refused": str(error)}))  # noqa: T201
    except (CalamineError, zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        print(json.dumps({"refused": f"this is not a workbook that can be read ({error}): save it again as .xlsx"}))  # noqa: T201


def _require(number: int, most: int, what: str) -> None:
    if number > most:
        raise UnreadableError(f"it has more than {most // 1_000_000} {what}: {CURE}")


def _check(path: str, most: int) -> None:
    """Refuse macros, archives that unpack to too much, and cells with errors, which are not blank."""
    with zipfile.ZipFile(path) as archive:
        rows = archive.infolist()
        names = [row.filename.lower() for row in rows]
        if any(name.startswith(MACROS) or name.endswith(MACROS) for name in names):
            raise UnreadableError("it has macros: save it as a workbook without macros")
        total = sum(row.file_size for row in rows)
        _require(total, most, "MB when it is unpacked")
        total = marks = 0
        for row in rows:
            before = b""
            for piece in _pieces(archive, row):
                total, marks = total + len(piece), marks + piece.count(b"<")
                _require(total, most, "MB when it is unpacked")
                _require(marks, MOST_MARKS, "million marks of XML")
                if row.filename.startswith("xl/worksheets/") or row.filename == "content.xml":
                    _refuse_error(row.filename, before + piece)
                before = piece[-300:]


def _pieces(archive: zipfile.ZipFile, row: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a file; one whose directory tells another length is none."""
    # Read to its own end, where its checksum is: a file could be longer than its directory says, and the reader would go on.
    told, row.file_size = row.file_size, sys.maxsize
    length = 0
    with archive.open(row) as file:
        while piece := file.read(PIECE):
            length += len(piece)
            yield piece
    if length != told:
        raise zipfile.BadZipFile("its directory is wrong")


def _refuse_error(name: str, text: bytes) -> None:
    if any(mark in text for mark in ERROR_MARKS) and (match := ERROR.search(text)):
        place = re.search(rb'\br="([A-Z]+[0-9]+)"', match[0])
        where = f"cell {place[1].decode()}" if place else "a cell"
        raise UnreadableError(f"{where} of {name} shows an error of a formula, such as #REF!: correct it")


def _lines(path: str) -> Iterator[object]:
    workbook = CalamineWorkbook.from_path(path)
    seen = 0
    for name in workbook.sheet_names:
        sheet = workbook.get_sheet_by_name(name)
        merged = any(last[0] > first[0] for first, last in sheet.merged_cell_ranges or ())
        yield {"sheet": name, "merged": merged}
        for number, row in enumerate(sheet.iter_rows(), 1):
            seen += len(row)
            _require(seen, MOST_CELLS, "million cells, with blank ones between others")
            cells = [_value(cell, number) for cell in row]
            while cells and isinstance(cells[-1], str) and not cells[-1].strip():
                cells.pop()
            if cells:
                yield [number, cells]


def _value(cell: object, row: int) -> object:
    """Return a cell as JSON; a date as an object with a text."""
    if isinstance(cell, str):
        if len(cell) > MOST_CHARACTERS:
            raise UnreadableError(f"row {row} has a cell of more than {MOST_CHARACTERS:,} characters")
        return cell
    if isinstance(cell, float) and not math.isfinite(cell):
        raise UnreadableError(f"row {row} has a cell whose number is too large, or is none: correct it")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, dt.date | dt.time | dt.timedelta):
        return {"date": str(cell)}
    return cell


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
