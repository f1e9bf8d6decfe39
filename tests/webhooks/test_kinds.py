"""A webhook that listens to some nouns only."""

from sqlalchemy import text

from api.db.database import Database
from api.ledger import epochs
from tests.support.databases import head
from tests.support.webhooks import URL, Wire, after, change, every, subscribe


def test_only_its_nouns(database: Database) -> None:
    """A receiver of cities hears of cities and of nothing else; the control, which listens to all, hears of both."""
    wire, webhook = Wire(), subscribe(database, URL, "cities", "awards")
    subscribe(database, "https://example.org/all")
    change(database, "initiatives")
    assert wire.deliver(database) == 1
    version = change(database, "initiatives", "cities")
    assert wire.deliver(database) == 2
    assert [attempt.data for attempt in wire.sent if attempt.url == webhook.url] == [{"version": version, "kinds": ["cities"]}]
    assert [attempt.data["kinds"] for attempt in wire.sent if attempt.url != webhook.url] == [
        ["initiatives"],
        ["cities", "initiatives"],
    ]


def test_its_position_moves_on(database: Database) -> None:
    """Changes of other nouns move its position without a message, so none of them is looked at twice."""
    wire = Wire()
    subscribe(database, URL, "cities")
    for _ in range(2):
        version = change(database, "initiatives")
        assert wire.deliver(database) == 0
        assert [(row.told, row.message, row.last_outcome) for row in every(database)] == [(version, None, None)]
    assert wire.sent == []


def test_what_it_wants_while_it_fails(database: Database) -> None:
    """A message that failed is sent again, however much has changed elsewhere, and then its position goes on."""
    wire = Wire(500)
    subscribe(database, URL, "cities")
    first = change(database, "cities")
    wire.deliver(database)
    last = change(database, "initiatives")
    wire.outcome = 204
    assert wire.deliver(database, after(seconds=10)) == 1
    assert [attempt.data["version"] for attempt in wire.sent] == [first, first]
    assert wire.deliver(database, after(seconds=20)) == 0
    assert [row.told for row in every(database)] == [last]


def test_an_epoch_is_always_told(database: Database) -> None:
    """A new epoch is told to each receiver once, also if none of its nouns has changed."""
    wire = Wire()
    subscribe(database, URL, "cities")
    with database.writing() as session:
        epoch = epochs.new_epoch(session)
    version = head(database)
    assert wire.deliver(database) == 1
    change(database, "initiatives")
    assert wire.deliver(database) == 0
    assert [attempt.data for attempt in wire.sent] == [{"version": version, "kinds": [], "epoch": epoch}]


def test_a_receiver_of_before(database: Database) -> None:
    """A webhook of an earlier release, which has no nouns, hears of all."""
    wire = Wire()
    subscribe(database)
    with database.writing() as session:
        assert session.scalar(text("select kinds is null from webhooks"))
    change(database, "surveys")
    assert wire.deliver(database) == 1
