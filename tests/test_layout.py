"""Test files are in the folders of the code that they test, and shared helpers in `tests/support/`."""

import ast
import re

import pytest

from api.settings import ROOT

pytestmark = pytest.mark.contract


def test_only_helpers_are_imported() -> None:
    """No file imports a test module or a conftest; shared helpers are in `tests/support/`."""
    imported = {
        (file.name, name)
        for file in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    }
    assert {(file, name) for file, name in imported if name and re.search(r"(^|\.)(conftest|test_\w+)$", name)} == set()
