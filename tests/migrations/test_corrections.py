"""The correction of a released edition: published with its reason, reported, restored by a downgrade, and erased on request."""

import json
import logging
import sqlite3
from typing import Any

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import select, text, update

from api.db.database import Database
from api.ledger import publish, retention
from api.ledger.models import CURRENT, Dirty, ReplacedRecord, Revision
from api.ledger.verify import verify
from api.resources.cities import City
from api.resources.organizations import Organization
from tests.support import former
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, Store, config, head, opened, template
from tests.support.editions import seeded

BEFORE = "0016"
REASON = "Correction of the Digital Cities Survey 2024: each fact says no more than its source"
TABLES = ("cities", "city_aliases", "organizations", "surveys", "survey_priorities", "sources", "awards", "initiatives",
          "initiative_metrics", "initiative_partners", "initiative_awards", "initiative_priorities", "citations", "fact_bases")  # fmt: skip


def revisions(database: Database, *conditions: Any) -> list[Any]:
    """Return revisions in order."""
    with database.reading() as session:
        return [*session.scalars(select(Revision).where(*conditions).order_by(Revision.version))]


def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return the facts as they are stored."""
    with database.reading() as session:
        return {table: sorted(map(tuple, session.execute(text(f"select * from {table}"))), key=repr) for table in TABLES}


def corrected() -> dict[tuple[str, str], Any]:
    """Return the records of the correction, without the members that others derive."""
    nouns = ("cities", "organizations", "surveys", "sources", "awards", "initiatives", "citations")
    return {(noun, id): row for noun in nouns for id, row in seeded(noun).items()}


@SQLITE_FIRST
def test_a_release_is_corrected(store: Store) -> None:
    """After an upgrade of what the first release published, the history says of each record what changed, who did it and why."""
    with opened(former.released(store)) as database:
        before = head(database)
        command.upgrade(config(database), "head")
        with database.reading() as session:
            assert list(verify(session)) == []
        current = {(row.kind, row.id): json.loads(row.document) for row in revisions(database, *CURRENT)}
        for key, row in corrected().items():
            assert current[key].items() >= row.items()
        after = revisions(database, Revision.version > before)
        assert {(row.reason, row.author) for row in after} == {(REASON, "maintainers")}
        office = next(row for row in after if (row.kind, row.id) == ("initiatives", "sacramento-ca-data-and-analytics-office"))
        old = json.loads(revisions(database, Revision.superseded == office.version)[0].document)
        assert (old["started"], json.loads(office.document)["started"]) == ("2024-12", "XXXX-12")
        deleted = {row.id for row in after if row.op == "delete"}
        assert deleted == {id for kind, id in former_ids() if (kind, id) not in current}


def former_ids() -> set[tuple[str, str]]:
    """Return the records of the first release."""
    return {(noun, content["id"]) for noun, content in former.documents()}


@pytest.mark.slow
@SQLITE_FIRST
def test_a_downgrade_restores_the_former_facts(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A downgrade restores every row that the correction replaced or deleted, also where someone had changed it before."""
    with opened(store.copy(template(store, BEFORE))) as database:
        with database.writing() as session:
            session.execute(update(City).where(City.id == "boston-ma").values(summary="Of our own."))
            session.execute(text("insert into city_aliases (city_id, alias) values ('boston-ma', 'Beantown')"))
            session.execute(text("delete from citations where id = 'organizations-e-republic-name-p22-s1'"))
        before = rows(database)
        command.upgrade(config(database), "head")
        assert before != rows(database)
        command.downgrade(config(database), BEFORE)
        assert before == rows(database)
        with database.reading() as session:
            assert set(session.scalars(text("select kind || '/' || id from ledger_dirty"))) >= {"cities/boston-ma"}
        command.upgrade(config(database), "head")
        with database.reading() as session:
            assert list(verify(session)) == []
    assert caplog.messages == []


@pytest.mark.slow
@SQLITE_FIRST
def test_own_changes_are_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the records that were changed here and are replaced now; their history has the former state."""
    settings = former.released(store)
    with opened(settings) as database:
        with database.writing() as session:
            session.execute(
                update(Revision)
                .where(Revision.kind == "cities", Revision.id == "boston-ma")
                .values(reason=None, author="curator")
            )
        with caplog.at_level(logging.WARNING, "alembic.correcting"):
            command.upgrade(config(database), "head")
    assert caplog.messages == [
        "the correction replaces records that were changed here; compare their history: cities/boston-ma"
    ]


@pytest.mark.slow
@SQLITE_FIRST
def test_what_is_not_corrected_has_no_such_reason(store: Store) -> None:
    """Someone's own record, published by the same upgrade, has the reason of an upgrade."""
    with opened(store.copy(template(store, BEFORE))) as database:
        with database.writing() as session:
            session.execute(text("insert into priorities (id, name, description) values ('zz-own', 'Own', 'Of our own.')"))
        command.upgrade(config(database), "head")
        (own,) = revisions(database, Revision.id == "zz-own")
        assert (own.reason, own.author) == ("migration", None)


