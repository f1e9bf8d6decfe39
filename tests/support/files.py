"""Files to import, and the faults that their import reports."""

import csv
import json
from pathlib import Path
from typing import Any

from api.db.database import Database
from api.editing import entries, imports
from api.editing.files import records_of
from api.editing.imports import ImportOptions
from api.editing.reports import Imported
from api.editing.sources import opened
from api.schema.formats import cell
from api.settings import ROOT

SEEDS = ROOT / "seeds" / "digital-cities-2024"


def load(database: Database, *paths: Path, dry_run: bool = False, **options: Any) -> Imported:
    """Import files; ``options`` are those of an import."""
    with opened(database, paths) as sources:
        files, ids, faults = entries.read(sources.taken)
        how = ImportOptions(dry_run=dry_run or bool(faults or sources.faults), **options)
        imported = imports.load(database, files, ids, how)
        imported.faults[:] = sources.with_faults([*faults, *imported.faults])
    return imported


def said(imported: Imported, folder: Path) -> list[str]:
    """Return the faults, without the folder."""
    return [str(fault).removeprefix(f"{folder}/") for fault in imported.faults]


def contents(database: Database, *paths: Path) -> list[Any]:
    """Return the records of files, or of the tables in them."""
    with opened(database, paths) as sources:
        assert sources.faults == []
        return [record.content for source in sources.taken for record in records_of(source)]


def edit_csv(path: Path, id: str, **members: Any) -> None:
    """Change cells of a record in a file of CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    next(row for row in rows if row["id"] == id).update({name: cell(value) for name, value in members.items()})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write(folder: Path, name: str, content: Any) -> Path:
    """Write a file."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def city(id: str, **more: Any) -> dict[str, Any]:
    """Return a city."""
    return {"id": id, "name": id, "state": id[-2:].upper(), "country": "US", **more}
