"""Publication: every change of a record, by any route, is published once."""

import json
from dataclasses import replace

import pytest
from marshmallow import post_dump
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from api.db.database import Database
from api.db.types import Base
from api.ledger import models, publish
from api.ledger.models import Head, Op, Revision
from api.ledger.rendering import rendered
from api.ledger.verify import verify
from api.resources import RESOURCES, SUBJECTS
from api.resources.bases import FactBasis
from api.resources.cities import City
from api.resources.initiatives import InitiativeSchema, initiatives
from api.resources.metrics import InitiativeMetric
from api.schema.canonical import sha256
from tests.support.databases import SQLITE_FIRST, counted, head, publishing
from tests.support.published import LAKE, VISION, Changes, published
from tests.support.tables import fill_if_empty

NOUNS = {resource.name for resource in RESOURCES}
MEASURED = "los-angeles-ca-myla311"


def test_seeds_are_published(database: Database) -> None:
    """After the migration each record has one revision, versions are 1, 2, 3 ..., and the ledger agrees with the tables."""
    with database.reading() as session:
        assert list(verify(session)) == []
        versions = session.scalars(select(Revision.version).order_by(Revision.version)).all()
        assert versions == list(range(1, len(versions) + 1))
        assert session.scalar(select(func.count()).select_from(text("records"))) == len(versions)
        assert session.execute(select(Head.epoch, Head.version)).one() == (0, len(versions))
        for document, digest, kind in session.execute(select(Revision.document, Revision.hash, Revision.kind)):
            assert sha256(json.loads(document or "")) == digest
            assert kind in NOUNS


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["update cities set name = 'San José' where id = 'san-jose-ca'"], [("upsert", "cities", "san-jose-ca")]),
        (["update cities set name = name"], []),
        (
            [
                "update cities set summary = 'x' where id = 'san-jose-ca'",
                "update cities set summary = null where id = 'san-diego-ca'",
            ],
            [("upsert", "cities", "san-jose-ca")],
        ),
        (
            ["insert into priorities (id, name, description) values ('new-one', 'New', 'One.')"],
            [("upsert", "priorities", "new-one")],
        ),
        (
            [
                "insert into priorities (id, name, description) values ('new-one', 'New', 'One.')",
                "delete from priorities where id = 'new-one'",
            ],
            [],
        ),
        (
            ["update initiative_metrics set value = 85 where initiative_id = 'los-angeles-ca-myla311' and position = 0"],
            [("upsert", "initiatives", "los-angeles-ca-myla311")],
        ),
        (
            [f"update initiative_partners set initiative_id = '{LAKE}' where initiative_id = '{VISION}'"],
            [("upsert", "initiatives", LAKE), ("upsert", "initiatives", VISION)],
        ),
        (
            ["delete from survey_priorities where listed = 10"],
            [("upsert", "surveys", "digital-cities-2024"), ("upsert", "priorities", "modernization")],
        ),
        (
            ["delete from survey_competitors where city_id = 'boston-ma'"],
            [("upsert", "surveys", "digital-cities-2024")],
        ),
        (
            ["update organizations set summary = 'Bulk.'"],
            [
                ("upsert", "organizations", id)
                for id in (
                    "amazon-web-services",
                    "california-public-utilities-commission",
                    "center-for-digital-government",
                    "e-republic",
                    "govai-coalition",
                    "industry-insider-california",
                    "sacramento-ca-data-and-analytics-office",
                    "san-diego-ca-chief-information-officer",
                    "san-diego-ca-city-clerk",
                    "san-jose-ca-city-government",
                )
            ],
        ),
    ],
)
def test_raw_sql_is_published(
    database: Database, statements: list[str], expected: list[tuple[str, str, str]], changes: Changes
) -> None:
    """A sweep publishes the records that raw SQL changed, and none that ended as they were."""
    assert changes(database, *statements) == expected


def test_cascade_is_published(database: Database, changes: Changes) -> None:
    """Deleting a record deletes its parts and citations, and each deleted record gets a tombstone."""
    with database.reading() as session:
        citations = session.execute(
            text(
                "select id from citations "
                "where subject_kind = 'initiatives' and subject_id = 'los-angeles-ca-vision-ai' order by id"
            )
        ).scalars()
        expected = [("delete", "initiatives", "los-angeles-ca-vision-ai")] + [("delete", "citations", id) for id in citations]
    assert len(expected) > 5
    assert changes(database, "delete from initiatives where id = 'los-angeles-ca-vision-ai'") == expected