def test_a_reason_of_its_own(database: Database) -> None:
    """A note can say why its record changed; the commit's reason is that of the others."""
    with database.writing() as session:
        session.execute(update(Organization).values(summary="Of our own."))
        session.add(Dirty(kind="organizations", id="e-republic", reason="Asked for", author="ann"))
        publish.publish(session, reason="sweep")
    changed = revisions(database, Revision.kind == "organizations", *CURRENT)
    causes = {row.id: (row.reason, row.author) for row in changed}
    assert causes.pop("e-republic") == ("Asked for", "ann")
    assert {*causes.values()} == {("sweep", None)}


def test_an_erasure_covers_what_was_replaced(database: Database) -> None:
    """To erase a record's past erases what a correction kept of it and of the citations about it, and nothing else."""

    def kept() -> set[tuple[str, str]]:
        with database.reading() as session:
            return {(row.kind, row.id) for row in session.execute(select(ReplacedRecord.kind, ReplacedRecord.id))}

    before = kept()
    with database.writing() as session:
        retention.erase(session, "cities", "boston-ma")
    about = {("citations", id) for kind, id in former_ids() if kind == "citations" and id.startswith("cities-boston-ma-")}
    assert before - kept() == {("cities", "boston-ma"), *about}
    assert about


OWN = """
    insert into citations (id, subject_kind, subject_id, field, source_id, paragraph, sentence, sentence_sha256, basis)
    select :id, subject_kind, subject_id, :field, source_id, :paragraph, :sentence, sentence_sha256, 'stated'
    from citations where subject_id = :subject limit 1
"""


@pytest.mark.slow
@SQLITE_FIRST
def test_citations_of_ones_own(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A citation of one's own that the correction has, too, gives way to it and comes back; others stay, and the log names them."""
    twin = next(row for row in seeded("citations").values() if row["id"] == "cities-los-angeles-ca-aliases-p11-s3")
    with opened(store.copy(template(store, BEFORE))) as database:
        with database.writing() as session:
            place = {"paragraph": twin["paragraph"], "sentence": twin["sentence"], "subject": twin["subject_id"]}
            session.execute(text(OWN), {**place, "id": "zz-twin", "field": twin["field"]})
            session.execute(text(OWN), {**place, "id": "zz-own", "field": "/name", "sentence": 99})
        before = rows(database)
        with caplog.at_level(logging.WARNING, "alembic.correcting"):
            command.upgrade(config(database), "head")
        with database.reading() as session:
            kept = {
                *session.scalars(
                    text("select id from citations where id in ('zz-own', 'zz-twin') or id = :id"), {"id": twin["id"]}
                )
            }
            assert list(verify(session)) == []
        assert kept == {"zz-own", twin["id"]}
        command.downgrade(config(database), BEFORE)
        assert before == rows(database)
    assert caplog.messages == [
        "the correction replaces records that have citations of your own; check what these support: citations/zz-own, citations/zz-twin"
    ]


@SQLITE_FIRST
def test_a_downgrade_stops_at_ones_own_references(database: Database) -> None:
    """A downgrade that would delete what a record of one's own refers to changes nothing, and names that record's table."""
    with database.writing() as session:
        session.add(Organization(id="zz-own", name="Own", type="company", parent_id="san-jose-ca-city-government"))
    before = rows(database)
    with pytest.raises(CommandError, match=r"nothing was changed, because your records refer to .* deleted: .*organizations"):
        command.downgrade(config(database), BEFORE)
    assert before == rows(database)


@pytest.mark.slow
@ON_SQLITE
def test_references_that_were_broken_before(store: Store) -> None:
    """A reference that another program had broken, as SQLite lets it by default, does not stop the correction."""
    settings = store.copy(template(store, BEFORE))
    with sqlite3.connect(settings.database_url.removeprefix("sqlite:///")) as other:
        other.execute("insert into organizations (id, name, type, parent_id) values ('zz-own', 'Own', 'company', 'nowhere')")
    other.close()
    with opened(settings) as database:
        command.upgrade(config(database), "head")
        with database.reading() as session:
            faults = [*verify(session)]
    assert [fault for fault in faults if "refers to what is not in organizations" in fault]


@pytest.mark.slow
@SQLITE_FIRST
def test_an_erased_record_is_not_restored_in_part(database: Database) -> None:
    """After an erasure a downgrade restores neither the record nor citations about it; the ledger and the tables still agree."""
    with database.writing() as session:
        retention.erase(session, "initiatives", "sacramento-ca-data-and-analytics-office")
    command.downgrade(config(database), BEFORE)
    command.upgrade(config(database), "head")
    with database.reading() as session:
        assert list(verify(session)) == []
