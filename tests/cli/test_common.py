"""Every command without a usable database ends with one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.settings import ROOT, Settings
from tests.support.applications import serving
from tests.support.citations import STORY
from tests.support.databases import Store, earlier, later, missing, unmigrated, unreachable
from tests.support.messages import CANNOT_BE_OPENED, CANNOT_BE_REACHED, NEWER, NOT_MIGRATED


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (missing, CANNOT_BE_REACHED),
        (unreachable, CANNOT_BE_REACHED),
        (unmigrated, NOT_MIGRATED),
        (earlier, NOT_MIGRATED),
    ],
)
def test_no_usable_database(store: Store, make: Callable[[Store], Settings], expected: str, tmp_path: Path) -> None:
    """Without a usable database every command ends with one line and status 1, and makes no file."""
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    settings = make(store)
    if store.dialect == "sqlite" and expected == CANNOT_BE_REACHED:
        expected = CANNOT_BE_OPENED
    with serving(settings) as app:
        for arguments in ("ledger verify", "ledger sweep", f"citations check zz-story {tmp_path / 'story.txt'}", "serve"):
            result = app.test_cli_runner().invoke(args=arguments.split())
            assert isinstance(result.exception, SystemExit)
            assert (arguments, result.exit_code, result.output) == (arguments, 1, f"{expected}\n")
    if store.dialect == "sqlite":
        assert Path(settings.database_url.removeprefix("sqlite:///")).exists() == (expected == NOT_MIGRATED)


def test_a_newer_database(store: Store, tmp_path: Path) -> None:
    """A command refuses a database of a newer release, whose data this release may not know."""
    (tmp_path / "story.txt").write_text(STORY, encoding="utf-8")
    with serving(later(store)) as app:
        for arguments in ("ledger verify", "ledger sweep", f"citations check zz-story {tmp_path / 'story.txt'}"):
            result = app.test_cli_runner().invoke(args=arguments.split())
            assert (arguments, result.exit_code, result.output) == (arguments, 1, f"{NEWER}\n")


def test_a_server_imports_no_command() -> None:
    """The application starts without any command, since to import them takes time."""
    code = "import sys, wsgi; print(*sorted(name for name in sys.modules if name.startswith('api.cli.')), wsgi.app.cli.name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["api"]
