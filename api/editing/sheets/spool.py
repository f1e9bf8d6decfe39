"""The records of tables, as they were read, in a temporary file: nothing of a large file stays in memory."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.editing.sheets.headers import Kind
from api.schema.canonical import Content
from api.schema.strict_json import load

SCHEMA = """
create table record (place integer, line integer, noun text, id text, content text);
create index record_place on record (place, line);
create index record_id on record (noun, id);
create table item (noun text, id text, list text, place integer, line integer, content text);
create index item_id on item (noun, id);
"""


@dataclass(frozen=True, eq=False)
class Table:
    """A sheet, a text with separators or standard input: it has records of a noun, or items of one of its lists.

    ``columns`` has the names of its columns by member.
    """

    file: Path
    sheet: str | None
    kind: Kind
    number: int
    spool: "Spool" = field(repr=False)
    columns: Mapping[str, str] = field(default_factory=dict)
    unit: str = "row"

    def __str__(self) -> str:
        """Return the name of the file and of the sheet."""
        name = "standard input" if str(self.file) == "-" else str(self.file)
        return f"{name}, sheet {self.sheet}" if self.sheet else name

    def at(self, line: int, member: str = "") -> str:
        """Return the place of a record, or of one of its members, in words: winners.xlsx, sheet Awards, row 12, column Rank.

        Line 0 is that of a record that the table does not have.
        """
        if not line:
            return str(self)
        name, *below = member.split("/")
        column = self.columns.get(f"{name}.{below[0]}" if below else name) or self.columns.get(name)
        place_ = f"{self}, {self.unit} {line}"
        return f"{place_}, column {column}" if column else f"{place_}, {member}" if member else place_

    def owner(self, line: int, member: str) -> tuple["Table", int, str]:
        """Return the table, the row and the column that have a member of a record, which may be an item in another table."""
        name, *below = member.split("/")
        if len(below) > 1 and below[0].isdecimal() and (item := self.spool.item(self, line, name, int(below[0]))):
            return (*item, below[1])
        return self, line, member

    def records(self) -> Iterator[tuple[int, Any]]:
        """Yield each record with its row."""
        return self.spool.records(self)


class Spool:
    """The temporary file."""

    def __init__(self, folder: Path) -> None:
        """Make it in a folder that somebody deletes."""
        self.rows = sqlite3.connect(folder / "records.sqlite", isolation_level=None)
        self.rows.executescript(f"pragma journal_mode = off; pragma synchronous = off; {SCHEMA}")
        self.tables: list[Table] = []

    def close(self) -> None:
        """Close the file."""
        self.rows.close()

    def table(self, file: Path, sheet: str | None, kind: Kind, columns: Mapping[str, str], unit: str = "row") -> Table:
        """Return a new table."""
        self.tables.append(Table(file, sheet, kind, len(self.tables), self, columns, unit))
        return self.tables[-1]

    def add(self, table: Table, line: int, content: Any) -> None:
        """Add a record."""
        id = content.get("id") if isinstance(content, dict) else None
        row = (table.number, line, table.kind.noun.name, id if isinstance(id, str) else None, _json(content))
        self.rows.execute("insert into record values (?, ?, ?, ?, ?)", row)

    def add_item(self, table: Table, line: int, id: str, publication: Content, content: Content | None) -> None:
        """Add an item of a list of a record; None says that the list is empty. A record of no other table is added, too."""
        noun = table.kind.noun.name
        known = self.rows.execute("select 1 from record where noun = ? and id = ? limit 1", (noun, id)).fetchone()
        if known is None:
            self.add(table, line, {"id": id, **publication})
        row = (noun, id, table.kind.part, table.number, line, None if content is None else _json(content))
        self.rows.execute("insert into item values (?, ?, ?, ?, ?, ?)", row)

    def records(self, table: Table) -> Iterator[tuple[int, Any]]:
        """Yield the records of a table, each with its row, and with the items that other tables have of its lists."""
        has_items = any(other.kind.part and other.kind.noun is table.kind.noun for other in self.tables)
        rows = self.rows.execute("select line, id, content from record where place = ? order by line", (table.number,))
        for line, id, content in rows:
            record = load(content, exact=True)
            yield line, {**record, **self._lists(table.kind.noun.name, id)} if has_items and id is not None else record

    def _lists(self, noun: str, id: str) -> Mapping[str, list[Any]]:
        lists: dict[str, list[Any]] = {}
        query = "select list, content from item where noun = ? and id = ? order by place, line"
        for name, content in self.rows.execute(query, (noun, id)):
            lists.setdefault(name, []).extend([] if content is None else [load(content, exact=True)])
        return lists

    def item(self, table: Table, line: int, name: str, index: int) -> tuple[Table, int] | None:
        """Return the table and the row of an item of a list of a record; None if its list is in the record's own row."""
        query = (
            "select item.place, item.line from item join record using (noun, id) where record.place = ? and record.line = ? "
            "and list = ? and item.content is not null order by item.place, item.line limit 1 offset ?"
        )
        row = self.rows.execute(query, (table.number, line, name, index)).fetchone()
        return (self.tables[row[0]], row[1]) if row else None


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, default=float)
