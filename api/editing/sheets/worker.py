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
# Bytes that a workbook unpacks to, and characters of a cell, as in Excel.
MOST_BYTES, MOST_CHARACTERS = 200_000_000, 32_767
PIECE = 1_000_000
# The reader takes a cell with an error for a blank one.
ERROR = re.compile(rb"""<c [^<>]{0,200}\bt=["']e["']|calcext:value-type=["']error["']""")
MACROS = ("vbaproject.bin", "basic/", "scripts/")


class UnreadableError(Exception):
    """Raised with what to do about a workbook that is not read."""


def main(path: str, sheet: str | None = None) -> None:
    """Print a line for each sheet, or for one of them, and one for each of its rows that is not blank, with its number."""
    for resource_, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        resource.setrlimit(resource_, (most, most))
    try:
        if sheet is None:
            # It is the first look at the file; to read each sheet, the archive need not be unpacked as a whole again.
            _check(path)
        for line in _lines(path, sheet):
            print(json.dumps(line))  # noqa: T201 - its output is its result
    except UnreadableError as error:
        print(json.dumps({"refused": str(error)}))  # noqa: T201
    except (CalamineError, zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        print(json.dumps({"refused": f"this is not a workbook that can be read ({error}): save it again as .xlsx"}))  # noqa: T201


def _check(path: str) -> None:
    """Refuse macros, archives that unpack to too much, and cells with errors, which are not blank."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.lower().startswith(MACROS) or name.lower().endswith(MACROS) for name in names):
            raise UnreadableError("it has macros: save it as a workbook without macros")
        total = 0
        for name in names:
            is_sheet = name.startswith("xl/worksheets/") or name == "content.xml"
            with archive.open(name) as file:
                before = b""
                while piece := file.read(PIECE):
                    total += len(piece)
                    if total > MOST_BYTES:
                        raise UnreadableError(f"it unpacks to more than {MOST_BYTES // 1_000_000} MB")
                    if is_sheet and (match := ERROR.search(before + piece)):
                        place = re.search(rb'\br="([A-Z]+[0-9]+)"', match[0])
                        where = f"cell {place[1].decode()}" if place else "a cell"
                        raise UnreadableError(f"{where} of {name} shows an error of a formula, such as #REF!: correct it")
                    before = piece[-300:]


def _lines(path: str, only: str | None) -> Iterator[object]:
    workbook = CalamineWorkbook.from_path(path)
    for name in workbook.sheet_names if only is None else [only]:
        sheet = workbook.get_sheet_by_name(name)
        merged = any(last[0] > first[0] for first, last in sheet.merged_cell_ranges or ())
        yield {"sheet": name, "merged": merged}
        for number, row in enumerate(sheet.iter_rows(), 1):
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
    main(*sys.argv[1:])
