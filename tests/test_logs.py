"""The log has one line for each event, without control characters, traces, parameters or values."""

import logging
import re
import subprocess
import sys
import threading
import time
import unicodedata

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from api import logs
from api.db.database import Database
from api.settings import ROOT, Settings
from tests.support.applications import serving
from tests.support.lengths import late
from tests.support.processes import environment


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> logging.Logger:
    """A new logger for each test."""
    return logs.sparing(f"api.tests.{request.node.name}")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged lines, without times."""
    return [logs.LineFormatter().format(record).partition(" ")[2] for record in caplog.records]


def test_every_line_is_one() -> None:
    """No character of any Unicode category for control, surrogates or line ends reaches the log as it is."""
    unsafe = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) in {"Cc", "Zl", "Zp", "Cs"}]
    unsafe += ["\u202e", "\u200b", "\ufeff"]
    record = logging.makeLogRecord({"msg": "a%sb", "args": ("".join(unsafe),)})
    line = logs.LineFormatter().format(record)
    assert not set(unsafe) & set(line)
    assert line.isprintable()
    assert r"\n" in line
    assert "\\u202e" in line


def test_database_errors_quote_no_values(database: Database, logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """The line of a failed statement has neither parameters nor values of rows, whatever the failure."""
    statements = (
        "insert into priorities (id, name) values ('cybersecurity', :value)",
        "insert into nowhere values (:value)",
        "update cities set population = :value",
        "select 1 / (length(:value) - length(:value))",
        "select cast(:value as integer) from cities where no_such_column = :value",
    )
    failed = 0
    for statement in statements:
        try:
            with database.writing() as session:
                session.execute(text(statement), {"value": "a-secret-value"})
                session.rollback()
        except DBAPIError as error:
            failed += 1
            logger.exception("request failed")
            logger.warning("%s", logs.describe(error))
    assert failed >= 3
    assert len(caplog.records) >= failed
    assert "secret" not in "".join(lines(caplog))
    assert "Traceback" not in "".join(lines(caplog))


def test_the_place_and_the_causes(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """The line of an error names the function that raised it and its causes, and no file."""

    def outer() -> None:
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("broken") from error

    try:
        outer()
    except RuntimeError:
        logger.exception("request failed")
    (line,) = lines(caplog)
    name = __name__
    assert f"request failed: RuntimeError: broken in {name}.outer:" in line
    assert "; caused by ValueError: invalid literal for int() with base 10: 'x' in " in line
    assert ".py" not in line


def test_a_repeated_warning_is_spared(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand equal warnings are one line a second with their count; errors and a plain logger, the control, drop none."""
    clock = iter([*[100.0] * 1000, *[101.5] * 2])
    monkeypatch.setattr("api.logs.time.monotonic", lambda: next(clock))
    for number in range(1001):
        logger.warning("request %s is unavailable", number)
    logger.warning("another")
    assert [record.getMessage() for record in caplog.records] == [
        "request 0 is unavailable",
        "request 1000 is unavailable (999 more since the last line)",
        "another",
    ]
    caplog.clear()
    for number in range(3):
        logger.error("request %s failed", number)
        logging.getLogger(f"{logger.name}.plain").warning("plain")
    assert len(caplog.records) == 6


def test_dropped_warnings_are_told_in_time(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of dropped warnings is logged after a pause also if no other event comes; without a dropped one, nothing is."""
    monkeypatch.setattr("api.logs.PAUSE", 0.2)
    logger.warning("alone")
    for number in range(1000):
        logger.warning("request %s is unavailable", number)
    for thread in [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]:
        thread.join()
    messages = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert messages[:2] == ["alone", "request 0 is unavailable"]
    assert messages[-1].startswith("request 999 is unavailable")
    # A slow machine may need several pauses.
    told = [int(match[1]) for message in messages if (match := re.search(r"\((\d+) more since the last line\)", message))]
    assert len(messages) - 1 + sum(told) == 1000


LEAVING = """
from api import logs
logs.register()
for number in range(10):
    logs.sparing("api.leaving").warning("request %s is unavailable", number)
"""


def test_dropped_warnings_are_told_at_the_end() -> None:
    """A process that ends in between logs the number first."""
    done = subprocess.run([sys.executable, "-c", LEAVING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == [
        "request 0 is unavailable",
        "request 9 is unavailable (8 more since the last line)",
    ]


TWICE = """
import logging, sys
from api.app import create_app
from api.settings import Settings
sys.argv[1:] and logging.basicConfig(format="theirs: %(message)s")
create_app(Settings()), create_app(Settings())
logging.getLogger("api.web.problems").error("it failed")
"""


@pytest.mark.parametrize(
    ("arguments", "pattern"), [([], r"\S+Z ERROR api\.web\.problems: it failed\n"), late(["x"], "theirs: it failed\n")]
)
def test_logging_is_set_up_once(arguments: list[str], pattern: str) -> None:
    """An application sets up logging to standard error once; in a process with logging of its own it sets up nothing."""
    command = [sys.executable, "-c", TWICE, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment({}), capture_output=True, text=True, check=True)
    assert re.fullmatch(pattern, done.stderr), done.stderr


def test_an_outage_is_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred requests without a database log at most a line a second; `test_a_repeated_warning_is_spared` is the control."""
    begun = time.monotonic()
    with serving(Settings(database_url="postgresql://nobody:secret@127.0.0.1:1/none", connect_timeout=2)) as app:
        client = app.test_client()
        assert {client.get("/cities").status_code for _ in range(100)} == {503}
    assert 1 <= len(caplog.records) <= 2 + time.monotonic() - begun
    assert "secret" not in "".join(lines(caplog))
