"""`ledger`: verify finds tampering, sweep publishes raw SQL; trim, erase and a new epoch."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from api.db.database import Database
from api.ledger.models import CURRENT, Revision
from api.settings import ROOT, Settings
from tests.support.answers import ANY
from tests.support.applications import curating, serving
from tests.support.databases import SQLITE_FIRST, head
from tests.support.editions import SEEDED
from tests.support.lengths import Sample, few
from tests.support.processes import Run


def revision_of(database: Database, kind: str, id: str) -> int:
    """Return the version of a record."""
    with database.reading() as session:
        return session.scalars(select(Revision.version).where(Revision.kind == kind, Revision.id == id, *CURRENT)).one()


def test_verify_agrees(run: Run) -> None:
    """A fresh database is verified with one line and status 0."""
    assert run("ledger", "verify") == (0, ["The ledger and the tables agree."])


def test_raw_sql_is_swept(run: Run, database: Database) -> None:
    """`verify` lists changes by raw SQL with status 1, until `sweep` has published them."""
    version, last = revision_of(database, "cities", "boston-ma"), head(database)
    with database.writing() as session:
        session.execute(text("update cities set summary = 'By hand.' where id = 'boston-ma'"))
        session.execute(text("insert into priorities (id, name, description) values ('zz-new', 'New', 'Made by hand.')"))
    status, lines = run("ledger", "verify")
    # An update notes its record twice: as it was, and as it is.
    assert (status, lines) == (
        1,
        [
            "changes noted but not published: 3; run `flask --app wsgi ledger sweep`",
            f"cities/boston-ma: the document of version {version} is not what the table says",
            "priorities/zz-new: in the table, but not published",
            "Error: differences: 3",
        ],
    )
    assert run("ledger", "sweep") == (0, [f"Changes published: 2; the dataset is at version {last + 2}."])
    assert run("ledger", "verify") == (0, ["The ledger and the tables agree."])
    assert run("ledger", "sweep") == (0, [f"Changes published: 0; the dataset is at version {last + 2}."])


def test_a_broken_rule_is_a_difference(run: Run, database: Database) -> None:
    """`verify` also lists the records that no request could write, with status 1."""
    with database.writing() as session:
        session.execute(text("update cities set name = 'Boston ' where id = 'boston-ma'"))
    assert run("ledger", "sweep")[0] == 0
    line = 'cities/boston-ma, name: Stored as "Boston ", which is written "Boston". Correct it with `PATCH /cities/boston-ma`.'
    assert run("ledger", "verify") == (1, [line, "Error: differences: 1"])


# By kind of tampering: the statement, and the lines that name it.
TAMPERED: dict[str, tuple[str, list[str]]] = {
    "document": (
        "update revision set document = replace(document, 'Boston', 'Bostom') where version = {version}",
        [
            "version {version}: the stored document is not what was published",
            "cities/boston-ma: the stored bytes of version {version} are not its document's",
            'cities, q "bostom": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, q "boston": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
        ],
    ),
    "hash": (
        "update revision set hash = replace(hash, substr(hash, 1, 4), 'zzzz') where version = {version}",
        ["cities/boston-ma: the document of version {version} is not what the table says"],
    ),
    "time": (
        "update revision set changed_at = '2001-01-01 00:00:00.000000' where version = {version}",
        [
            "version {version}: the chain is broken",
            "cities/boston-ma: the stored bytes of version {version} are not its document's",
        ],
    ),
    "leaf": (
        "update revision set leaf = chain where version = {version}",
        [
            "version {version}: the stored document is not what was published",
            "version {version}: the chain is broken",
            "digest, node cities/: it is not that of its records; run `flask --app wsgi ledger reindex`",
        ],
    ),
    "chain": (
        "update revision set chain = leaf where version = {version}",
        ["version {version}: the chain is broken", "version {next}: the chain is broken"],
    ),
    "bucket": (
        "update revision set bucket = 0 where version = {version}",
        [
            "version {version}: not in the part of its record",
        ],
    ),
    "digest": (
        "update digest_node set records = 2 where path = 'cities/'",
        ["digest, node cities/: it is not that of its records; run `flask --app wsgi ledger reindex`"],
    ),
    "head's chain": (
        "update ledger_head set chain = (select leaf from revision where version = 1)",
        ["the head's chain is not that of the last revision"],
    ),
    "gap": (
        "delete from revision where version = {version}",
        [
            "epoch 0: {fewer} revisions between version 1 and {last}: not dense",
            "commit 1: its versions do not begin with it, or are not dense",
            "version {next}: the chain is broken",
            "cities/boston-ma: in the table, but not published",
            "citations: in feeds of other cities or surveys than the tables say; run `flask --app wsgi ledger reindex`",
            "version {version}: in the search index, but not current; run `flask --app wsgi ledger reindex`",
            'cities, country "US": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, q "boston": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, state "MA": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            "digest, node cities/: it is not that of its records; run `flask --app wsgi ledger reindex`",
        ],
    ),
    "superseded": (
        "update revision set superseded = {last} + 1 where version = {version}",
        [
            "version {version}: not superseded by its record's next revision",
            "cities/boston-ma: in the table, but not published",
            "citations: in feeds of other cities or surveys than the tables say; run `flask --app wsgi ledger reindex`",
            "version {version}: in the search index, but not current; run `flask --app wsgi ledger reindex`",
            'cities, country "US": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, q "boston": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            'cities, state "MA": its set in the bitmap index differs from its records; run `flask --app wsgi ledger reindex`',
            "digest, node cities/: it is not that of its records; run `flask --app wsgi ledger reindex`",
        ],
    ),
    "scope": (
        "delete from revision_scope where version = {version} and kind = 'cities'",
        [
            "cities: in feeds of other cities or surveys than the tables say; run `flask --app wsgi ledger reindex`",
            "citations: in feeds of other cities or surveys than the tables say; run `flask --app wsgi ledger reindex`",
        ],
    ),
    "head": (
        "update ledger_head set version = version + 1",
        [
            "the head is at version {more}, the last revision at {last}",
            "the bitmap index is behind, and not used; run `flask --app wsgi ledger reindex`",
            "the digest is at version {last}; the next write stores what an older release has published since",
        ],
    ),
    "lost note": (
        "delete from ledger_dirty",
        ["cities/boston-ma: the document of version {version} is not what the table says"],
    ),
}


@SQLITE_FIRST
@pytest.mark.parametrize("tampered", few(TAMPERED, "document", "chain", "lost note"))
def test_tampering_is_found(run: Run, database: Database, tampered: str) -> None:
    """`verify` names every manual change of the ledger, with status 1."""
    statement, expected = TAMPERED[tampered]
    last = head(database)
    version = revision_of(database, "cities", "boston-ma")
    values = {"version": version, "next": version + 1, "last": last, "fewer": last - 1, "more": last + 1}
    with database.writing() as session:
        if tampered == "lost note":
            session.execute(text("update cities set summary = 'By hand.' where id = 'boston-ma'"))
        session.execute(text(statement.format(**values)))
    lines = [line.format(**values) for line in expected]
    assert run("ledger", "verify") == (1, [*lines, f"Error: differences: {len(lines)}"])


def test_sweep_names_what_it_can_not_publish(run: Run, database: Database) -> None:
    """`sweep` names a record that its schema forbids, with status 1, and publishes the rest."""
    last = head(database)
    with database.engine.begin() as connection:
        connection.execute(text("update cities set summary = 'Fine.' where id = 'boston-ma'"))
        connection.execute(text("update initiatives set started = '9999-99' where id = 'los-angeles-ca-myla311'"))
    status, lines = run("ledger", "sweep")
    assert (status, lines[0], lines[-1]) == (
        1,
        f"Changes published: 1; the dataset is at version {last + 1}.",
        "Error: differences: 1",
    )
    assert lines[1].startswith("initiatives/los-angeles-ca-myla311: can't be published: ")


def test_sweep_of_a_locked_ledger(settings: Settings, database: Database) -> None:
    """When another writer holds the ledger for too long, the command says so in one line."""
    with serving(replace(settings, lock_timeout=1)) as app, database.engine.connect() as connection:
        connection.execute(text("update ledger_head set one = 1"))
        result = app.test_cli_runner().invoke(args=["ledger", "sweep"])
        connection.rollback()
    assert (result.exit_code, result.output) == (1, "Error: The database is locked by another writer: try again.\n")


@SQLITE_FIRST
def test_looking_publishes_nothing(settings: Settings, database: Database, sample: Sample) -> None:
    """Only an upgrade publishes: asking alembic where a database stands leaves raw changes to `ledger sweep`."""
    last = head(database)
    with database.engine.begin() as connection:
        connection.execute(text("update cities set summary = 'Raw.' where id = 'boston-ma'"))
    environment = {**os.environ, "DATABASE_URL": settings.database_url}
    for command in sample(("current", "check", "upgrade head"), 1):
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *command.split()],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert head(database) == last


def test_new_epoch(run: Run, settings: Settings, database: Database) -> None:
    """A new epoch is announced with its first version, which the next write gets."""
    said = "Epoch 1 has begun: its first version is 1000000000001. Clients that saw lost versions are told so."
    assert run("ledger", "new-epoch") == (0, [said])
    assert head(database) == SEEDED
    with serving(settings) as app:
        answer = curating(app.test_client(), database).patch("/cities/boston-ma", json={"summary": "New."}, headers=ANY)
    assert answer.get_json()["data"]["version"] == head(database) == 10**12 + 1
    assert run("ledger", "verify")[0] == 0


def test_trim(run: Run, settings: Settings, database: Database) -> None:
    """Trimming removes documents superseded longer ago than the given time, and prints their number."""
    with serving(settings) as app:
        curator = curating(app.test_client(), database)
        for summary in ("One.", "Two."):
            curator.patch("/cities/boston-ma", json={"summary": summary}, headers=ANY)
    assert run("ledger", "trim", "--older-than", "1d") == (0, ["Documents removed: 0."])
    assert run("ledger", "trim", "--older-than", "0d") == (0, ["Documents removed: 2."])
    assert run("ledger", "trim", "--older-than", "0d") == (0, ["Documents removed: 0."])
    assert run("ledger", "verify")[0] == 0
    for wrong in ("365", "-1d", "yesterday"):
        status, said = run("ledger", "trim", "--older-than", wrong)
        assert (status, said[-1]) == (
            2,
            f"Error: Invalid value for '--older-than': {wrong!r} is not a number of days, such as 365d",
        )


def test_erase(run: Run, settings: Settings, database: Database) -> None:
    """Erasing removes the past of one record and keeps its current document; a deleted record has none."""
    with serving(settings) as app:
        curator = curating(app.test_client(), database)
        curator.post("/cities", json={"id": "a-zz", "name": "A", "state": "ZZ", "country": "US"})
        curator.patch("/cities/boston-ma", json={"summary": "One."}, headers=ANY)
        curator.delete("/cities/a-zz", headers=ANY)
    assert run("ledger", "erase", "cities", "a-zz") == (0, ["Documents erased: 1."])
    assert run("ledger", "erase", "cities", "boston-ma") == (0, ["Documents erased: 1. The current document stays."])
    assert run("ledger", "erase", "cities", "nowhere") == (1, ["Error: there has never been a record cities/nowhere"])
    assert run("ledger", "erase", "mayors", "a")[0] == 2
    assert run("ledger", "verify")[0] == 0
