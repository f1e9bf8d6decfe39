"""The measurements: ``python -m bench`` writes ``bench/results``; ``python -m bench against FOLDER`` races two checkouts.

`BENCH_SIZES` (1000,100000,1000000) are the numbers of initiatives at which this API's pages are compared, `BENCH_RACE` (1000)
is the one of the race; `BENCH_ROUNDS` (3) and `BENCH_SECONDS` (3) say how often and how long, and `BENCH_DATA` names a folder
that keeps the databases for the next run. `BENCH_PARTS` (race,lists,writes) are the parts that are measured; what a machine
measured earlier of the others stays.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.settings import ROOT
from bench import against, lists, race, report, writes
from bench.dataset import DatasetStore
from bench.peers import VENV
from bench.peers.setup import ensure_peers

if TYPE_CHECKING:
    from collections.abc import Callable

DIALECTS = ("sqlite", "postgresql")


def measure() -> None:
    """Measure all parts; write tables and a picture. Raises SystemExit if an export was incomplete."""
    sizes = sorted(map(int, os.environ.get("BENCH_SIZES", "1000,100000,1000000").split(",")))
    missing = ensure_peers()
    with tempfile.TemporaryDirectory() as folder:
        store = DatasetStore(Path(os.environ.get("BENCH_DATA", folder)))
        try:
            size = int(os.environ.get("BENCH_RACE", "1000"))
            results: dict[str, Any] = {}
            parts: dict[str, Callable[[], dict[str, Any]]] = {
                "race": lambda: {"race": race.main(store, DIALECTS, size, missing)},
                "lists": lambda: lists.main(store, sizes),
                "writes": lambda: writes.main(store, Path(folder)),
            }
            for part in [parts[name] for name in os.environ.get("BENCH_PARTS", ",".join(parts)).split(",")]:
                measured = part()
                results |= measured
                report.write(measured)
        finally:
            store.close()
    if (VENV / "python").exists():
        subprocess.run([VENV / "python", "-m", "bench.plot", report.FILE], check=True, cwd=ROOT)  # noqa: S603 - our own
    print((report.RESULTS / "tables.md").read_text(encoding="utf-8"))
    if not all(row["fine"] for row in results.get("exports", ())):
        raise SystemExit("an export was incomplete")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("against", help="race this tree and another checkout").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "against":
        against.main(arguments.folder)
    else:
        measure()


if __name__ == "__main__":
    main()
