"""Files in shapes that people have: each is read with the command and the report that `tests/files/reports/` has of it."""

import shlex

import pytest

from api.settings import Settings
from tests.support.applications import serving
from tests.support.workbooks import FILES

REPORTS = sorted((FILES / "reports").glob("*.txt"))


def report(settings: Settings, arguments: str) -> str:
    """Return all that a command prints, and its status unless that is 0."""
    with serving(settings) as app:
        done = app.test_cli_runner().invoke(args=["data", *shlex.split(arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output + (f"[status {done.exit_code}]\n" if done.exit_code else "")


@pytest.mark.parametrize("name", [path.stem for path in REPORTS])
def test_each_shape_is_read(settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says what was read as what, and asks about all that is not certain, each with its place and its fix."""
    monkeypatch.chdir(FILES)
    command, _, expected = (FILES / "reports" / f"{name}.txt").read_text("utf-8").partition("\n")
    assert report(settings, command.removeprefix("$ data ")) == expected
