"""The ledger: whatever changes a record, by whatever route, is published once, in commit order."""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import pytest
from marshmallow import post_dump
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.types import Base
from api.ledger import models, publish
from api.ledger.models import Head, Op, Revision
from api.ledger.rendering import publishable
from api.ledger.verify import verify
from api.resources import RESOURCES
from api.resources.cities import City
from api.resources.initiatives import Initiative, InitiativeMetric, InitiativeSchema, initiatives
from api.schema.canonical import content_sha256
from api.settings import Settings
from tests.support.databases import counted, opened, publishing

NOUNS = {resource.name for resource in RESOURCES}
LAKE, VISION = "los-angeles-ca-data-lake", "los-angeles-ca-vision-ai"
MEASURED = "los-angeles-ca-myla311"


def published(session: Session, since: int) -> list[tuple[str, str, str]]:
    """Return what was published after a version, in order."""
    rows = session.execute(
        select(Revision.op, Revision.kind, Revision.id).where(Revision.version > since).order_by(Revision.version)
    )
    return [(row.op.value, row.kind, row.id) for row in rows]


def head(database: Database) -> int:
    """Return the version that the dataset is at."""
    with database.reading() as session:
        return session.execute(select(Head.version)).scalar_one()


def changes(database: Database, *statements: str) -> list[tuple[str, str, str]]:
    """Run SQL past the application, sweep, and return what that published; the ledger must then agree."""
    before = head(database)
    with database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    publish.sweep(database)
    with database.reading() as session:
        assert list(verify(session)) == []
        return published(session, before)


def test_seeds_are_published(database: Database) -> None:
    """After the migration each record has one revision, versions are 1, 2, 3 ..., and the ledger agrees with the tables."""
    with database.reading() as session:
        assert list(verify(session)) == []
        versions = session.scalars(select(Revision.version).order_by(Revision.version)).all()
        assert versions == list(range(1, len(versions) + 1))
        assert session.scalar(select(func.count()).select_from(text("records"))) == len(versions)
        assert session.execute(select(Head.epoch, Head.version)).one() == (0, len(versions))
        for document, digest, kind in session.execute(select(Revision.document, Revision.hash, Revision.kind)):
            assert content_sha256(json.loads(document or "")) == digest
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
            ["delete from survey_priorities where place = 10"],
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
                )
            ],
        ),
    ],
)
def test_raw_sql_is_published(database: Database, statements: list[str], expected: list[tuple[str, str, str]]) -> None:
    """Raw SQL is in the ledger after a sweep: what differs is published, what came out the same is not."""
    assert changes(database, *statements) == expected


def test_cascade_is_published(database: Database) -> None:
    """Deleting a record deletes its parts and its citations, and each of those that is a record gets its tombstone."""
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
    owners = {"survey": "surveys", "initiative": "initiatives"}
    for table in Base.metadata.sorted_tables:
        kind = table.name if table.name in NOUNS else owners.get(table.name.split("_")[0])
        if kind is None or table.name == "records":
            continue
        owner = "id" if table.name in NOUNS else f"{table.name.split('_')[0]}_id"
        for column in table.c:
            if column.name in {"id", owner}:
                continue
            with database.engine.connect() as connection:
                key = {
                    name: value
                    for name, value in connection.execute(table.select().limit(1)).mappings().one().items()
                    if name in table.primary_key.columns
                }
                connection.execute(text("delete from ledger_dirty"))
                connection.execute(
                    update(table).where(*(table.c[name] == value for name, value in key.items())).values({column.name: column})
                )
                noted = set(connection.execute(text("select kind, id from ledger_dirty")))
                connection.rollback()
            assert (kind, key[owner]) in noted, f"{table.name}.{column.name}"


def test_truncate_is_published(database: Database) -> None:
    """TRUNCATE, which fires no row triggers, is in the ledger too; SQLite's DELETE without WHERE is the same there."""
    statement = "truncate citations" if database.engine.dialect.name == "postgresql" else "delete from citations"
    with database.reading() as session:
        ids = session.execute(text("select id from citations order by id")).scalars().all()
    assert changes(database, statement) == [("delete", "citations", id) for id in ids]


