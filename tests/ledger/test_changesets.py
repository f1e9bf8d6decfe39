"""Changes of several commits, read at once, and the names of records that are gone."""

from flask.testing import FlaskClient

from api.db.database import Database
from api.ledger import changesets
from api.ledger.changesets import Effect, Wanted
from api.query import labels
from tests.support.answers import ANY
from tests.support.copies import write
from tests.support.editions import SEEDED


def test_first_changes(editor: FlaskClient, database: Database) -> None:
    """Commits that fit within the limit are read as a whole, the newest first, and of others their first changes."""
    write(editor, "a-zz")
    editor.patch("/cities/a-zz", json={"summary": "One."}, headers=ANY)
    editor.delete("/cities/a-zz", headers=ANY)
    with database.reading() as session:
        commits = changesets.commits(session, Wanted(), SEEDED * 10, 10)
        assert [commit.size for commit in commits] == [1, 1, 1, SEEDED]
        for most, sizes in ((SEEDED + 3, [1, 1, 1, SEEDED]), (SEEDED + 2, [1, 1, 1, 2]), (0, [1, 1, 1, 2])):
            changes = changesets.first_changes(session, commits, most, 2)
            assert [len(changes[commit.version]) for commit in commits] == sizes
        effects = [[change.effect for change in changes[commit.version]] for commit in commits]
        assert effects == [[Effect.DELETED], [Effect.UPDATED], [Effect.CREATED], [Effect.CREATED] * 2]
        assert [change.revision.version for change in changes[1]] == [1, 2]


def test_last_names(editor: FlaskClient, database: Database) -> None:
    """A deleted record is called as it was last, also if it was deleted twice; one that never was has no name."""
    for name in ("First", "Second"):
        write(editor, "a-zz")
        editor.patch("/cities/a-zz", json={"name": name}, headers=ANY)
        editor.delete("/cities/a-zz", headers=ANY)
    with database.reading() as session:
        wanted = [("cities", "a-zz"), ("cities", "nowhere"), ("surveys", "a-zz")]
        assert labels.called_last(session, wanted) == {("cities", "a-zz"): "Second"}
        assert labels.named(session, wanted) == {}
