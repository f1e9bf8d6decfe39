"""Sentry and OpenTelemetry, with their defaults, see every statement of every endpoint."""

import json
import subprocess
import sys
from typing import Any

import pytest

from api.settings import ROOT, Settings
from tests.support.databases import SQLITE_FIRST
from tests.support.lengths import few
from tests.support.processes import environment

# Paths that read nothing of the database.
WITHOUT_DATABASE = {"/", "/docs", "/enums", "/livez", "/openapi.json", "/problems", "/problems/{name}", "/reconcile"}


@pytest.fixture(params=few(["sentry", "opentelemetry"], "sentry"))
def report(request: pytest.FixtureRequest, settings: Settings) -> dict[str, Any]:
    """The answers of the application under a package, with the statements that the package saw."""
    command = [sys.executable, "-m", "tests.support.instrumented", request.param]
    # With a cache of answers, statements that look for changes would be among the others.
    variables = environment({"DATABASE_URL": settings.database_url, "CACHE_MB": 0})
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    output: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return output


@SQLITE_FIRST
def test_instrumentation_sees_every_statement(report: dict[str, Any]) -> None:
    """Each endpoint answers 200 and its statements have spans; the control, a listener without context, fails."""
    answers: dict[str, tuple[int, list[str]]] = report["answers"]
    assert {path: status for path, (status, _) in answers.items() if status != 200} == {}
    assert {path for path, (_, statements) in answers.items() if not statements} == WITHOUT_DATABASE
    reported = {path: statements for path, (_, statements) in answers.items() if statements}
    assert {path for path, statements in reported.items() if not any("SELECT" in row for row in statements)} == set()
    assert any(row.startswith("UPDATE cities") for row in reported["PATCH"])
    assert report["error_without_context"] == "AttributeError"