def test_replace_is_published(database: Database) -> None:
    """A row that a raw statement replaces is published, whether it is updated in place or deleted and inserted."""
    row = "insert into priorities (id, name, description) values ('cybersecurity', 'Cybersecurity', 'Replaced.')"
    conflict = " on conflict (id) do update set description = excluded.description"
    assert changes(database, row + conflict) == [("upsert", "priorities", "cybersecurity")]


def test_ids_never_change(database: Database) -> None:
    """The database itself refuses to change a record's id, or to take one that is no slug, by whatever route."""
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
    """A block that raises leaves neither the change nor a revision; one that ends well leaves both, with its reason."""
    before = head(database)
    with pytest.raises(ZeroDivisionError), publishing(database) as session:  # noqa: PT012 - the block is what is tested
        session.execute(update(City).where(City.id == "boston-ma").values(summary="Never."))
        raise ZeroDivisionError
    assert head(database) == before
    with publishing(database, reason="a test") as session:
        session.execute(update(City).where(City.id == "boston-ma").values(summary="Once."))
        session.add(
            InitiativeMetric(
                initiative_id="los-angeles-ca-myla311", position=9, name="x", value=0.5, unit="x", qualifier="exactly"
            )
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
            "qualifier": "exactly",
            "as_of": None,
        }
        assert list(verify(session)) == []


def test_stale_object_is_not_published(database: Database) -> None:
    """What is published is what the database holds, not what a session remembers of it."""
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
    """A writer whose clock is behind publishes with the time of the ledger."""
    with database.writing() as session:
        session.execute(text("update ledger_head set changed_at = '2999-01-01 00:00:00.000000'"))
    with publishing(database) as session:
        session.execute(update(City).where(City.id == "boston-ma").values(summary="Later."))
    with database.reading() as session:
        document = session.execute(select(Revision.document).order_by(Revision.version.desc()).limit(1)).scalar_one()
        assert json.loads(document or "")["updated_at"].startswith("2999-01-01T00:00:00")


def test_delete_and_return(database: Database) -> None:
    """A record that is deleted and comes back has three revisions, each superseded by the next."""
    insertion = "insert into priorities (id, name, description) values ('back', 'Back', 'Again.')"
    for statement in (insertion, "delete from priorities where id = 'back'", insertion):
        changes(database, statement)
    with database.reading() as session:
        rows = session.execute(select(Revision).where(Revision.id == "back").order_by(Revision.version)).scalars().all()
        assert [row.op for row in rows] == [Op.UPSERT, Op.DELETE, Op.UPSERT]
        assert [row.superseded for row in rows] == [rows[1].version, rows[2].version, None]
        assert (rows[1].document, rows[1].hash) == (None, None)
        assert rows[0].hash == rows[2].hash


def test_many_records_at_once(database: Database) -> None:
    """A commit that changes more records than a batch holds is one commit with dense versions."""
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


WRITERS, WRITES = 8, 15


def race(database: Database, write: Callable[[int], None], poll: Callable[[], list[int]]) -> tuple[list[int], list[int]]:
    """Let writers and a poller loose; returns what the poller saw by asking for what is new, and what there was in the end."""
    seen: list[int] = []
    done = threading.Event()
    start = threading.Barrier(WRITERS + 1)

    def writer(number: int) -> None:
        start.wait()
        for n in range(WRITES):
            write(number * WRITES + n)

    def poller() -> None:
        start.wait()
        while not done.is_set():
            seen.extend(poll())
        seen.extend(poll())

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        polling = pool.submit(poller)
        for future in [pool.submit(writer, number) for number in range(WRITERS)]:
            future.result()
        done.set()
        polling.result()
    with database.reading() as session:
        return seen, list(session.scalars(select(Revision.version).order_by(Revision.version)))


@pytest.fixture
def racing(settings: Settings) -> Iterator[Database]:
    """A database with a connection for every thread of a race."""
    with opened(Settings(database_url=settings.database_url, pool_size=WRITERS + 2, lock_timeout=60)) as database:
        yield database


