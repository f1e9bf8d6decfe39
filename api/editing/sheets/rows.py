"""Rows as records: each cell by the member of its column, and what one cell says about several members."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import fields

from api.editing.file_formats import value_of
from api.editing.inputs import members
from api.editing.sheets import figures, placings
from api.editing.sheets.cells import NOTHING, Cells
from api.editing.sheets.grids import Cell
from api.editing.sheets.headers import Header, Kind, parts_of
from api.editing.sheets.names import Names
from api.editing.sheets.questions import Question, ask
from api.editing.sheets.slugs import made
from api.ledger.index.matching import key_of, spelled
from api.ledger.index.states import code_of, split_city
from api.resources import BY_NAME
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import Object, Reference
from api.schema.validation import is_list

COUNTRIES = dict.fromkeys(("usa", "us", "unitedstates", "unitedstatesofamerica"), "US")


@dataclass
class Record:
    """A row that was read: its values by member, its questions by member, and what was read as something else.

    ``noted`` has the member, the text of the cell and the value for each.
    """

    content: Content = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str, Any]] = field(default_factory=list)
    hints: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, member: str, text: object, value: Any) -> None:
        """Take note of a text that was read as something else."""
        self.noted.append((member, str(text), value))

    def fill(self, member: str, text: object, value: Any) -> None:
        """Set another member that a cell tells. Raises Question if its own cell says something else."""
        if self.content.get(member) not in (None, value):
            raise ask(text, [str(value), str(self.content[member])], f"The column of `{member}` says the second.")
        self.content[member] = value


class Reader:
    """Reads the rows of one table."""

    def __init__(self, names: Names, kind: Kind, header: Header, constants: Mapping[str, str]) -> None:
        """Look up the field of each column; ``constants`` are values for all rows without their own."""
        self.names, self.kind, self.header = names, kind, header
        self.cells, self.constants = Cells(names), constants
        noun = kind.noun
        self.known: dict[str, fields.Field[Any]] = {**noun.schema().fields, **members(noun.schema)}
        if kind.part:
            item = self.known[kind.part]
            assert isinstance(item, fields.List)
            assert isinstance(item.inner, fields.Nested)
            own = {name: self.known[name] for name in ("id", *PUBLICATION)}
            self.known = {**own, **item.inner.schema.fields}

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
        for member in {*record.hints} - {*cells}:
            self._by_hints(record, member)
        if not self.kind.part:
            self._identify(record)
        return record

    def _waits(self, member: str) -> bool:
        field = self.known.get(member)
        return isinstance(field, Reference | fields.Pluck) or member in SPECIAL.get(str(self.kind), {})

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
            if below and isinstance(parent := self.known[name], Object):
                value = self.cells.read(parent.schema.fields[below], cell, exported=exported, hints={})
                record.content[name] = {**(record.content.get(name) or {}), below: value}
            elif below:
                record.hints.setdefault(name, {})[below] = _hint(below, cell)
                return
            elif special := SPECIAL.get(str(self.kind), {}).get(member):
                special(self, record, cell, exported)
                return
            else:
                value = self.cells.read(self.known[name], cell, exported=exported, hints=self._hints(record, name))
                record.content[name] = value
            if isinstance(cell, str) and _differs(cell, value):
                record.note(member, cell, value)
        except Question as question:
            record.questions.append((member, str(question)))

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
        if content.get("id") is not None or record.questions:
            return
        directory = self.names.directory(noun)
        content.pop("id", None)
        key = {name: content[name] for name in key_of(noun) if name in content}
        has_label = noun.label.key == "id" or content.get(noun.label.key) is not None
        same = [entry.id for entry in directory.with_key(key)] if has_label else []
        id = same[0] if len(same) == 1 else made(noun.name, content)
        if len(same) > 1:
            record.questions.append(("id", str(ask(content[noun.label.key], same, "Add a column `id`."))))
        elif id is not None and not same and id in directory.by_id:
            record.questions.append(("id", f"Its id would be `{id}`, which another {noun.singular} has: add a column `id`."))
        elif id is not None:
            record.content = {"id": id, **content}
            record.note("id", "", f"`{id}`" if same else f"`{id}`, new")


def _hint(name: str, cell: Cell) -> Any:
    text = str(cell).strip()
    return (code_of(text) if name == "state" else COUNTRIES.get(spelled(text)) if name == "country" else None) or text


def _differs(cell: str, value: Any) -> bool:
    """Tell whether a value is not plainly what its cell says."""
    if isinstance(value, bool):
        return cell.strip().lower() != str(value).lower()
    if value is None or isinstance(value, list | dict):
        return value is None or (isinstance(value, list) and "|".join(map(str, value)) != cell.strip() and "[" not in cell[:1])
    return str(value) != cell.strip().removeprefix("'")


def _rank(reader: Reader, record: Record, cell: Cell, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a placing: the rank, whether it is tied, or the words of the source."""
    value = reader.cells.read(fields.String(), cell, exported=exported, hints={})
    if value.casefold() in NOTHING:
        record.content["rank"] = None
        record.note("rank", value, None)
        return
    placing = placings.read(value)
    if isinstance(cell, str) and value != str(placing.rank):
        parts = [str(placing.rank or placing.placement), *(["tied"] if placing.tied else [])]
        record.note("rank", value, ", ".join(parts) + (" (placement)" if placing.placement else ""))
    record.content["rank"] = placing.rank
    if placing.placement:
        record.fill("placement", value, placing.placement)
    if placing.tied:
        record.fill("tied", value, True)  # noqa: FBT003 - a value


