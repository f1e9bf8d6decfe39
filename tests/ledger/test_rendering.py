"""Documents as they are published."""

from sqlalchemy import select

from api.db.database import Database
from api.editing.inputs import sendable
from api.ledger.rendering import MOST, Written, quick_hash, rendered
from api.resources import RESOURCES


def test_what_was_written_is_what_the_tables_have(database: Database) -> None:
    """For every record, its facts with what other records decide are what is rendered from the tables.

    The control: other facts make another content.
    """
    with database.reading() as session:
        for resource in RESOURCES:
            ids = list(session.scalars(select(resource.model.id).order_by(resource.model.id)))
            whole = rendered(session, resource, ids)
            written = Written()
            for id in ids:
                written.add(resource.name, id, sendable(resource, whole.contents[id]), None)
            assert rendered(session, resource, ids, written) == whole
            other = Written(facts={(resource.name, ids[0]): {**whole.contents[ids[0]], resource.label.key: "Another"}})
            assert rendered(session, resource, ids[:1], other).contents[ids[0]] != whole.contents[ids[0]]


def test_facts_of_many_records_are_remembered_by_their_hash() -> None:
    """Of more records than one request has, only a hash is kept; those that are deleted are forgotten."""
    written, facts = Written(), {"id": "zz", "name": "Zz"}
    for number in range(MOST + 1):
        written.add("cities", f"{number}", facts, None)
    assert (len(written.facts), written.checked) == (MOST, {quick_hash(facts)})
    written.add("cities", "0", None, None)
    assert ("cities", "0") not in written.facts
