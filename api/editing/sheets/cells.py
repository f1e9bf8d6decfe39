"""Cells as values: how a cell is read by the field of its column."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from marshmallow import fields

from api.editing.file_formats import unguarded, value_of
from api.editing.sheets import dates, figures
from api.editing.sheets.grids import Cell
from api.editing.sheets.names import Names
from api.editing.sheets.questions import ask
from api.errors import nearest
from api.ledger.index.matching import spelled
from api.resources import BY_NAME
from api.schema.fields import Date, Flag, Number, Object, Reference
from api.schema.formats import SEPARATOR

# Yes and no in the languages of spreadsheets; a mark in a column is a yes.
TRUE = ("true", "yes", "y", "x", "✓", "✔", "wahr", "ja", "vrai", "oui", "verdadero", "sí", "vero", "sì", "waar", "1")
FALSE = ("false", "no", "n", "falsch", "nein", "faux", "non", "falso", "onwaar", "nee", "0")
FLAGS = dict.fromkeys(TRUE, True) | dict.fromkeys(FALSE, False)
# What people write into a cell that has no value.
NOTHING = frozenset({"-", "–", "—", "n/a", "n.a.", "na", "none", "null", "unknown", "tbd", "?"})  # noqa: RUF001 - dashes
# People's separators of a list.
SEPARATORS = re.compile(r"\s*[;\n]\s*")


class Cells:
    """Reads cells; names in them are looked up."""

    def __init__(self, names: Names) -> None:
        """Keep where names are looked up."""
        self.names = names

    def read(self, field: fields.Field[Any], cell: Cell, *, exported: bool, hints: Mapping[str, Any]) -> Any:
        """Return the value of a cell that is not blank. Raises Question for one that is not certain.

        ``exported``: its row has a version, so texts are as we wrote them.
        """
        if isinstance(cell, dict):
            return self._day(field, cell["date"], exported=exported)
        inner = field.inner if isinstance(field, fields.List) and not isinstance(field, fields.Pluck) else None
        raw = cell if exported and isinstance(cell, str) else _text(cell)
        if isinstance(field, fields.Pluck):
            return self._list(field, raw, exported=exported, hints=hints)
        if inner is not None or isinstance(field, Object | fields.Dict):
            return _json(field, _text(cell))
        for kind, read in READERS.items():
            if isinstance(field, kind):
                text = _text(cell)
                return None if text.casefold() in NOTHING else read(self, field, cell, exported=exported, hints=hints)
        return unguarded(raw)

    def _day(self, field: fields.Field[Any], text: str, *, exported: bool) -> str:
        if isinstance(field, Date):
            return dates.of_cell(text, exported=exported)
        if isinstance(field, Flag | fields.Integer | Number):
            raise ask(text, (), "The spreadsheet took it for a date: write it as a text.")
        return text.removesuffix(" 00:00:00")

    def flag(self, _field: fields.Field[Any], cell: Cell, **_: Any) -> bool:
        """Return true or false."""
        word = _text(cell).casefold()
        if word not in FLAGS:
            raise ask(cell, (), "Write TRUE or FALSE, or leave the cell blank if it is not known.")
        return FLAGS[word]

    def number(self, field: fields.Field[Any], cell: Cell, **_: Any) -> int | Decimal:
        """Return a number; those of a spreadsheet have at most 15 digits."""
        value = value_of(cell, field) if isinstance(cell, str) else Decimal(repr(cell)) if isinstance(cell, float) else cell
        if isinstance(value, bool):
            raise ask(_text(cell), (), "Write a number.")
        return value if isinstance(value, int | Decimal) else figures.plain(_text(cell))

    def date(self, _field: fields.Field[Any], cell: Cell, *, exported: bool, **_: Any) -> str:
        """Return a date in EDTF."""
        return dates.read(unguarded(_text(cell)), exported=exported)

    def choice(self, field: fields.Field[Any], cell: Cell, **_: Any) -> str:
        """Return one of several values."""
        assert isinstance(field, fields.Enum)
        values = {spelled(member.value): member.value for member in field.enum}
        text = _text(cell)
        if spelled(text) in values:
            return str(values[spelled(text)])
        near = nearest(text, values.values())
        raise ask(text, [near] if near else [], f"Write one of {', '.join(f'`{value}`' for value in values.values())}.")

    def reference(self, field: fields.Field[Any], cell: Cell, *, hints: Mapping[str, Any], **_: Any) -> str:
        """Return the id of a record."""
        assert isinstance(field, Reference)
        text = unguarded(_text(cell))
        return self.names.resolve(BY_NAME[field.noun], text, hints) if field.noun else text

    def _list(self, field: fields.Pluck, text: str, *, exported: bool, hints: Mapping[str, Any]) -> Sequence[Any]:
        """Read a list: ours has vertical bars, others have semicolons, a line for each item, or commas if that is sure."""
        item = field.schema.fields[field.field_name]
        refers = isinstance(item, Reference)
        items: Sequence[Any] = value_of(text, field)
        if SEPARATOR in text or (exported and not refers):
            pass
        elif SEPARATORS.search(text):
            items = [piece for piece in SEPARATORS.split(text) if piece]
        elif refers and "," in text and not self._is_one(item, text, hints):
            items = [piece for piece in re.split(r"\s*,\s*", text) if piece]
        return [self.reference(item, piece, hints=hints) if refers else piece for piece in items]

    def _is_one(self, item: fields.Field[Any], text: str, hints: Mapping[str, Any]) -> bool:
        """Tell whether a text with commas is the name of a record."""
        assert isinstance(item, Reference)
        return bool(item.noun) and bool(self.names.directory(BY_NAME[str(item.noun)]).exact(text, hints))


def _text(cell: Cell) -> str:
    """Return a cell as a person reads it."""
    if isinstance(cell, bool):
        return str(cell).upper()
    return cell.strip() if isinstance(cell, str) else str(cell)


def _json(field: fields.Field[Any], text: str) -> Any:
    value = value_of(text, field)
    if isinstance(value, str) or (isinstance(field, fields.List) and any(isinstance(item, str) for item in value)):
        name = field.name
        raise ask(text, (), f"A list of objects has a table of its own, with the `id` of the record, named for `{name}`.")
    return value


Read = Callable[..., Any]
READERS: Mapping[type[fields.Field[Any]], Read] = {
    Flag: Cells.flag,
    fields.Integer: Cells.number,
    Number: Cells.number,
    Date: Cells.date,
    fields.Enum: Cells.choice,
    Reference: Cells.reference,
}