def test_every_column_is_tracked(database: Database) -> None:
    """A change of any column of any table of a noun or of its parts publishes the record that it belongs to."""
    owners = {"survey": "surveys", "initiative": "initiatives", "city": "cities", "organization": "organizations"}
    for table in Base.metadata.sorted_tables:
        kind = table.name if table.name in NOUNS else owners.get(table.name.split("_")[0])
        if kind is None or table.name == "records":
            continue
        owner = "id" if table.name in NOUNS else f"{table.name.split('_')[0]}_id"
        for column in table.c:
            if column.name in {"id", owner}:
                continue
            with database.engine.connect() as connection:
                if table.name not in NOUNS:
                    fill_if_empty(connection, table, {owner: kind})
                row = connection.execute(table.select().limit(1)).mappings().one()
                key = {name: value for name, value in row.items() if name in table.primary_key.columns}
                connection.execute(text("delete from ledger_dirty"))
                connection.execute(
                    update(table).where(*(table.c[name] == value for name, value in key.items())).values({column.name: column})
                )
                noted = set(connection.execute(text("select kind, id from ledger_dirty")))
                connection.rollback()
            assert (kind, row[owner]) in noted, f"{table.name}.{column.name}"


def test_truncate_is_published(database: Database, changes: Changes) -> None:
    """A sweep publishes a TRUNCATE, which fires no row triggers, and SQLite's DELETE without WHERE.

    The records that showed the bases of the citations come first.
    """
    statement = "truncate citations" if database.engine.dialect.name == "postgresql" else "delete from citations"
    with database.reading() as session:
        ids = session.execute(text("select id from citations order by id")).scalars().all()
        showing = {(kind, id) for kind, id in session.execute(select(FactBasis.subject_kind, FactBasis.subject_id))}
    updated = [("upsert", noun.name, id) for noun in SUBJECTS for id in sorted(id for kind, id in showing if kind == noun.name)]
    assert changes(database, statement) == [*updated, *(("delete", "citations", id) for id in ids)]


def test_replace_is_published(database: Database, changes: Changes) -> None:
    """A row that a raw statement replaces is published, whether it is updated in place or deleted and inserted."""
    row = "insert into priorities (id, name, description) values ('cybersecurity', 'Cybersecurity', 'Replaced.')"
    conflict = " on conflict (id) do update set description = excluded.description"
    assert changes(database, row + conflict) == [("upsert", "priorities", "cybersecurity")]


def test_ids_never_change(database: Database, changes: Changes) -> None:
    """The database refuses to change a record's id, and an id that is no slug, by any route."""
    bad = ["update cities set id = 'elsewhere-ca' where id = 'boston-ma'"]
    bad += [
        f"insert into priorities (id, name, description) values ('{id}', 'x', 'x')"
        for id in ("", "Upper", "a--b", "-a", "a-", "a b", "é", "a" * 201)
    ]
    for statement in bad:
        with pytest.raises(IntegrityError), database.engine.begin() as connection:
            connection.execute(text(statement))
    assert changes(database, "select 1") == []


def test_citation_needs_its_subject(database: Database) -> None:
    """A citation of a record that does not exist is refused by the database."""
    statement = "update citations set subject_id = 'nowhere' where id = (select min(id) from citations)"
    with pytest.raises(IntegrityError), database.engine.begin() as connection:
        connection.execute(text(statement))


def test_writing_publishes_and_commits_together(database: Database) -> None:
    """A block that raises leaves neither change nor revision; one that succeeds leaves both, with its reason."""
    before = head(database)
    with pytest.raises(ZeroDivisionError), publishing(database) as session:  # noqa: PT012 - the block is what is tested
        session.execute(update(City).where(City.id == "boston-ma").values(summary="Never."))
        raise ZeroDivisionError
    assert head(database) == before
    with publishing(database, reason="a test") as session:
        session.execute(update(City).where(City.id == "boston-ma").values(summary="Once."))
        session.add(
            InitiativeMetric(initiative_id="los-angeles-ca-myla311", position=9, name="x", value=0.5, unit="x", kind="count")
        )
    with database.reading() as session:
        rows = session.execute(
            select(Revision.kind, Revision.reason, Revision.commit_version, Revision.document).where(Revision.version > before)
        ).all()
        assert [(kind, reason, commit - before) for kind, reason, commit, _ in rows] == [
            ("cities", "a test", 1),
            ("initiatives", "a test", 1),
        ]
        assert json.loads(rows[1].document or "")["metrics"][-1] == {
            "name": "x",
            "value": 0.5,
            "unit": "x",
            "kind": "count",
            "qualifier": None,
            "direction": None,
            "period": None,
            "as_of": None,
        }
        assert list(verify(session)) == []


