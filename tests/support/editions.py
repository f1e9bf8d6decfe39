"""The facts of the released edition in today's form, which the history of the schema gives them."""

from collections.abc import Callable
from typing import Any

import yaml

from api.settings import ROOT

EDITION = ROOT / "seeds" / "digital-cities-2024"
Record = dict[str, Any]


def seeded(noun: str) -> dict[str, Record]:
    """Return the edition's records of a noun by id."""
    rows = yaml.safe_load((EDITION / f"{noun}.yaml").read_text(encoding="utf-8"))
    return {row["id"]: _without(noun, {**row, **CHANGED[noun](row)} if noun in CHANGED else row) for row in rows}


def _without(noun: str, row: Record) -> Record:
    return {name: value for name, value in row.items() if name not in DROPPED.get(noun, ())}


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
CHANGED: dict[str, Callable[[Record], Record]] = {
    "initiatives": _initiative,
    "cities": lambda _: {"location": None, "aliases": [], "identifiers": []},
    "organizations": lambda _: {"aliases": [], "identifiers": []},
    "awards": lambda _: {"placement": None},
    "surveys": lambda _: {"incomplete": []},
    "sources": lambda row: {
        "label": row["title"],
        **dict.fromkeys(["headline", "url", "published", "retrieved", "licence", "attribution"]),
    },
    "citations": lambda _: {"locator": None, "value_sha256": None},
}
DROPPED = {"surveys": {"year_basis"}, "sources": {"title"}}