def _value(reader: Reader, record: Record, cell: Cell, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a figure: the value, and the unit, the qualifier and the kind that it tells."""
    is_plain = not isinstance(cell, str) or cell.strip().casefold() in NOTHING
    if is_plain or not isinstance(value_of(cell, reader.known["value"]), str):
        record.content["value"] = reader.cells.read(reader.known["value"], cell, exported=exported, hints={})
        return
    figure = figures.read(cell)
    told = {"unit": figure.unit, "qualifier": figure.qualifier, "kind": figure.kind}
    record.content["value"] = figure.value
    for member, value in told.items():
        if value is not None:
            record.fill(member, cell, value)
    words = [str(value) for value in (figure.qualifier, figure.value, figure.unit) if value is not None]
    if len(words) > 1 or words[0] != cell.strip():
        record.note("value", cell, " ".join(words))


def _kind(record: Record) -> None:
    """Complete the kind of a figure, if it is certain."""
    content = record.content
    if content.get("kind") is None and content.get("value") is not None:
        if content.get("unit") == "percent" or content.get("direction"):
            record.questions.append(("kind", "A percentage can be a `share` or a `change`: write which, in a column `kind`."))
        else:
            content["kind"] = "count"
            record.note("kind", "", "`count`")


def _name(reader: Reader, record: Record, cell: Cell, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read the name of a city, with its state if that is behind it."""
    text = reader.cells.read(reader.known["name"], cell, exported=exported, hints={})
    name, state = (text, None) if exported else split_city(text)
    record.content["name"] = name
    if state:
        record.fill("state", text, state)
        record.fill("country", text, "US")
        record.note("name", text, f"{name}, {state}, US")


def _state(reader: Reader, record: Record, cell: Cell, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a state of the USA by its name or abbreviation."""
    text = reader.cells.read(reader.known["state"], cell, exported=exported, hints={})
    code = None if exported else code_of(text)
    record.content["state"] = code or text
    if code and code != text:
        record.note("state", text, code)
        # Massachusetts is nowhere else, but MA is a region of other countries, too.
        record.content["country"] = record.content.get("country") or "US"


def _country(reader: Reader, record: Record, cell: Cell, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read the country."""
    text = reader.cells.read(reader.known["country"], cell, exported=exported, hints={})
    record.content["country"] = COUNTRIES.get(spelled(text), text)
    if record.content["country"] != text:
        record.note("country", text, record.content["country"])


def _category(reader: Reader, record: Record, cell: Cell, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a category of the row's survey."""
    text = reader.cells.read(reader.known["category"], cell, exported=exported, hints={})
    survey = record.content.get("survey")
    value = reader.names.category(survey, text) if survey else text
    record.content["category"] = value
    if value != text:
        record.note("category", text, value)


Special = Callable[[Reader, Record, Cell, bool], None]
# Members whose cells tell more than their own value, by kind of table.
SPECIAL: Mapping[str, Mapping[str, Special]] = {
    "awards": {"rank": _rank, "category": _category},
    "cities": {"country": _country, "state": _state, "name": _name},
    "initiatives.metrics": {"value": _value},
}
# What is read after the members that it depends on.
ORDER = {
    "country": 1,
    "state": 2,
    "name": 3,
    "survey": 1,
    "category": 2,
    "rank": 3,
    "city": 1,
    "parent": 2,
    "awards": 2,
    "value": 1,
}


def item_of(kind: Kind, record: Record) -> Content | None:
    """Return the item of a list that a row has; None if it has nothing but the id of the record."""
    if str(kind) == "initiatives.metrics":
        _kind(record)
    item = {name: record.content[name] for name in parts_of(kind.noun)[kind.part] if name in record.content}
    return item if any(value not in (None, []) for value in item.values()) else None


def noted(record: Record, header: Header) -> Iterator[tuple[str, str, str]]:
    """Yield the column, the text and the value of each cell that was read as something else."""
    for member, text, value in record.noted:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else "nothing" if value is None else str(value)
        yield header.names.get(member, member), text, shown