def test_no_change_is_missed(racing: Database) -> None:
    """With 8 writers, a poller that asks for what is above its last version sees every version, once, without a gap."""
    last = first = head(racing)

    def write(number: int) -> None:
        with publishing(racing) as session:
            session.execute(
                text("insert into priorities (id, name, description) values (:id, :id, 'Raced.')"), {"id": f"race-{number}"}
            )
            # The races that matter: writers who also change one and the same record.
            session.execute(
                update(Initiative).where(Initiative.id == "los-angeles-ca-myla311").values(summary=f"Raced by {number}.")
            )

    def poll() -> list[int]:
        nonlocal last
        with racing.reading() as session:
            new = list(session.scalars(select(Revision.version).where(Revision.version > last).order_by(Revision.version)))
        last = new[-1] if new else last
        return new

    seen, there = race(racing, write, poll)
    assert seen == list(range(first + 1, first + 2 * WRITERS * WRITES + 1))
    assert there == list(range(1, seen[-1] + 1))
    with racing.reading() as session:
        assert list(verify(session)) == []


def test_control_plain_sequence_misses_changes(racing: Database) -> None:
    """The control: the same race on numbers that are taken before the commit loses some, so the race is one."""
    with racing.engine.begin() as connection:
        connection.execute(text("create table control (id integer primary key)"))
    numbers, overtaken = count(1), threading.Event()
    last = 0

    def write(_number: int) -> None:
        mine = next(numbers)
        if mine == 1:
            # Who comes first may well commit later than somebody else: here it does.
            overtaken.wait(30)
        with racing.engine.begin() as connection:
            connection.execute(text("insert into control (id) values (:id)"), {"id": mine})

    def poll() -> list[int]:
        nonlocal last
        with racing.reading() as session:
            new = list(session.scalars(text("select id from control where id > :last order by id"), {"last": last}))
        last = new[-1] if new else last
        if new:
            overtaken.set()
        return new

    seen, _ = race(racing, write, poll)
    with racing.reading() as session:
        there = set(session.scalars(text("select id from control")))
    assert len(there) == WRITERS * WRITES
    assert there - set(seen), "the poller missed nothing: this race proves nothing"


def test_writer_waits_for_the_head(racing: Database) -> None:
    """A second writer can't publish while a first has published and not committed: nobody sees 2 before 1."""
    before = head(racing)
    entered, release = threading.Event(), threading.Event()

    def first() -> None:
        with publishing(racing) as session:
            session.execute(text("insert into priorities (id, name, description) values ('first', 'first', 'x')"))
            publish.publish(session)
            entered.set()
            release.wait(30)

    def second() -> None:
        with publishing(racing) as session:
            session.execute(text("insert into priorities (id, name, description) values ('second', 'second', 'x')"))

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert entered.wait(30)
        two = pool.submit(second)
        with pytest.raises(TimeoutError):
            two.result(0.3)
        assert head(racing) == before
        release.set()
        one.result(30)
        two.result(30)
    with racing.reading() as session:
        assert published(session, before) == [("upsert", "priorities", "first"), ("upsert", "priorities", "second")]


TAMPERING = {
    "document": (
        "update revision set document = replace(document, 'San Diego', 'San Diegx') where id = 'san-diego-ca'",
        "cities/san-diego-ca: the stored bytes",
    ),
    "hash": ("update revision set hash = 'x' where id = 'san-diego-ca'", "cities/san-diego-ca: the document of version"),
    "gap": ("delete from revision where version = 3", "epoch 0: "),
    "head": ("update ledger_head set version = version + 1", "the head is at version"),
    "superseded": ("update revision set superseded = 100000 where version = 1", "version 1: not superseded by"),
    "unpublished": (
        "insert into priorities (id, name, description) values ('x', 'x', 'x')",
        "changes noted but not published: 1;",
    ),
}


def test_verify_reads_the_past(database: Database) -> None:
    """`verify` rehashes superseded documents too, and checks which commit each revision says it is of."""
    before = head(database)
    changes(database, "update cities set summary = 'One.' where id = 'boston-ma'")
    changes(database, "update cities set summary = 'Two.' where id = 'boston-ma'")
    with database.engine.begin() as connection:
        connection.execute(
            text(f"update revision set document = replace(document, 'One.', 'Won.') where version = {before + 1}")
        )
        connection.execute(text(f"update revision set commit_version = {before + 1} where version = {before + 2}"))
        connection.execute(text("update revision set commit_version = 2 where version = 3"))
    with database.reading() as session:
        assert sorted(verify(session)) == [
            "commit 1: its versions do not begin with it, or are not dense",
            "commit 2: its versions do not begin with it, or are not dense",
            f"version {before + 1}: the stored document is not what was published",
        ]


