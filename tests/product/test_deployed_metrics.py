"""The dashboard and the rules for alerts ask for metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from api.settings import ROOT
from api.web.gauges import STANDBY
from api.web.metrics import PREFIX
from tests.support.readme import metrics

DEPLOY = ROOT / "deploy"
RULES, DASHBOARD = DEPLOY / "alerts.yaml", DEPLOY / "grafana.json"


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_metrics_exist(file: Path) -> None:
    """Each metric that a file names is one that `/metrics` has; the control is a name that it does not have."""
    known = set(re.findall(rf"`({PREFIX}_\w+)`", metrics()))
    assert f"{PREFIX}_{STANDBY[0]}" in known
    named = set(re.findall(rf"{PREFIX}_[a-z_]+", file.read_text() + f" {PREFIX}_unheard_of"))
    assert {name.removesuffix("_bucket") for name in named} - known == {f"{PREFIX}_unheard_of"}


def test_rules_say_what_to_do() -> None:
    """Each rule has an expression, a severity and a summary, and promtool accepts them where it is installed."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]:
        assert rule["expr"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "rules", RULES], check=True, capture_output=True)


def test_the_dashboard_has_panels() -> None:
    """Each panel has a title of its own and an expression, and none lies on another."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert (
        len({panel["title"] for panel in panels}) == len({tuple(panel["gridPos"].values()) for panel in panels}) == len(panels)
    )
    assert all(target["expr"] for panel in panels for target in panel["targets"])
