"""The facts of the released edition in today's form, which the history of the schema gives them."""

from typing import Any

import yaml

from api.settings import ROOT

EDITION = ROOT / "seeds" / "digital-cities-2024"
Record = dict[str, Any]


def seeded(noun: str) -> dict[str, Record]:
    """Return the edition's records of a noun by id."""
    rows = yaml.safe_load((EDITION / f"{noun}.yaml").read_text(encoding="utf-8"))
    return {row["id"]: {**row, **CHANGED.get(noun, lambda _: {})(row)} for row in rows}


def _initiative(row: Record) -> Record:
    return {
        "status": None if row["status"] == "in_progress" else row["status"],
        "evolving": None,
        "metrics": [_metric(**metric) for metric in row["metrics"]],
        "aliases": [],
        "incomplete": [],
    }


def _metric(name: str, value: float, unit: str, qualifier: str, as_of: str | None) -> Record:
    known: Record = {"kind": "money" if unit == "USD" else "count", "value": value, "direction": None, "period": None}
    if unit == "percent":
        known |= {"kind": "change", "direction": "decrease"}
    if unit == "year":
        known |= {"kind": "record", "value": None, "direction": "highest", "period": f"{value}/.."}
    return {"name": name, "unit": unit, "qualifier": None if qualifier == "exactly" else qualifier, "as_of": as_of, **known}


# What the history changes of a noun's records.
CHANGED = {"initiatives": _initiative}
