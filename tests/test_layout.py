"""Where tests are: in the room that they test, and what several of them use is in `tests/support/`."""

import ast
import re
from pathlib import Path

import pytest

from api.settings import ROOT

pytestmark = pytest.mark.contract

TESTS = ROOT / "tests"


@pytest.mark.parametrize("file", sorted(TESTS.rglob("*.py")), ids=lambda file: file.relative_to(TESTS).as_posix())
def test_only_helpers_are_imported(file: Path) -> None:
    """No file imports a test module or a conftest: helpers are in `tests/support/`."""
    imported = [
        name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    ]
    assert [name for name in imported if name and re.search(r"(^|\.)(conftest|test_\w+)$", name)] == []
