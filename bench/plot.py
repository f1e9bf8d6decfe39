"""A picture of the race, as SVG. It needs matplotlib, which is one of the peers' packages."""

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt


def main(source: Path) -> None:
    """Draw each database's ratios of the list page side by side, on a logarithmic scale."""
    results = json.loads(source.read_text(encoding="utf-8"))
    if not results.get("race"):
        return
    groups = list(dict.fromkeys((row["dialect"], row["size"]) for row in results["race"]))
    figure, axes = plt.subplots(1, len(groups), figsize=(6 * len(groups), 5), squeeze=False)
    for (dialect, size), axis in zip(groups, axes[0], strict=True):
        rows = [row for row in results["race"] if (row["dialect"], row["size"], row["workload"]) == (dialect, size, "list")]
        rows.sort(key=lambda row: row["ratio"])
        spread = [[row["ratio"] - row["least"] for row in rows], [row["most"] - row["ratio"] for row in rows]]
        axis.barh([row["server"] for row in rows], [row["ratio"] for row in rows], xerr=spread, color="#4472a8")
        axis.set_xscale("log")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(f"{dialect}, {size:,} initiatives")
        axis.set_xlabel("list pages a second, as a ratio to this API's")
    figure.suptitle(f"{results['machine']}, {results['dates']['race']}")
    figure.tight_layout()
    figure.savefig(source.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
