"""Which releases may use a database: revisions state it, an upgrade writes it, and a release that may not is not ready."""

from itertools import pairwise
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text

from api.db.revisions import NOT_MIGRATED, alembic_config
from api.settings import Settings
from tests.support.answers import brief
from tests.support.applications import serving
from tests.support.databases import ON_SQLITE, REVISIONS, Store, config, later, opened

# The first revision that states it, and the oldest release that may use its database.
FIRST, OLDEST = "0023", "0021"
TOO_NEW = "The database is migrated to revision 9999, which needs a release with revision 9998; this release has {}."


def stated() -> dict[str, Any]:
    """Return what each revision states, the oldest first."""
    scripts = [*ScriptDirectory.from_config(alembic_config()).walk_revisions()][::-1]
    return {script.revision: getattr(script.module, "oldest", None) for script in scripts}


def test_each_revision_states_it() -> None:
    """From the first on, each revision names an oldest one, which is not newer than itself, and never goes back."""
    rows = {revision: oldest for revision, oldest in stated().items() if revision >= FIRST}
    assert rows[FIRST] == OLDEST
    assert [revision for revision, oldest in rows.items() if oldest not in REVISIONS or oldest > revision] == []
    assert [(before, after) for before, after in pairwise(rows.values()) if after < before] == []


def test_an_upgrade_writes_it(settings: Settings) -> None:
    """After an upgrade the database names what its revision states, also if somebody changed it before."""
    with opened(settings) as database:
        assert database.readiness().reads is None
        with database.writing() as session:
            assert session.scalar(text("select oldest from schema_compatibility")) == stated()[REVISIONS[-1]]
        command.downgrade(config(database), REVISIONS[-2])
        assert database.readiness().reads == NOT_MIGRATED
        command.upgrade(config(database), "head")
        with database.writing() as session:
            assert session.scalar(text("select oldest from schema_compatibility")) == stated()[REVISIONS[-1]]


@pytest.mark.parametrize(
    ("oldest", "reason"),
    [(OLDEST, None), (REVISIONS[-1], None), ("9998", TOO_NEW.format(REVISIONS[-1]))],
    ids=["older", "this", "newer"],
)
def test_a_newer_database(store: Store, oldest: str, reason: str | None) -> None:
    """A release is ready at a newer revision that lets it in, and says in one sentence which release another one needs."""
    with serving(later(store, oldest)) as app:
        client = app.test_client()
        answer = client.get("/readyz")
        result = app.test_cli_runner().invoke(args=["ledger", "verify"])
        if reason is None:
            assert (answer.status_code, client.get("/cities").status_code) == (200, 200)
            assert result.output == "Error: The database is migrated to a newer release: use the command of that release.\n"
        else:
            assert brief(answer)[:2] == (503, "unavailable")
            assert answer.get_json()["detail"] == reason
            assert result.output == f"Error: {reason}\n"
        assert result.exit_code == 1


@ON_SQLITE
def test_a_newer_database_that_says_nothing(store: Store) -> None:
    """A newer database that does not say which releases may use it is used by none that does not know it."""
    settings = later(store)
    with opened(settings) as database:
        with database.writing() as session:
            session.execute(text("drop table schema_compatibility"))
        expected = f"The database is migrated to revision 9999, and does not say which releases may use it; this release has {REVISIONS[-1]}."
        assert database.readiness() == (expected, expected)
