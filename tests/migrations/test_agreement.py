"""A database of the release before records had to agree."""

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import text

from api.schema.names import canonical, key
from migrations import names
from tests.support.databases import SQLITE_FIRST, Store, config, opened, template

FORMER, AGREEMENT = "0009", "0010"
ORGANIZATIONS = "insert into organizations (id, name, type) values ('zz-0', 'Twin', 'company'), ('zz-1', 'Twin', 'company')"
FAULTS = {
    "names": (ORGANIZATIONS, "zz-1 has the name of another", "update organizations set name = '...' where id = 'zz-1'"),
    "case": (
        "insert into cities (id, name, country, state) values ('zz-ca', 'SAN DIEGO', 'US', 'CA')",
        "zz-ca has the name of another, with id = 'san-diego-ca'",
        "update cities set name = '...' where id = 'zz-ca'",
    ),
    "spaces": (
        "update priorities set name = 'Bob''s  plan ' where id = 'cybersecurity'",
        "cybersecurity has a name with odd spaces or characters",
        "update priorities set name = 'Bob''s plan' where id = 'cybersecurity'",
    ),
    "unit": (
        "update initiative_metrics set unit = 'a\u202eb\nc' where initiative_id = 'los-angeles-ca-myla311' and position = 1",
        "los-angeles-ca-myla311 has a unit with odd spaces or characters",
        "update initiative_metrics set unit = 'ab c' where initiative_id = 'los-angeles-ca-myla311' and position = 1",
    ),
    "circle": (
        (
            "update organizations set parent_id = case id when 'e-republic' then 'govai-coalition' else 'e-republic' end "
            "where id in ('e-republic', 'govai-coalition')"
        ),
        "e-republic is part of itself",
        "update organizations set parent_id = null where id = 'e-republic'",
    ),
    "parent": (
        "update initiatives set parent_id = 'los-angeles-ca-myla311' where id = 'sacramento-ca-high-speed-internet'",
        "sacramento-ca-high-speed-internet has a parent in another city",
        "update initiatives set parent_id = null where id = 'sacramento-ca-high-speed-internet'",
    ),
    "award": (
        (
            "insert into initiative_awards (initiative_id, award_id) "
            "values ('los-angeles-ca-myla311', 'digital-cities-2024-san-diego-ca')"
        ),
        "los-angeles-ca-myla311 has an award of another city",
        "delete from initiative_awards where initiative_id = 'los-angeles-ca-myla311'",
    ),
    "lone": (
        "update awards set tied = true where id = 'digital-cities-2024-san-diego-ca'",
        "digital-cities-2024-san-diego-ca is tied with no other",
        "update awards set tied = null where id = 'digital-cities-2024-san-diego-ca'",
    ),
    "untied": (
        "update awards set tied = false where id = 'digital-cities-2024-san-jose-ca'",
        "digital-cities-2024-san-jose-ca shares its placing",
        "update awards set tied = null where id = 'digital-cities-2024-san-jose-ca'",
    ),
    "citation": (
        (
            "insert into citations (id, subject_kind, subject_id, field, source_id, paragraph, sentence, sentence_sha256, basis) "
            "select 'zz-own', subject_kind, subject_id, '/colour', source_id, paragraph, sentence, sentence_sha256, basis "
            "from citations where id = 'organizations-e-republic-name-p22-s1'"
        ),
        "citations/zz-own: organizations/e-republic has nothing at /colour",
        "update citations set field",
    ),
}


@SQLITE_FIRST
@pytest.mark.parametrize("name", FAULTS)
def test_an_upgrade_names_what_breaks_a_rule(store: Store, name: str) -> None:
    """An upgrade stops at records that break a rule, names them and the SQL that mends them, and changes nothing."""
    statement, fault, mend = FAULTS[name]
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        with database.writing() as session:
            session.execute(text(statement))
        with pytest.raises(CommandError) as refusal:
            command.upgrade(config(database), "head")
        assert fault in str(refusal.value)
        assert mend in str(refusal.value)
        with database.reading() as session:
            assert session.scalar(text("select version_num from alembic_version")) == FORMER


@pytest.mark.slow
@SQLITE_FIRST
def test_control_the_shipped_data_agrees(store: Store) -> None:
    """The facts that we ship break no rule, and a mended database is upgraded."""
    settings = store.copy(template(store, FORMER))
    with opened(settings) as database:
        with database.writing() as session:
            session.execute(text(ORGANIZATIONS))
        with pytest.raises(CommandError):
            command.upgrade(config(database), AGREEMENT)
        with database.writing() as session:
            session.execute(text("update organizations set name = 'Other' where id = 'zz-1'"))
        command.upgrade(config(database), "head")


@pytest.mark.parametrize(
    "text",
    ["a", " a\u00a0 b ", "a\nb", "e\u0301", "\u200b", "a\u200d", "\u0645\u200c\u0646", "\u202eab", "\u3164x", "\ue000", "\t"],
)
def test_an_upgrade_and_the_api_know_the_same_names(text: str) -> None:
    """A name passes an upgrade as it is just if the API would store it as it is, and the mended name does."""

    def sent(name: str) -> str | None:
        try:
            return canonical(name)
        except ValueError:
            return None

    assert (names.canonical(text) == text) == (sent(text) == text)
    assert sent(names.canonical(text) or "...") == (names.canonical(text) or "...")
    assert names.folded(text) == key(text)
