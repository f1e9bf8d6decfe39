"""`alembic upgrade head` without a usable database says why in one line."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.lengths import late
from tests.support.processes import ALEMBIC, SECRET, refusal, unused_port


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"mysql://me:{SECRET}@localhost/cities", r"FAILED: DATABASE_URL names the database 'mysql', .*"),
        late("sqlite://folder/file.sqlite3", r"FAILED: DATABASE_URL .*"),
        late("sqlite:///{folder}/missing/file.sqlite3", r"FAILED: the database can't be used: unable to open database file"),
        late("sqlite:///{folder}/other.txt", r"FAILED: the database can't be used: file is not a database"),
        (
            f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/cities",
            r"FAILED: the database can't be used: .*127\.0\.0\.1.*{port}.*",
        ),
        late(
            f"postgresql://me:{SECRET}@127.0.0.1:{{port}}/cities?colour=red", r"FAILED: the database can't be used: .*colour.*"
        ),
    ],
)
def test_upgrade_of_no_database(tmp_path: Path, url: str, expected: str) -> None:
    """`alembic upgrade head` with a wrong or unreachable DATABASE_URL says why in one line, and shows no password."""
    (tmp_path / "other.txt").write_text("This is no database, although it is long enough to be one.\n" * 20, encoding="utf-8")
    values = {"folder": str(tmp_path), "port": str(unused_port())}
    for name, value in values.items():
        url, expected = url.replace(f"{{{name}}}", value), expected.replace(f"{{{name}}}", value)
    assert re.fullmatch(expected, refusal(ALEMBIC, DATABASE_URL=url))


def test_upgrade_of_a_locked_file(tmp_path: Path) -> None:
    """`alembic upgrade head` on a file that another program holds locked gives up after LOCK_TIMEOUT, in one line."""
    file = tmp_path / "locked.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin exclusive")
        line = refusal(ALEMBIC, DATABASE_URL=f"sqlite:///{file}", LOCK_TIMEOUT=1)
    assert line == "FAILED: the database can't be used: database is locked"
