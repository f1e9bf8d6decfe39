"""Rows as records: each cell by the member of its column, and an id for a record without one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from marshmallow import fields

from api.editing.inputs import members
from api.editing.sheets.cells import Cells
from api.editing.sheets.grids import Cell
from api.editing.sheets.headers import Header, Kind, parts_of
from api.editing.sheets.meanings import MEANINGS, Record, complete_kind, of_hint
from api.editing.sheets.names import Names
from api.editing.sheets.questions import Question, ask
from api.editing.sheets.slugs import made
from api.ledger.index.matching import key_of
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import Number, Object, Reference
from api.schema.validation import is_list

# A comma that is between thousands in one language, and before the decimals in another.
COMMA = re.compile(r"(?<![0-9,.])([0-9]{1,3}),([0-9]{3})(?![0-9,.])")
# What is read after the members that it depends on.
ORDER = {"country": 1, "state": 2, "name": 3, "survey": 1, "category": 2, "rank": 3, "city": 1, "parent": 2, "awards": 2}


class Reader:
    """Reads the rows of one table."""

    def __init__(
        self, names: Names, kind: Kind, header: Header, constants: Mapping[str, str], *, may_have_decimal_commas: bool = False
    ) -> None:
        """Look up the field of each column; ``constants`` are values for all rows without their own."""
        self.names, self.kind, self.header = names, kind, header
        self.may_have_decimal_commas = may_have_decimal_commas
        self.cells, self.constants = Cells(names), constants
        noun = kind.noun
        self.known: dict[str, fields.Field[Any]] = {**noun.schema().fields, **members(noun.schema)}
        if kind.part:
            item = self.known[kind.part]
            assert isinstance(item, fields.List)
            assert isinstance(item.inner, fields.Nested)
            of_record = {name: self.known[name] for name in ("id", *PUBLICATION)}
            self.known = {**of_record, **item.inner.schema.fields}

    def read(self, row: Sequence[Cell]) -> Record:
        """Return the record of a row."""
        record, later = Record(), []
        cells = {member: row[place] if place < len(row) else "" for place, member in self.header.columns.items()}
        cells |= {member: text for member, text in self.constants.items() if not str(cells.get(member, "")).strip()}
        exported = bool(str(cells.get("version", "")).strip())
        for member, cell in cells.items():
            if cell == "" or (isinstance(cell, str) and not exported and not cell.strip()):
                self._empty(record, member)
            elif self._waits(member):
                later.append((member, cell))
            else:
                self._read(record, member, cell, exported=exported)
        # What a name means can depend on other members, such as the state of a city, or the survey of a category.
        for member, cell in sorted(later, key=lambda pair: ORDER.get(pair[0], 0)):
            self._read(record, member, cell, exported=exported)
        for member in [name for name in record.hints if name not in cells]:
            self._by_hints(record, member)
        if not self.kind.part:
            self._identify(record)
        return record

    def _waits(self, member: str) -> bool:
        field = self.known.get(member)
        return isinstance(field, Reference | fields.Pluck) or member in MEANINGS.get(str(self.kind), {})

    def _empty(self, record: Record, member: str) -> None:
        name, _, below = member.partition(".")
        if below and isinstance(self.known.get(name), Object):
            record.content.setdefault(name, None)
        elif not below:
            field = self.known.get(member)
            record.content.setdefault(member, [] if field is not None and is_list(field) else None)

    def _read(self, record: Record, member: str, cell: Cell, *, exported: bool) -> None:
        """Read a cell into a record, or keep the question that it leaves."""
        name, _, below = member.partition(".")
        try:
            if self.may_have_decimal_commas and not exported:
                self._ask_about_comma(name, cell)
            if below and isinstance(parent := self.known[name], Object):
                value = self.cells.read(parent.schema.fields[below], cell, exported=exported, hints={})
                record.content[name] = {**(record.content.get(name) or {}), below: value}
            elif below:
                record.hints.setdefault(name, {})[below] = of_hint(below, str(cell).strip())
                return
            elif meaning := MEANINGS.get(str(self.kind), {}).get(member):
                text = self.cells.read(fields.String(), cell, exported=exported, hints={})
                meaning(record, text, self.names, exported)
                return
            else:
                value = self.cells.read(self.known[name], cell, exported=exported, hints=self._hints(record, name))
                record.content[name] = value
            if isinstance(cell, str) and _differs(cell, value):
                record.note(member, cell, value)
        except Question as question:
            record.questions.append((member, str(question)))

    def _ask_about_comma(self, name: str, cell: Cell) -> None:
        """Raise Question for a number with one comma, in a text of a program whose decimals may begin with it."""
        if (
            isinstance(cell, str)
            and isinstance(self.known.get(name), fields.Integer | Number)
            and (match := COMMA.search(cell))
        ):
            whole, rest = match.groups()
            raise ask(cell, [f"{whole}{rest}", f"{whole}.{rest}"], "Write the number without the comma.")

    def _hints(self, record: Record, member: str) -> Mapping[str, Any]:
        """Return what a row says about the record that one of its members refers to."""
        common = self.kind.noun.agree.get(member)
        value = record.content.get(common) if common else None
        return {**record.hints.get(member, {}), **({common: value} if common and value else {})}

    def _by_hints(self, record: Record, member: str) -> None:
        """Find the record that a member refers to by columns about it, such as `city.name` and `city.state`."""
        field = self.known.get(member)
        if not isinstance(field, Reference) or field.noun is None:
            return
        label = BY_NAME[field.noun].label.key
        hints = record.hints[member]
        if label not in hints:
            return
        try:
            record.content[member] = self.names.resolve(BY_NAME[field.noun], str(hints[label]), hints)
            record.note(f"{member}.{label}", hints[label], record.content[member])
        except Question as question:
            record.questions.append((f"{member}.{label}", str(question)))

    def _identify(self, record: Record) -> None:
        """Give a record without an id that of the record with the same key, or make one."""
        content, noun = record.content, self.kind.noun
        asked = {member.partition(".")[0] for member, _ in record.questions}
        if content.get("id") is not None or asked & {"id", noun.label.key, *key_of(noun)}:
            return
        content.pop("id", None)
        if lacking := [name for name in (*key_of(noun), noun.label.key) if self._needs(name) and content.get(name) is None]:
            cure = f"add a column, or give all rows the same with `--set {lacking[0]}=VALUE`"
            record.questions.append((lacking[0], f"`{lacking[0]}` is missing, and a record without an id needs it: {cure}."))
            return
        directory = self.names.directory(noun)
        key = {name: content[name] for name in key_of(noun) if name in content}
        same = [entry.id for entry in directory.with_key(key)]
        id = same[0] if len(same) == 1 else made(noun.name, content)
        if len(same) > 1:
            record.questions.append(("id", str(ask(content[noun.label.key], same, "Add a column `id`."))))
        elif id is not None and not same and id in directory.by_id:
            record.questions.append(("id", f"Its id would be `{id}`, which another {noun.singular} has: add a column `id`."))
        elif id is not None:
            record.content = {"id": id, **content}
            record.note("id", "", f"`{id}`" if same else f"`{id}`, new")

    def _needs(self, member: str) -> bool:
        """Tell whether a record without an id needs a member."""
        return member != "id" and not self.known[member].allow_none


def _differs(cell: str, value: Any) -> bool:
    """Tell whether a value is not plainly what its cell says."""
    if isinstance(value, bool):
        return cell.strip().lower() != str(value).lower()
    if value is None or isinstance(value, list | dict):
        return value is None or (isinstance(value, list) and "|".join(map(str, value)) != cell.strip() and "[" not in cell[:1])
    return str(value) != cell.strip().removeprefix("'")


def item_of(kind: Kind, record: Record) -> Content | None:
    """Return the item of a list that a row has; None if it has nothing but the id of the record."""
    if str(kind) == "initiatives.metrics":
        complete_kind(record)
    item = {name: record.content[name] for name in parts_of(kind.noun)[kind.part] if name in record.content}
    return item if any(value not in (None, []) for value in item.values()) else None


def noted(record: Record, header: Header) -> Iterator[tuple[str, str, str]]:
    """Yield the column, the text and the value of each cell that was read as something else."""
    for member, text, value in record.noted:
        yield header.names.get(member, member), text, _shown(value) if text else value


def _shown(value: Any) -> str:
    if value is None:
        return "a blank cell"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"
