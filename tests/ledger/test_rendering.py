"""Documents as they are published."""

from sqlalchemy import select

from api.db.database import Database
from api.editing.inputs import sendable
from api.ledger.rendering import MOST, Written, rendered
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


def test_facts_of_many_records_take_little_memory() -> None:
    """The facts of more records than one request has are the same again, and are packed; those that are deleted are forgotten."""
    written = Written()
    facts = {f"{number}": {"id": f"{number}", "name": "Zoë" * 20, "value": number / 10} for number in range(MOST + 100)}
    for id, content in facts.items():
        written.add("cities", id, content, None)
    assert (len(written.facts), len(written.packed["cities"].by_id)) == (MOST, 100)
    assert max(map(len, written.packed["cities"].by_id.values())) < 100
    assert written.of("cities", [*facts]) == facts
    for id in ("0", f"{MOST}"):
        written.add("cities", id, None, None)
    assert written.of("cities", ["0", f"{MOST}"]) == {}
