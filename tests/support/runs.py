"""The runs of the campaign on a cluster, one line of JSON each: what is done is not done again."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from api.settings import ROOT

FILE = ROOT / "bench" / "results" / "cluster.jsonl"
Row = dict[str, Any]


class Run(NamedTuple):
    """A fault in a kind of cluster."""

    synchronous: bool
    fault: str
    number: int
    # The control's database has no epochs.
    epochs: bool = True

    def __str__(self) -> str:
        """Return its name."""
        mode = "synchronous" if self.synchronous else "asynchronous"
        return f"{mode}-{self.fault}-{self.number}{'' if self.epochs else '-without-epochs'}"


def place() -> Path:
    """Return the file of results; `CLUSTER_RESULTS` names another."""
    return Path(os.environ.get("CLUSTER_RESULTS") or FILE)


def rows() -> dict[str, Row]:
    """Return the results by the names of their runs."""
    lines = place().read_text(encoding="utf-8").splitlines() if place().exists() else []
    return {row["run"]: row for row in map(json.loads, lines)}


def keep(row: Row) -> None:
    """Append a result."""
    with place().open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
