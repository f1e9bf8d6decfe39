"""The tables of results."""

import json
from pathlib import Path
from typing import Any

from bench import report


def measured() -> dict[str, Any]:
    """Return example results of a bench."""
    ours, peer = (
        {"dialect": "sqlite", "size": 1000, "server": "this API"},
        {"dialect": "sqlite", "size": 1000, "server": "a peer"},
    )
    same = {"ratio": 1.0, "least": 1.0, "most": 1.0}
    page = {"page": "list", "dialect": "sqlite", "p50": 1.0}
    results = {
        "race": [
            {**ours, "workload": "list", "rates": [8.0, 9.0, 8.0], "p99": [1.0, 2.0, 1.0], **same},
            {**ours, "workload": "write", "rates": [4.0, 4.0, 4.0], "p99": [1.0, 1.0, 1.0], **same},
            {
                **peer,
                "workload": "list",
                "rates": [2.0, 3.0, 1.0],
                "p99": [5.0, 4.0, 3.0],
                "ratio": 0.25,
                "least": 0.125,
                "most": 0.333,
            },
        ],
        "scale": [{**page, "size": 1000, "p99": 1.5, "ratio": 1.0}, {**page, "size": 100000, "p99": 2.5, "ratio": 1.24}],
        "starts": [{"dialect": "sqlite", "size": 1000, "seconds": 0.52, "megabytes": 81.0}],
        "exports": [{"page": "csv", "dialect": "sqlite", "size": 1000, "rows": 1000, "seconds": 0.1, "grew": 3.2}],
        "writes": [{"dialect": "sqlite", "clients_1": 1.0, "clients_16": 1.5, "changeset": 14.0, "ledger": 0.31}],
        "import": 7.5,
    }
    return {"machine": "2 cores", **results, "dates": dict.fromkeys(results, "2026-11-27")}


def test_tables(tmp_path: Path) -> None:
    """Results are shown as ratios, for races with their spread; a cell is empty if a server does not take part."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(measured()), encoding="utf-8")
    tables = report.tables(path)
    for line in (
        "| server | write | list |",
        "| this API | 1 (1 to 1) | 1 (1 to 1) |",
        "| a peer |  | 0.25 (0.12 to 0.33) |",
        "| a peer |  | 3 (2 to 5) |",
        "| page | sqlite, 1,000 | sqlite, 100,000 |",
        "| list | 1 (1.5 ms) | 1.2 (2.5 ms) |",
        "| start | 0.5 s, 81 MB |",
        "| csv | 3 MB |",
        "| sqlite | 1 | 1.5 | 14 | 0.31 |",
        "An import takes 7.5 times as long as the bare SQL of its rows.",
    ):
        assert line in tables.splitlines()
    assert report.summary(path).splitlines()[-1] == "| a peer |  | 0.25 |"


def test_tables_of_a_race_alone(tmp_path: Path) -> None:
    """A report of a race alone omits the tables of other measurements."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps({name: measured()[name] for name in ("machine", "race", "dates")}), encoding="utf-8")
    assert "Uncached" not in report.tables(path)
    assert "sqlite, 1,000 initiatives, 2026-11-27: " in report.tables(path)


def test_one_measurement_leaves_the_others_of_its_machine(tmp_path: Path) -> None:
    """Each table has the date of its measurement, and no table has figures of two machines."""
    path = tmp_path / "results.json"
    for machine, date in ((report.machine(), "2026-11-27"), ("another", None)):
        path.write_text(json.dumps(measured() | {"machine": machine}), encoding="utf-8")
        report.write({"import": 7.0}, path)
        results = json.loads(path.read_text(encoding="utf-8"))
        assert results["dates"].get("race") == date
        assert (results["import"], results["dates"]["import"]) == (7.0, report.today())
        assert ("scale" in results) == (date is not None)
