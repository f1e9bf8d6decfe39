"""The audit names each stored record that breaks a rule of writing, and the request that mends it."""

import sqlite3
from contextlib import closing

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.editing.audit import audit
from api.ledger import publish
from tests.support.answers import ANY, Json
from tests.support.databases import ON_SQLITE, SQLITE_FIRST, publishing
from tests.support.lengths import few

INITIATIVE, AWARD = "los-angeles-ca-myla311", "digital-cities-2024-sacramento-ca"
OTHER, CITY = "san-diego-ca-ai-adoption", "san-diego-ca"
CITATION = "(select min(id) from citations where subject_kind = 'initiatives' and subject_id = 'los-angeles-ca-myla311')"
# By rule: the statements that break it; the record, the member and a part of the sentence of each line; and patches that mend it.
BROKEN: dict[str, tuple[list[str], list[tuple[str, str]], list[tuple[str, Json]]]] = {
    "circle": (
        [
            "update organizations set parent_id = 'amazon-web-services' where id = 'e-republic'",
            "update organizations set parent_id = 'e-republic' where id = 'amazon-web-services'",
        ],
        [
            ("organizations/amazon-web-services, parent", "The organization would be part of itself: "),
            ("organizations/e-republic, parent", "The organization would be part of itself: "),
        ],
        [("organizations/e-republic", {"parent": None})],
    ),
    "parent": (
        [f"update initiatives set parent_id = '{INITIATIVE}' where id = '{OTHER}'"],
        [(f"initiatives/{OTHER}, parent", f"has the city `{CITY}`, and `{INITIATIVE}` has `los-angeles-ca`.")],
        [(f"initiatives/{OTHER}", {"parent": None})],
    ),
    "award": (
        [f"insert into initiative_awards (initiative_id, award_id) values ('{INITIATIVE}', '{AWARD}')"],
        [(f"initiatives/{INITIATIVE}, awards", f"has the city `los-angeles-ca`, and `{AWARD}` has `sacramento-ca`.")],
        [(f"initiatives/{INITIATIVE}", {"awards": []})],
    ),
    "tie": (
        [f"update awards set tied = true where id = '{AWARD}'"],
        [(f"awards/{AWARD}, tied", "see")],
        [(f"awards/{AWARD}", {"tied": None})],
    ),
    "case": (
        ["insert into organizations (id, name, type) values ('zz', 'E.REPUBLIC', 'company')"],
        [
            ("organizations/e-republic, name", "`city` and `name` are those of the organization `zz`: case"),
            ("organizations/zz, name", "`city` and `name` are those of the organization `e-republic`: case"),
        ],
        [("organizations/zz", {"name": "Another"})],
    ),
    "spaces": (
        ["update cities set name = 'San  Jose ' where id = 'san-jose-ca'"],
        [("cities/san-jose-ca, name", 'Stored as "San  Jose ", which is written "San Jose".')],
        [("cities/san-jose-ca", {})],
    ),
    "character": (
        ["update priorities set name = 'Cyber\u202esecurity' where id = 'cybersecurity'"],
        [("priorities/cybersecurity, name", "A name cannot contain the character U+202E RIGHT-TO-LEFT OVERRIDE.")],
        [("priorities/cybersecurity", {"name": "Cybersecurity"})],
    ),
    "part": (
        ["update initiative_metrics set unit = unit || ' ' where initiative_id = '" + INITIATIVE + "' and position = 0"],
        [(f"initiatives/{INITIATIVE}, metrics", "Stored as")],
        [(f"initiatives/{INITIATIVE}", {})],
    ),
    "pointer": (
        [f"update citations set field = '/metrics/99' where id = {CITATION}"],
        [("citations/", f"The initiative `{INITIATIVE}` has nothing at `/metrics/99`")],
        [],
    ),
}


def broken(database: Database, statements: list[str]) -> list[str]:
    """Return the lines of the audit after these statements were published."""
    with publishing(database) as session:
        for statement in statements:
            session.execute(text(statement))
    with database.reading() as session:
        return list(audit(session))


def test_the_seeds_break_no_rule(database: Database) -> None:
    """Every released record could be written: the control of `test_a_broken_rule_is_named`."""
    with database.reading() as session:
        assert list(audit(session)) == []


@SQLITE_FIRST
@pytest.mark.parametrize("rule", few(BROKEN, "circle", "case", "pointer"))
def test_a_broken_rule_is_named(editor: FlaskClient, database: Database, rule: str) -> None:
    """A record that raw SQL made break a rule is a line with its place and its cure, and the cure works."""
    statements, expected, patches = BROKEN[rule]
    lines = broken(database, statements)
    assert len(lines) == len(expected)
    for line, (place, detail) in zip(lines, expected, strict=True):
        record = line.partition(",")[0]
        assert line.startswith(place)
        assert detail in line
        assert line.endswith(f" Correct it with `PATCH /{record}`.")
    for path, body in patches:
        assert editor.patch(f"/{path}", json=body, headers=ANY).status_code == 200
    with database.reading() as session:
        assert list(audit(session)) == [] or not patches


@ON_SQLITE
def test_a_reference_to_nothing_is_named(database: Database) -> None:
    """A record that refers to a record that a program without foreign keys deleted is a line; PostgreSQL allows no such program."""
    with closing(sqlite3.connect(database.settings.sqlalchemy_url.database or "")) as raw, raw:
        raw.execute("delete from cities where id = 'sacramento-ca'")
    publish.sweep(database)
    with database.reading() as session:
        lines = list(audit(session))
    assert any(line.startswith(f"awards/{AWARD}, city: There is no city `sacramento-ca`") for line in lines)
    assert all("There is no city `sacramento-ca`" in line for line in lines)


def test_names_are_compared_on_the_disk(database: Database) -> None:
    """A name that many records share is found among records of other batches, and an id that breaks a rule is named."""
    rows = [{"id": f"zz-{number}", "name": f"Firm {number % 1_000}{' ' * (number // 1_000)}"} for number in range(1_001)]
    with publishing(database) as session:
        session.execute(text("insert into organizations (id, name, type) values (:id, :name, 'company')"), rows)
        session.execute(text("insert into cities (id, name, state, country) values ('zz', 'Z', 'CA', 'US')"))
    with database.reading() as session:
        places = [line.partition(": ")[0] for line in audit(session)]
        last = next(audit(session))
    assert places == ["cities/zz, id", "organizations/zz-1000, name", "organizations/zz-0, name", "organizations/zz-1000, name"]
    assert (
        last
        == "cities/zz, id: `id` ends with the `state`, or with the `country` if that is null, in lower case. Create it again with another id."
    )
