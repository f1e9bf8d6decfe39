"""All that is measured, in one run: ``python -m bench`` writes ``bench/results``.

`BENCH_SIZES` (1000,100000,1000000) are the numbers of initiatives at which the product's own pages are compared, `BENCH_RACE`
(1000) the one at which everyone races; `BENCH_ROUNDS` (3) and `BENCH_SECONDS` (3) say how often and how long, and `BENCH_DATA`
is a folder that keeps the databases for the next run.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from api.settings import ROOT
from bench import lists, race, report, writes
from bench.dataset import DatasetStore
from bench.peers import VENV
from bench.peers.setup import ensure_peers

DIALECTS = ("sqlite", "postgresql")


def main() -> None:
    """Measure, and write tables and a picture."""
    sizes = sorted(map(int, os.environ.get("BENCH_SIZES", "1000,100000,1000000").split(",")))
    missing = ensure_peers()
    with tempfile.TemporaryDirectory() as folder:
        store = DatasetStore(Path(os.environ.get("BENCH_DATA", folder)))
        try:
            found: dict[str, Any] = {"race": race.main(store, DIALECTS, int(os.environ.get("BENCH_RACE", "1000")), missing)}
            report.write(found)
            found |= lists.main(store, sizes)
            report.write(found)
            found |= writes.main(store, Path(folder))
            report.write(found)
        finally:
            store.close()
    if (VENV / "python").exists():
        subprocess.run([VENV / "python", "-m", "bench.plot", report.FILE], check=True, cwd=ROOT)  # noqa: S603 - our own
    print((report.RESULTS / "tables.md").read_text(encoding="utf-8"))
    if not all(row["fine"] for row in found["exports"]):
        raise SystemExit("an export was not whole")


if __name__ == "__main__":
    main()