@pytest.mark.parametrize("name", TAMPERING)
def test_verify_finds(database: Database, name: str) -> None:
    """`verify` names each way in which ledger and tables can disagree."""
    statement, expected = TAMPERING[name]
    with database.engine.begin() as connection:
        connection.execute(text(statement))
    with database.reading() as session:
        complaints = list(verify(session))
    assert any(complaint.startswith(expected) for complaint in complaints), complaints


def test_verify_finds_lost_notes(database: Database) -> None:
    """A change whose note is lost is found by recomputing: changed, missing and extra records alike."""
    with database.engine.begin() as connection:
        connection.execute(text("update cities set summary = 'x' where id = 'boston-ma'"))
        connection.execute(text("insert into priorities (id, name, description) values ('extra', 'x', 'x')"))
        connection.execute(text("delete from citations where id = (select min(id) from citations)"))
        connection.execute(text("delete from ledger_dirty"))
    with database.reading() as session:
        complaints = [complaint.split(":")[1].strip() for complaint in verify(session)]
    assert Counter(complaint.split(" of version")[0] for complaint in complaints) == Counter(
        ["the document", "in the table, but not published", "published, but not in the table"]
    )


def test_publication_costs_the_same_queries(database: Database) -> None:
    """Publishing fifty records takes as many SELECTs as publishing one."""
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


def test_unpublishable_record_stops_nobody(database: Database) -> None:
    """A record that raw SQL made into what its schema forbids is named, kept as it was published, and mended later."""
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
    """What SQLite lets into a column although its type can't be read back is named; PostgreSQL refuses it at once."""
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
    """A bug in our own rendering is raised; the control: a value that raw SQL broke is told, as its record's fault."""

    class BuggySchema(InitiativeSchema):
        @post_dump
        def fail(self, _data: object, **_: object) -> None:
            raise bug("a bug")

    buggy = replace(initiatives, schema=BuggySchema)
    with database.reading() as session, pytest.raises(bug, match="a bug"):
        publishable(session, buggy, [LAKE])
    if database.engine.dialect.name == "postgresql":
        return
    with database.engine.begin() as connection:
        connection.exec_driver_sql("pragma ignore_check_constraints = on")
        connection.exec_driver_sql("update initiative_metrics set value = 'much' where initiative_id = :id", {"id": MEASURED})
        connection.exec_driver_sql("pragma ignore_check_constraints = off")
    with database.reading() as session:
        contents, refused = publishable(session, initiatives, [LAKE, MEASURED])
    reason = "could not convert string to float: 'much'"
    assert list(contents) == [LAKE]
    assert refused == {MEASURED: f"initiatives/{MEASURED}: can't be published: {reason}"}


def test_notes_of_a_newer_release_are_kept(database: Database) -> None:
    """A process that does not know a noun yet leaves its notes to one that does."""
    with database.engine.begin() as connection:
        connection.execute(text("insert into ledger_dirty (kind, id) values ('newcomers', 'one')"))
    publish.sweep(database)
    with database.reading() as session:
        assert session.execute(text("select kind, id from ledger_dirty")).all() == [("newcomers", "one")]


def test_verify_finds_broken_references(database: Database) -> None:
    """What a program with foreign keys off leaves behind is found; PostgreSQL has no such programs."""
    if database.engine.dialect.name == "postgresql":
        with pytest.raises(IntegrityError), database.engine.begin() as connection:
            connection.execute(text("delete from cities where id = 'boston-ma'"))
        return
    raw = sqlite3.connect(database.settings.sqlalchemy_url.database or "")
    with raw:
        raw.execute(f"delete from initiatives where id = '{VISION}'")
    raw.close()
    publish.sweep(database)
    with database.reading() as session:
        complaints = list(verify(session))
    assert {complaint.split(",")[0] for complaint in complaints} == {
        "citations",
        "initiative_awards",
        "initiative_partners",
        "initiative_priorities",
    }


def test_whole_numbers_are_whole(database: Database) -> None:
    """A column of whole numbers takes neither text nor a fraction, on SQLite either."""
    # PostgreSQL's integers round a fraction, so only SQLite has to refuse it.
    for value in ("'first'", "0", *(["1.5"] if database.engine.dialect.name == "sqlite" else [])):
        with pytest.raises(DBAPIError), database.engine.begin() as connection:
            connection.execute(text(f"update awards set rank = {value}"))
