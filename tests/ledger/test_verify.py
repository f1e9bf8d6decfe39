"""`verify` finds disagreements between tables, ledger, notes and references."""

import sqlite3
from collections import Counter

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.ledger import publish
from api.ledger.rebuild import reindex
from api.ledger.verify import verify
from tests.support.databases import SQLITE_FIRST, head
from tests.support.published import VISION, Changes

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


@SQLITE_FIRST
def test_verify_reads_the_past(database: Database, changes: Changes) -> None:
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


@SQLITE_FIRST
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
    """`verify` recomputes, and so finds changed, missing and extra records whose notes are lost."""
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


@SQLITE_FIRST
@pytest.mark.parametrize("statement", ["update fact_bases set basis = 'external' where {}", "delete from fact_bases where {}"])
def test_verify_finds_wrong_bases(database: Database, statement: str) -> None:
    """`verify` compares the bases of facts with the citations, and `reindex` restores them and publishes their records."""
    fact = "subject_id = 'los-angeles-ca-ai-policies' and field = '/status'"
    with database.engine.begin() as connection:
        connection.execute(text(statement.format(fact)))
    publish.sweep(database)
    with database.writing() as session:
        wrong = "initiatives/los-angeles-ca-ai-policies: the basis of /status is not the weakest of its citations"
        assert list(verify(session)) == [f"{wrong}; run `flask --app wsgi ledger reindex`"]
        reindex(session)
        assert list(verify(session)) == []
        assert session.scalar(text(f"select basis from fact_bases where {fact}")) == "inferred"


def test_verify_finds_broken_references(database: Database) -> None:
    """`verify` finds references broken by a program with foreign keys off; PostgreSQL has no such programs."""
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
