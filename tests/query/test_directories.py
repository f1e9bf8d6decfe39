"""Directories of names are kept as long as they are right, on both databases."""

from sqlalchemy import text

from api.db.database import Database
from api.ledger.index.matching import Directory
from api.query.directories import Directories
from api.resources import BY_NAME
from tests.support.databases import publishing

CITIES = BY_NAME["cities"]


def of(directories: Directories, database: Database) -> Directory:
    """Return the directory of cities in a new session."""
    with database.reading() as session:
        return directories.of(session, CITIES)


def test_a_directory_is_kept_until_its_noun_changes(database: Database) -> None:
    """A change of another noun leaves the directory of cities; one of a city, published or not yet, makes another."""
    directories = Directories()
    first = of(directories, database)
    with publishing(database) as session:
        session.execute(text("update organizations set name = 'Zed' where id = 'e-republic'"))
    assert of(directories, database) is first
    with publishing(database) as session:
        session.execute(text("update cities set name = 'Zedville' where id = 'boston-ma'"))
    second = of(directories, database)
    assert [len(one.exact("Zedville")) for one in (first, second)] == [0, 1]
    with database.engine.begin() as connection:
        connection.execute(text("insert into city_aliases (city_id, alias) values ('boston-ma', 'Zed City')"))
    assert [len(one.exact("Zed City")) for one in (second, of(directories, database))] == [0, 1]