def test_stale_object_is_not_published(database: Database) -> None:
    """Publication reads the database, not the session's stale objects."""
    with publishing(database) as session:
        city = session.get_one(City, "boston-ma")
        session.execute(text("update cities set summary = 'By another route.' where id = 'boston-ma'"))
        city.name = "Boston (MA)"
    with database.reading() as session:
        document = session.execute(
            select(Revision.document).where(
                Revision.kind == "cities", Revision.id == "boston-ma", Revision.superseded.is_(None)
            )
        ).scalar_one()
        assert json.loads(document or "").items() >= {"name": "Boston (MA)", "summary": "By another route."}.items()


def test_clock_never_runs_backwards(database: Database) -> None:
    """A writer whose clock is behind publishes with the ledger's newest time."""
    with database.writing() as session:
        session.execute(text("update ledger_head set changed_at = '2999-01-01 00:00:00.000000'"))
    with publishing(database) as session:
        session.execute(update(City).where(City.id == "boston-ma").values(summary="Later."))
    with database.reading() as session:
        document = session.execute(select(Revision.document).order_by(Revision.version.desc()).limit(1)).scalar_one()
        assert json.loads(document or "")["updated_at"].startswith("2999-01-01T00:00:00")


def test_delete_and_return(database: Database, changes: Changes) -> None:
    """A record that is deleted and restored has three revisions, each superseded by the next."""
    insertion = "insert into priorities (id, name, description) values ('back', 'Back', 'Again.')"
    for statement in (insertion, "delete from priorities where id = 'back'", insertion):
        changes(database, statement)
    with database.reading() as session:
        rows = session.execute(select(Revision).where(Revision.id == "back").order_by(Revision.version)).scalars().all()
        assert [row.op for row in rows] == [Op.UPSERT, Op.DELETE, Op.UPSERT]
        assert [row.superseded for row in rows] == [rows[1].version, rows[2].version, None]
        assert (rows[1].document, rows[1].hash) == (None, None)
        assert rows[0].hash == rows[2].hash


@SQLITE_FIRST
def test_many_records_at_once(database: Database) -> None:
    """A commit with more records than one batch has dense versions."""
    before = head(database)
    amount = models.BATCH * 2 + 1
    with publishing(database) as session:
        session.execute(
            text("insert into priorities (id, name, description) values (:id, :id, 'Many.')"),
            [{"id": f"many-{n:05}"} for n in range(amount)],
        )
    with database.reading() as session:
        versions = session.scalars(select(Revision.version).where(Revision.version > before).order_by(Revision.version)).all()
        assert versions == list(range(before + 1, before + amount + 1))
        assert session.scalars(select(Revision.commit_version).where(Revision.version > before).distinct()).all() == [
            before + 1
        ]
        assert list(verify(session)) == []


@pytest.mark.parametrize("notes", [1, 2, 7])
def test_notes_are_read_in_pieces(database: Database, monkeypatch: pytest.MonkeyPatch, notes: int) -> None:
    """Notes in many pieces make one commit with each record once; what cannot be published is noted again, once."""
    monkeypatch.setattr(publish, "NOTES", notes)
    before = head(database)
    with database.engine.begin() as connection:
        connection.execute(text(f"update initiatives set started = '9999-99' where id = '{LAKE}'"))
        for summary in ("One.", "Two."):
            connection.execute(text("update cities set summary = :summary"), {"summary": summary})
    publication = publish.sweep(database)
    assert (publication.revisions, len(publication.refused)) == (6, 1)
    with database.reading() as session:
        ids = session.scalars(select(Revision.id).where(Revision.version > before)).all()
        assert sorted(ids) == sorted(session.scalars(text("select id from cities")))
        assert session.scalars(select(Revision.commit_version).where(Revision.version > before).distinct()).all() == [
            before + 1
        ]
        assert session.execute(select(models.Dirty.kind, models.Dirty.id)).all() == [("initiatives", LAKE)]


def test_publication_costs_the_same_queries(database: Database) -> None:
    """Publishing fifty records takes the same number of SELECTs as publishing one."""
    counts = []
    for ids in (["q-0"], [f"q-{n}" for n in range(1, 51)]):
        with counted(database) as selects, publishing(database) as session:
            session.execute(
                text("insert into priorities (id, name, description) values (:id, :id, 'x')"), [{"id": id} for id in ids]
            )
        counts.append(len(selects))
    assert counts[0] == counts[1] > 0


