"""Empty tables of a noun, with an explanation above each column: what it means, an example, and the values that it can have."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from marshmallow import fields

from api.editing.inputs import members
from api.editing.sheets.headers import Kind
from api.editing.sheets.tables import columns_of, kinds_of
from api.schema.canonical import PUBLICATION
from api.schema.fields import Flag, Reference
from api.schema.formats import cell, row
from api.schema.resource import Resource

# Rows of a workbook that offer the values of a column.
OFFERED = 1_000


def write(folder: Path, noun: Resource, form: str) -> list[Path]:
    """Write the template of a noun into a folder, and return its files. Raises FileExistsError rather than replace one."""
    if form == "csv":
        paths = [folder / f"{kind}.csv" for kind in kinds_of(noun)]
        for path, kind in zip(paths, kinds_of(noun), strict=True):
            with path.open("x", encoding="utf-8-sig", newline="") as file:
                file.writelines(row(text or None for text in cells) for cells in _rows(kind))
        return paths
    path = folder / f"{noun.name}.xlsx"
    path.open("xb").close()
    _write_workbook(path, noun)
    return [path]


def _columns(kind: Kind) -> list[str]:
    return [name for name in columns_of(kind) if name not in PUBLICATION]


def _fields(kind: Kind) -> dict[str, fields.Field[Any]]:
    """Return the fields of a table by column."""
    of_noun = members(kind.noun.schema)
    if not kind.part:
        return {name: of_noun[name] for name in _columns(kind)}
    schema = of_noun[kind.part].inner.schema
    return {name: of_noun["id"] if name == "id" else schema.fields[name] for name in _columns(kind)}


def _rows(kind: Kind) -> Sequence[Sequence[str]]:
    """Return the explanations and the header, which is the last row, so that records follow it."""
    columns = _fields(kind).values()
    return (
        [f"Explanations are above the names of the columns; records of {kind} follow below."],
        [_description(field) for field in columns],
        [f"Example: {_example(field)}" for field in columns],
        [_allowed(field) for field in columns],
        _columns(kind),
    )


def _description(field: fields.Field[Any]) -> str:
    needed = "Required. " if field.required and field.name != "id" else ""
    made = " Made from other columns if it is blank." if field.name == "id" else ""
    return f"{needed}{field.metadata.get('description', '')}{made}"


def _example(field: fields.Field[Any]) -> str:
    example = field.metadata.get("example")
    return "; ".join(example) if isinstance(example, list) and all(isinstance(x, str) for x in example) else cell(example)


def _allowed(field: fields.Field[Any]) -> str:
    item = field.schema.fields[field.field_name] if isinstance(field, fields.Pluck) else field
    many = "Several, with semicolons between them: " if isinstance(field, fields.Pluck) else ""
    if isinstance(item, Reference) and item.noun:
        return f"{many}ids or names of {item.noun}."
    if values := _values(field):
        return f"One of: {', '.join(values)}."
    return f"{many}texts." if many else ""


def _values(field: fields.Field[Any]) -> list[str]:
    if isinstance(field, fields.Enum):
        return [member.value for member in field.enum]
    return ["TRUE", "FALSE"] if isinstance(field, Flag) else []


def _write_workbook(path: Path, noun: Resource) -> None:
    from xlsxwriter import Workbook  # noqa: PLC0415 - only exports and templates need it

    with ExitStack() as stack:
        workbook = stack.enter_context(Workbook(str(path)))
        explanation = workbook.add_format({"italic": True, "text_wrap": True, "valign": "top", "font_color": "#555555"})
        heading = workbook.add_format({"bold": True, "bottom": 1})
        # A spreadsheet turns what looks like a date or a number into one, unless the column is one of texts.
        as_text = workbook.add_format({"num_format": "@"})
        for kind in kinds_of(noun):
            sheet, rows = workbook.add_worksheet(str(kind)), _rows(kind)
            for number, cells in enumerate(rows):
                is_header = number == len(rows) - 1
                for column, text in enumerate(cells):
                    sheet.write_string(number, column, text, heading if is_header else explanation)
            for column, field in enumerate(_fields(kind).values()):
                sheet.set_column(column, column, 24, as_text)
                if values := _values(field):
                    choice = {"validate": "list", "source": values, "error_type": "warning"}
                    sheet.data_validation(len(rows), column, OFFERED, column, choice)
            sheet.freeze_panes(len(rows), 1)
