"""Reports that compare: two checkouts, the durability of writes, and the machine on which it was measured."""

import os
import platform
from pathlib import Path

from bench import against, report


def test_comparison() -> None:
    """Two checkouts are compared round by round: both medians with their spread, and the ratios of the rounds with theirs."""
    rows = [against.row("sqlite", "cold record", [100.0, 300.0, 200.0], [100.0, 100.0, 200.0])]
    assert rows == [
        {
            "dialect": "sqlite",
            "workload": "cold record",
            "this": [100.0, 300.0, 200.0],
            "other": [100.0, 100.0, 200.0],
            "ratio": 1.0,
            "least": 1.0,
            "most": 3.0,
        }
    ]
    title, table = report.comparison(rows, 1000, ["abc", "def"]).split("\n\n")
    assert title.startswith("This tree (abc) and the other (def), 1,000 initiatives, median (least to greatest), ")
    assert table.splitlines() == [
        "| database | workload | this, a second | other, a second | this / other |",
        "|---|---|---|---|---|",
        "| SQLite | cold record | 200 (100 to 300) | 100 (100 to 200) | 1.00 (1.00 to 3.00) |",
    ]


def test_machine(tmp_path: Path) -> None:
    """A report names the processor, if the kernel knows it, and the cores, the kernel and Python."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\ncpu MHz\t: 2000\n", encoding="utf-8")
    assert report.processor(cpuinfo) == "Some CPU @ 2.00GHz"
    assert report.processor(tmp_path / "missing") == platform.machine()
    assert report.machine().startswith(f"{report.processor()}, {os.cpu_count()} cores, ")
    assert report.machine().endswith(f", Linux {platform.release()}, Python {platform.python_version()}")


def test_durability_is_shown() -> None:
    """The table of a race says how durable each server's writes are, if it takes any."""
    row = {"server": "this API", "ratio": 1.0}
    rows = [
        {**row, "workload": "list", "durability": ""},
        {**row, "workload": "write", "durability": "fsync=on"},
        {**row, "server": "a peer", "workload": "list", "durability": ""},
    ]
    assert report.race(rows, lambda row: str(row["ratio"])).splitlines() == [
        "| server | write | list | durability of writes |",
        "|---|---|---|---|",
        "| this API | 1.0 | 1.0 | fsync=on |",
        "| a peer |  | 1.0 |  |",
    ]
    assert report.writes([{"dialect": "sqlite", "clients_1": 1.0, "ledger": 0.31, "durability": "fsync=on"}]).splitlines() == [
        "| database | clients 1 | ledger | durability |",
        "|---|---|---|---|",
        "| sqlite | 1 | 0.31 | fsync=on |",
    ]
