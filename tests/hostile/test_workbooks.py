"""Hostile workbooks are refused within seconds and little memory, each with a reason; they are made here."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from api.db.database import Database
from api.editing.sheets import grids, worker
from tests.support.databases import SQLITE_FIRST
from tests.support.files import load, said
from tests.support.workbooks import SPREADSHEET, packed_ods, xlsx

PLAIN = {"cities": [["Name", "State", "Country"], ["Fresno", "CA", "US"]]}
END = "</office:spreadsheet></office:body></office:document-content>"
SHEET = "xl/worksheets/sheet1.xml"
ROOT = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'


def replaced(path: Path, *sheets: Iterable[str], before: str = "") -> Path:
    """Write a workbook whose first sheets have these pieces of XML instead; it has as many sheets."""
    book = {**PLAIN, **{f"More {n}": PLAIN["cities"] for n in range(1, len(sheets))}}
    contents = {f"xl/worksheets/sheet{number}.xml": pieces for number, pieces in enumerate(sheets, 1)}
    with (
        zipfile.ZipFile(xlsx(path.with_name("plain.xlsx"), book)) as plain,
        zipfile.ZipFile(path, "w", 8, compresslevel=1) as out,
    ):
        for name in plain.namelist():
            if name not in contents:
                out.writestr(name, plain.read(name))
        for name, pieces in contents.items():
            with out.open(name, "w") as file:
                for piece in (f'<?xml version="1.0"?>{before}{ROOT}', *pieces, "</sheetData></worksheet>"):
                    file.write(piece.encode())
    return path


def lying(path: Path, millions: int) -> Path:
    """Write a workbook whose sheet has a long cell, and whose directory says that it is short."""
    with zipfile.ZipFile(replaced(path, long_cell(millions))) as archive:
        size = archive.getinfo(SHEET).file_size
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    return path


def cell(place: str, text: str) -> str:
    """Return the XML of a cell."""
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def long_cell(millions: int) -> Iterator[str]:
    """Yield a cell with a number of million characters."""
    yield '<row r="1"><c r="A1" t="inlineStr"><is><t>'
    yield from ("x" * 1_000_000 for _ in range(millions))
    yield "</t></is></c></row>"


def with_macros(folder: Path) -> Path:
    """Write a workbook with a program in it."""
    path = xlsx(folder / "cities.xlsx", PLAIN)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"Sub AutoOpen")
    return path


def repeated(folder: Path) -> Path:
    """Write a sheet with one cell that stands for 17 thousand million."""
    one = '<table:table-cell table:number-columns-repeated="16384" office:value-type="string"><text:p>x</text:p></table:table-cell>'
    row = f'<table:table-row table:number-rows-repeated="1048576">{one}</table:table-row>'
    return packed_ods(folder / "cities.ods", f'{SPREADSHEET}<table:table table:name="cities">{row}</table:table>{END}')


def entities(folder: Path, kind: str) -> Path:
    """Write a sheet with an entity, of a file or of a thousand million characters."""
    laughs = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    entity = f'<!ENTITY a "ha">{laughs}' if kind == "laughs" else '<!ENTITY j SYSTEM "file:///etc/passwd">'
    return replaced(folder / "cities.xlsx", [f'<row r="1">{cell("A1", "&j;")}</row>'], before=f"<!DOCTYPE x [{entity}]>")


SPARSE = [f'<row r="1">{cell("A1", "id")}</row><row r="1048576">{cell("XFD1048576", "x")}</row>']
FAR = [f'<row r="1">{cell("A1", "id")}</row><row r="1048576">{cell("A1048576", "x")}</row>']
BLANKS = ["<row>" + "<c/>" * 1_000_000 + "</row>"] * 20
LONG = [["x" * 32_767]] * 100
ERROR = ['<row r="2"><c r="B2" t="e"><v>#REF!</v></c></row>']
NUMBERS = [f'<row r="1">{cell("A1", "id")}</row><row r="2"><c r="A2"><v>1e400</v></c></row>']
UNREADABLE = "this is not a workbook that can be read"
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "archive that unpacks to 210 MB": (
        lambda at: replaced(at / "cities.xlsx", long_cell(210)),
        f"it has more than 200 MB when it is unpacked: {worker.CURE}",
    ),
    "directory of an archive that lies about 210 MB": (
        lambda at: lying(at / "cities.xlsx", 210),
        f"it has more than 200 MB when it is unpacked: {worker.CURE}",
    ),
    "directory of an archive that lies about 1 MB": (lambda at: lying(at / "cities.xlsx", 1), UNREADABLE),
    "20 million blank cells": (lambda at: replaced(at / "cities.xlsx", BLANKS), "it has more than 20 million marks of XML"),
    "cells at the ends of 5 sheets": (lambda at: replaced(at / "cities.xlsx", *[FAR] * 5), "it has more than 5 million cells"),
    "a long text in 700 cells": (
        lambda at: xlsx(at / "cities.xlsx", {f"Sheet {n}": LONG for n in range(7)}),
        "it has more than 20 MB of text in its cells",
    ),
    "cell of 50 MB": (
        lambda at: replaced(at / "cities.xlsx", long_cell(50)),
        "row 1 has a cell of more than 32,767 characters",
    ),
    "cell of 1 MB": (lambda at: replaced(at / "cities.xlsx", long_cell(1)), "row 1 has a cell of more than 32,767 characters"),
    "two cells at the ends": (lambda at: replaced(at / "cities.xlsx", SPARSE), grids.TOO_MUCH),
    "cells that are repeated": (repeated, UNREADABLE),
    "macros": (with_macros, "it has macros: save it as a workbook without macros"),
    "entity of a file": (lambda at: entities(at, "file"), UNREADABLE),
    "entities of entities": (lambda at: entities(at, "laughs"), UNREADABLE),
    "error of a formula": (
        lambda at: replaced(at / "cities.xlsx", ERROR),
        f"cell B2 of {SHEET} shows an error of a formula, such as #REF!: correct it",
    ),
    "number without end": (
        lambda at: replaced(at / "cities.xlsx", NUMBERS),
        "row 2 has a cell whose number is too large, or is none: correct it",
    ),
    "no archive": (lambda at: _text(at / "cities.xlsx"), UNREADABLE),
}


def _text(path: Path) -> Path:
    path.write_bytes(b"PK\x03\x04 but no more")
    return path


# A small process between, because a new process counts the memory of the one that it came from.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, done.returncode, done.stdout, sep="\\n")
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_workbooks_are_refused(tmp_path: Path, name: str) -> None:
    """Whatever a workbook unpacks to, the process that reads it stays below 200 MB, and says after a few seconds of work why it ends."""
    make, reason = HOSTILE[name]
    path = make(tmp_path)
    most = 20_000_000 if "long text" in name else worker.MOST_BYTES
    command = [sys.executable, "-c", MEASURE, sys.executable, "-P", worker.__file__, str(path), str(most)]
    measured = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds, status, output = measured.stdout.split("\n", 3)
    assert float(seconds) < worker.SECONDS / 2
    assert int(memory) * 1024 < worker.MEMORY
    if status == "0":
        assert json.loads(output.strip().splitlines()[-1])["refused"].startswith(reason)
    else:
        # Memory may end before or while the cell is read.
        assert grids.TOO_MUCH.startswith(reason) or name == "cell of 50 MB"


@SQLITE_FIRST
@pytest.mark.parametrize("name", ["two cells at the ends", "macros"])
def test_an_import_says_why(database: Database, tmp_path: Path, name: str) -> None:
    """The import names the file and the reason, also if the process that reads the file was ended."""
    make, reason = HOSTILE[name]
    assert said(load(database, make(tmp_path)), tmp_path) == [f"cities.xlsx: {reason}"]


@SQLITE_FIRST
def test_control_a_plain_workbook_is_read(database: Database, tmp_path: Path) -> None:
    """The control: the same workbook without anything hostile, and one with a million empty rows, are read."""
    assert load(database, xlsx(tmp_path / "cities.xlsx", PLAIN)).statuses == {"created": 1}
    rows = (f'<row r="{number}"></row>' for number in range(3, 1_000_000))
    cells = [
        f'<row r="1">{cell("A1", "id")}{cell("B1", "summary")}</row><row r="2">{cell("A2", "fresno-ca")}{cell("B2", "S")}</row>'
    ]
    assert load(database, replaced(tmp_path / "cities.xlsx", [*cells, *rows])).statuses == {"updated": 1}
