"""Loads the facts of an edition into the schema of the calling revision; imports nothing from `api`.

An edition is a folder of YAML files, one for each noun, with a list of documents as the API shows them. A released edition
never changes: a data revision names its SHA-256, and a correction is a new edition, which `migrations.correcting` loads.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from alembic import op
from alembic.util import CommandError

SEEDS = Path(__file__).resolve().parent.parent / "seeds"


@dataclass(frozen=True)
class Part:
    """The table of a list in a document.

    ``owner`` maps the table's columns to those of its owner; ``value`` is the column of a list of plain values;
    ``position`` is the column that counts the items, from ``first``.
    """

    table: str
    owner: Mapping[str, str]
    value: str | None = None
    position: str | None = None
    first: int = 0
    parts: Mapping[str, "Part"] = field(default_factory=dict)


# The parts of each noun's documents, by the noun's table, in the order of insertion.
Layout = Mapping[str, Mapping[str, Part]]


def edition_sha256(edition: str) -> str:
    """Return the SHA-256 of an edition: over each file's name, a null byte and the SHA-256 of its content, by name."""
    digest = hashlib.sha256()
    for path in sorted((SEEDS / edition).glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def load(edition: str, sha256: str, layout: Layout) -> None:
    """Insert an edition. Raises `CommandError` if its files differ from the released ones."""
    tables = reflected()
    for noun, documents in documents_of(edition, sha256, layout):
        for table, row in _rows(tables, noun, documents, layout[noun]):
            op.get_bind().execute(sa.insert(table), row)


def unload(edition: str, sha256: str, layout: Layout) -> None:
    """Delete an edition's records with their parts, the last first. Raises as `load` does."""
    tables = reflected()
    for noun, documents in reversed(list(documents_of(edition, sha256, layout))):
        for document in reversed(documents):
            op.get_bind().execute(sa.delete(tables[noun]).where(tables[noun].c.id == document["id"]))


def republish(kind: str) -> None:
    """Note every record of a noun as changed, for a revision that changes the shape of its documents."""
    op.execute(f"insert into ledger_dirty (kind, id) select '{kind}', id from {kind}")  # noqa: S608 - our own literal


def documents_of(edition: str, sha256: str, layout: Iterable[str]) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
    """Yield the documents of each noun of an edition. Raises `CommandError` if its files differ from the released ones."""
    actual = edition_sha256(edition)
    if actual != sha256:
        raise CommandError(
            f"seeds/{edition} differs from the released edition ({actual}); a correction is a new edition with its own revision"
        )
    for noun in layout:
        yield noun, yaml.load((SEEDS / edition / f"{noun}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def reflected() -> Mapping[str, sa.Table]:
    """Return the tables of the database by name."""
    metadata = sa.MetaData()
    with warnings.catch_warnings():
        # No loader needs an index of an expression.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection", sa.exc.SAWarning)
        metadata.reflect(op.get_bind())
    return metadata.tables


def _rows(
    tables: Mapping[str, sa.Table], table: str, items: Iterable[Any], parts: Mapping[str, Part]
) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """Yield each row before the rows of its parts."""
    for item in items:
        row = {_column(tables[table], key): value for key, value in item.items() if key not in parts}
        yield tables[table], row
        for key, part in parts.items():
            owner = {column: row[source] for column, source in part.owner.items()}
            below = [
                {
                    **owner,
                    **(value if part.value is None else {part.value: value}),
                    **({part.position: n} if part.position else {}),
                }
                for n, value in enumerate(item[key], part.first)
            ]
            yield from _rows(tables, part.table, below, part.parts)


def _column(table: sa.Table, key: str) -> str:
    """Return the column of a document's key; the column of a reference ends in `_id`."""
    return key if key in table.c else f"{key}_id"
