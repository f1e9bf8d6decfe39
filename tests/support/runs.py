"""The runs of the campaign on a cluster, one line of JSON each: what is done is not done again."""

import json
import os
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from api.settings import ROOT

FILE = ROOT / "bench" / "results" / "cluster.jsonl"
# How many records a large changeset has.
MANY = 100
Row = dict[str, Any]
# The results of `make bench`, and what of them is about one node: words, the server, and the workload.
RACE = ROOT / "bench" / "results" / "results.json"
NODE = (
    ("reads of a list, from memory", "this API", "list"),
    ("reads of a list, computed", "this API, cold", "list"),
    ("reads of a record, computed", "this API, cold", "record"),
    ("writes", "this API", "write"),
)


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


# --- tables for the documentation


def faults() -> str:
    """Return a table of the faults: what each cost, in all of its runs."""
    done = [row for row in rows().values() if "fault" in row]
    header = (
        "| `synchronous_mode` | fault | runs | seconds without writes | writes acknowledged | lost "
        "| writes answered, refused, 5xx | reads answered, refused, 5xx | copies verified | wrong answers |"
    )
    lines = [header, "|---" * 10 + "|"]
    for synchronous, epochs, fault in sorted({(not row["synchronous"], not row["epochs"], row["fault"]) for row in done}):
        mine = [
            row for row in done if (not row["synchronous"], not row["epochs"], row["fault"]) == (synchronous, epochs, fault)
        ]
        gaps = sorted(row["seconds_without_writes"] for row in mine)
        cells = [
            "off" if synchronous else "on",
            f"{fault}, without epochs" if epochs else fault,
            len(mine),
            " to ".join(dict.fromkeys(f"{gap:.0f}" for gap in (gaps[0], gaps[-1]))),
            *(f"{sum(row[name] for row in mine):,}" for name in ("acknowledged", "lost")),
            *(_statuses([row["statuses"][kind] for row in mine]) for kind in ("writes", "reads")),
            f"{sum(row['copies_verified'] for row in mine)} of {4 * len(mine)}",
            sum(row["wrong"] for row in mine),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _statuses(counts: list[dict[str, int]]) -> str:
    """Return the numbers of answers below 400, of refusals below 500, and of others, none among them."""
    sums = [0, 0, 0]
    for status, number in (item for row in counts for item in row.items()):
        place = 2 if status == "0" else sum(status >= bound for bound in ("400", "500"))
        sums[place] += number
    return ", ".join(f"{number:,}" for number in sums)


def capacities() -> str:
    """Return a table of what a cluster carries, by kind."""
    done = [row for row in rows().values() if "fault" not in row]
    names = {
        "reads": "reads of a list, {}",
        "reads_while_writing": "the same while one client writes, {}",
        "writes": "writes, {}",
    }
    cells = {f"records in changesets of {MANY}": [row["records_in_changesets"] for row in done]}
    for member, words in names.items():
        cells |= {words.format(name): [row[member][name] for row in done] for name in (done[0][member] if done else ())}
    lines = [f"| a second | {' | '.join(row['run'].partition('-')[0] for row in done)} |", "|---" * (len(done) + 1) + "|"]
    return "\n".join(
        [*lines, *(f"| {name} | {' | '.join(f'{value:,.0f}' for value in values)} |" for name, values in cells.items())]
    )


def one_node() -> str:
    """Return a table of what one node carries, from the last run of `make bench`."""
    results = json.loads(RACE.read_text(encoding="utf-8"))
    rates: dict[tuple[str, ...], float] = {
        (row["dialect"], row["server"], row["workload"]): median(row["rates"]) for row in results["race"] if row["rates"]
    }
    lines = ["| a second | SQLite | PostgreSQL |", "|---|---|---|"]
    for words, *of in NODE:
        lines.append(f"| {words} | {' | '.join(f'{rates[dialect, *of]:,.0f}' for dialect in ('sqlite', 'postgresql'))} |")
    return "\n".join(lines)
