"""Writes records as tables: CSV and workbooks, in which each list of objects has a table of its own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from api.editing.inputs import members
from api.editing.sheets.headers import Kind, parts_of
from api.schema.canonical import PUBLICATION, Content
from api.schema.formats import cell, row
from api.schema.resource import Resource

# Takes the values of a row.
RowWriter = Callable[[Sequence[Any]], None]


def columns_of(kind: Kind) -> list[str]:
    """Return the columns of a table: its members, but for lists that have a table of their own, and what the ledger adds."""
    if kind.part:
        return ["id", *parts_of(kind.noun)[kind.part], *PUBLICATION]
    return [*(name for name in members(kind.noun.schema) if name not in parts_of(kind.noun)), *PUBLICATION]


def kinds_of(noun: Resource) -> list[Kind]:
    """Return the tables of a noun: its records, and each list of objects."""
    return [Kind(noun), *(Kind(noun, part) for part in parts_of(noun))]


def write(paths: Sequence[Path], contents: Iterable[Content], noun: Resource) -> None:
    """Write records to one workbook, or to a file of CSV for each table."""
    kinds = kinds_of(noun)
    with ExitStack() as stack:
        if paths[0].suffix == ".csv":
            files = [stack.enter_context(path.open("w", encoding="utf-8", newline="")) for path in paths]
            writers: list[RowWriter] = [partial(_write_line, file) for file in files]
        else:
            writers = _workbook(stack, paths[0], kinds)
        for kind, writer in zip(kinds, writers, strict=True):
            writer(columns_of(kind))
        for content in contents:
            for kind, writer in zip(kinds, writers, strict=True):
                if not kind.part:
                    writer([content[name] for name in columns_of(kind)])
                for item in content[kind.part] if kind.part else ():
                    names = parts_of(noun)[kind.part]
                    writer([content["id"], *(item[name] for name in names), *(content[name] for name in PUBLICATION)])


def _write_line(file: Any, values: Sequence[Any]) -> None:
    file.write(row(values))


def _workbook(stack: ExitStack, path: Path, kinds: Sequence[Kind]) -> list[RowWriter]:
    from xlsxwriter import Workbook  # noqa: PLC0415 - only exports and templates need it

    workbook = stack.enter_context(Workbook(str(path), {"constant_memory": True, "strings_to_formulas": False}))
    writers: list[RowWriter] = []
    for kind in kinds:
        sheet = workbook.add_worksheet(str(kind))
        sheet.freeze_panes(1, 1)
        number = count()
        writers.append(partial(_write_next, sheet, number))
    return writers


def _write_next(sheet: Any, numbers: Iterator[int], values: Sequence[Any]) -> None:
    """Write a row; numbers, true and false are those of the spreadsheet, and other values texts as in CSV."""
    number = next(numbers)
    for column, value in enumerate(values):
        if isinstance(value, bool):
            sheet.write_boolean(number, column, value)
        elif isinstance(value, int | float):
            sheet.write_number(number, column, value)
        elif value not in (None, []):
            sheet.write_string(number, column, cell(value))