def test_unmanaged_delete(database: Database) -> None:
    """A bulk delete by the ORM's statements is in the ledger, as raw SQL is."""
    before = head(database)
    with publishing(database) as session:
        session.execute(delete(InitiativeMetric).where(InitiativeMetric.unit == "USD"))
    with database.reading() as session:
        assert published(session, before) == [
            ("upsert", "initiatives", "sacramento-ca-high-speed-internet"),
            ("upsert", "initiatives", "san-diego-ca-ai-pilots-2025"),
        ]


def test_unrendered_record_stops_nobody(database: Database, changes: Changes) -> None:
    """A record that raw SQL made invalid is named, keeps its published state, and can be repaired later."""
    before = head(database)
    bad, good = (
        "update initiatives set started = '9999-99' where id = :id",
        "update cities set summary = 'Fine.' where id = 'boston-ma'",
    )
    with database.engine.begin() as connection:
        connection.execute(text(bad), {"id": LAKE})
        connection.execute(text(good))
    publication = publish.sweep(database)
    assert publication.version == before + 1
    (complaint,) = publication.refused
    assert complaint.startswith(f"initiatives/{LAKE}: can't be published: ")
    with database.reading() as session:
        assert published(session, before) == [("upsert", "cities", "boston-ma")]
        assert complaint in list(verify(session))
    assert changes(database, f"update initiatives set started = '1999' where id = '{LAKE}'") == [
        ("upsert", "initiatives", LAKE)
    ]


@pytest.mark.parametrize("value", ["x'ff'", "cast(x'ff' as text)", "'in doubt'"])
def test_unreadable_record_stops_nobody(database: Database, value: str) -> None:
    """A value of the wrong type in SQLite is named; PostgreSQL refuses it at once."""
    statement = text(f"update initiatives set status = {value} where id = '{LAKE}'")
    if database.engine.dialect.name == "postgresql":
        with pytest.raises(DBAPIError), database.engine.begin() as connection:
            connection.execute(statement)
        return
    with database.engine.begin() as connection:
        connection.exec_driver_sql("pragma ignore_check_constraints = on")
        connection.execute(statement)
        connection.execute(text("update cities set summary = 'Fine.' where id = 'boston-ma'"))
        connection.exec_driver_sql("pragma ignore_check_constraints = off")
    publication = publish.sweep(database)
    assert publication.revisions == 1
    assert [complaint.split(":")[0] for complaint in publication.refused] == [f"initiatives/{LAKE}"]


@pytest.mark.parametrize("bug", [ValueError, TypeError, KeyError])
def test_bug_in_rendering_is_no_fault_of_a_record(database: Database, bug: type[Exception]) -> None:
    """A bug in our rendering is raised; the control: a value that raw SQL broke is reported as its record's fault."""

    class BuggySchema(InitiativeSchema):
        @post_dump
        def fail(self, _data: object, **_: object) -> None:
            raise bug("a bug")

    buggy = replace(initiatives, schema=BuggySchema)
    with database.reading() as session, pytest.raises(bug, match="a bug"):
        rendered(session, buggy, [LAKE])
    if database.engine.dialect.name == "postgresql":
        return
    with database.engine.begin() as connection:
        connection.exec_driver_sql("pragma ignore_check_constraints = on")
        connection.exec_driver_sql("update initiative_metrics set value = 'much' where initiative_id = :id", {"id": MEASURED})
        connection.exec_driver_sql("pragma ignore_check_constraints = off")
    with database.reading() as session:
        now = rendered(session, initiatives, [LAKE, MEASURED])
    reason = "could not convert string to float: 'much'"
    assert list(now.contents) == [LAKE]
    assert now.refused == {MEASURED: f"initiatives/{MEASURED}: can't be published: {reason}"}


def test_notes_of_a_newer_release_are_kept(database: Database) -> None:
    """A process that does not know a noun yet leaves its notes to one that does."""
    with database.engine.begin() as connection:
        connection.execute(text("insert into ledger_dirty (kind, id) values ('newcomers', 'one')"))
    publish.sweep(database)
    with database.reading() as session:
        assert session.execute(text("select kind, id from ledger_dirty")).all() == [("newcomers", "one")]


def test_whole_numbers_are_whole(database: Database) -> None:
    """An integer column refuses text and fractions, on SQLite too."""
    # PostgreSQL's integers round a fraction, so only SQLite has to refuse it.
    for value in ("'first'", "0", *(["1.5"] if database.engine.dialect.name == "sqlite" else [])):
        with pytest.raises(DBAPIError), database.engine.begin() as connection:
            connection.execute(text(f"update awards set rank = {value}"))
