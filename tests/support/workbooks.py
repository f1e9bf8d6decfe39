"""Workbooks for tests, made of rows: `python -m tests.support.workbooks` makes those in `tests/files/` again."""

import datetime as dt
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from xlsxwriter import Workbook

from api.settings import ROOT

FILES = ROOT / "tests" / "files"
# The same moment in each file, so that it has the same bytes whenever it is made.
MADE = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
Rows = Sequence[Sequence[Any]]

SURVEY: Mapping[str, Rows] = {
    "Read me": [["Winners of 2025, collected from the web. Facts are invented."]],
    "Surveys": [
        ["Name", "Year", "Conducted by"],
        ["Digital Cities Survey", 2025.0, "Center for Digital Government"],
    ],
    "surveys.categories": [
        ["Survey", "Category", "Name", "Min population", "Max population"],
        ["digital-cities-survey-2025", "500000-or-more", "500,000 or more population", 500000, None],
        ["digital-cities-survey-2025", "125000-to-249999", "125,000 to 249,999 population", 125000, 249999],
    ],
    "Cities": [
        ["City", "State capital"],
        ["Boston, Mass.", True],
        ["St. Paul, Minn.", True],
        ["Worcester, Massachusetts", False],
    ],
    "Awards": [
        ["Digital Cities Survey 2025"],
        [],
        ["City", "Survey", "Category", "Rank", "Summary"],
        ["Boston, Mass.", "Digital Cities Survey 2025", "500,000 or more", "1st", "Boston led its category."],
        ["Saint Paul (MN)", "Digital Cities Survey 2025", "500,000 or more population", "T-2nd", None],
        ["San Diego", "Digital Cities Survey 2025", "500,000 or more population", "T-2nd", None],
        ["Worcester, Mass.", "Digital Cities Survey 2025", "125,000 - 249,999", "finalist", None],
    ],
    "Initiatives": [
        ["City", "Title", "Status", "Started", "Priorities", "Awards"],
        ["Worcester, Mass.", "Wi-Fi in parks", "In operation", "July 2024", "Cybersecurity; Modernization", None],
        ["St. Paul, Minn.", "Permit portal", "pilot", dt.date(2025, 3, 14), "Customer experience", None],
    ],
    "Initiatives.metrics": [
        ["Initiative", "Name", "Value", "Unit", "Kind"],
        ["Wi-Fi in parks", "cost", "$38.7 million", None, None],
        ["Wi-Fi in parks", "visits", "more than 2.4 million", "visits", None],
        ["Wi-Fi in parks", "parks with Wi-Fi", "45%", None, "share"],
        ["Permit portal", "permits", 1200.0, "permits", "count"],
    ],
}
MERGED: Rows = [
    ["Category", "Place", "City"],
    ["500,000 or more population", "1", "Boston, Mass."],
    [None, "2", "Seattle, Wash."],
    [None, "3", "San Jose, Calif."],
    [],
]
ORGANIZATIONS: Rows = [
    ["Organization", "Type", "City", "Also called", None],
    ["Parks Department", "City office", "Boston, Mass.", "BPD; Parks", "checked by Ada"],
    [None, None, None, None, None],
    ["State Broadband Office", "Government agency", None, None, None],
]
INITIATIVES: Rows = [
    ["City", "Title", "Evolving", "Started", "Priorities"],
    ["San Jose", "Street sensors", "WAHR", dt.date(2024, 5, 2), "Cybersecurity, Modernization"],
    ["San Jose", "Curb map", "no", dt.date(2024, 5, 1), ""],
    ["San Jose", "Bus screens", "maybe", "Summer 2024", "Cybersecurity; Parking"],
]


def xlsx(path: Path, sheets: Mapping[str, Rows], merged: Sequence[str] = ()) -> Path:
    """Write a workbook; ``merged`` are ranges of its first sheet."""
    with Workbook(str(path)) as workbook:
        workbook.set_properties({"created": MADE})
        day = workbook.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets.items():
            sheet = workbook.add_worksheet(name)
            for number, row in enumerate(rows):
                for column, value in enumerate(row):
                    if isinstance(value, dt.date):
                        sheet.write_datetime(number, column, value, day)
                    elif value is not None:
                        sheet.write(number, column, value)
        for cells in merged:
            first = workbook.worksheets()[0]
            first.merge_range(cells, sheets[first.name][1][0])
    return path


def ods(path: Path, sheets: Mapping[str, Rows], doctype: str = "") -> Path:
    """Write a workbook as LibreOffice does, but for all that has no value."""
    tables = "".join(
        f'<table:table table:name="{escape(name)}">{"".join(map(_row, rows))}</table:table>' for name, rows in sheets.items()
    )
    return packed_ods(path, f"{doctype}{SPREADSHEET}{tables}</office:spreadsheet></office:body></office:document-content>")


NAMESPACES = "".join(
    f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text", "manifest")
)
SPREADSHEET = f"<office:document-content{NAMESPACES}><office:body><office:spreadsheet>"
MEDIA_TYPE = "application/vnd.oasis.opendocument.spreadsheet"


def packed_ods(path: Path, content: str) -> Path:
    """Write the archive of an OpenDocument spreadsheet with this content."""
    entry = f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{MEDIA_TYPE}"/>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("mimetype", MEDIA_TYPE),
            ("META-INF/manifest.xml", f"<manifest:manifest{NAMESPACES}>{entry}</manifest:manifest>"),
            ("content.xml", f'<?xml version="1.0" encoding="UTF-8"?>{content}'),
        ):
            archive.writestr(zipfile.ZipInfo(name), text)
    return path


def _row(row: Iterable[Any]) -> str:
    return f"<table:table-row>{''.join(map(_cell, row))}</table:table-row>"


def _cell(value: Any) -> str:
    if value in (None, ""):
        return "<table:table-cell/>"
    if isinstance(value, dt.date):
        return f'<table:table-cell office:value-type="date" office:date-value="{value}"><text:p>{value}</text:p></table:table-cell>'
    return f'<table:table-cell office:value-type="string"><text:p>{escape(str(value))}</text:p></table:table-cell>'


def make(folder: Path) -> list[Path]:
    """Write the workbooks of `tests/files/` into a folder."""
    return [
        xlsx(folder / "survey-2025.xlsx", SURVEY),
        xlsx(folder / "merged.xlsx", {"Winners": MERGED}, ["A2:A4"]),
        xlsx(folder / "organizations.xlsx", {"Tabelle1": ORGANIZATIONS}),
        ods(folder / "initiatives.ods", {"Sheet1": INITIATIVES}),
    ]


if __name__ == "__main__":
    make(FILES)
