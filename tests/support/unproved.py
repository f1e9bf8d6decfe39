"""A plugin of pytest that ends a run with the claims that the run could not test, since a skipped test is easily overlooked."""

from typing import Any

import pytest

SAID = "not proved: "


def unproved(reason: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test, and lists it with its missing requirement at the end of the run."""
    return pytest.mark.skip(reason=f"{SAID}{reason}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List each test whose requirements this machine lacks."""
    skipped = [(report.nodeid, report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    lines = [f"{test}: {reason.partition(SAID)[2]}" for test, reason in skipped if SAID in reason]
    if lines:
        terminalreporter.section("THIS RUN DID NOT PROVE", red=True, bold=True)
        for line in sorted(lines):
            terminalreporter.line(line, red=True)
