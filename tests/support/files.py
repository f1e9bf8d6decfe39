"""Files to import, and the faults that their import reports."""

import json
from pathlib import Path
from typing import Any

from api.db.database import Database
from api.editing import transfer
from api.settings import ROOT

SEEDS = ROOT / "seeds" / "digital-cities-2024"


def load(database: Database, *paths: Path, dry_run: bool = False, **options: Any) -> transfer.Imported:
    """Import files; ``options`` are those of `transfer.load`."""
    files, ids, faults = transfer.read(paths)
    imported = transfer.load(database, files, ids, dry_run=dry_run or bool(faults), **options)
    imported.faults[:0] = faults
    return imported


def said(imported: transfer.Imported, folder: Path) -> list[str]:
    """Return the faults, without the folder."""
    return [str(fault).removeprefix(f"{folder}/") for fault in imported.faults]


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
