"""A record tells how its facts are known: by the weakest basis of the citations of each."""

from collections import Counter

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger.verify import verify
from api.resources import SUBJECTS
from api.resources.bases import FactBasis
from api.resources.citations import Citation
from tests.support.answers import ANY, Json, brief, walk
from tests.support.databases import publishing

# From the weakest to the strongest.
BASES = ("editorial", "inferred", "attributed", "external", "stated")
MYLA311, WIFI = "/initiatives/los-angeles-ca-myla311", "/initiatives/san-jose-ca-community-wifi"


def expected(session: Session) -> dict[tuple[str, str, str], str]:
    """Return the weakest basis of each cited fact that is not plainly stated, by noun, id and pointer."""
    rows = session.execute(select(Citation.subject_kind, Citation.subject_id, Citation.field, Citation.basis))
    bases: dict[tuple[str, str, str], str] = {}
    for kind, id, field, basis in rows:
        bases[kind, id, field] = min(bases.get((kind, id, field), "stated"), basis.value, key=BASES.index)
    return {fact: basis for fact, basis in bases.items() if basis != "stated"}


def kept(session: Session) -> dict[tuple[str, str, str], str]:
    """Return what the triggers have kept."""
    rows = session.execute(select(FactBasis.subject_kind, FactBasis.subject_id, FactBasis.field, FactBasis.basis))
    return {(kind, id, field): basis for kind, id, field, basis in rows}


def served(client: FlaskClient) -> dict[tuple[str, str, str], str]:
    """Return what the records show."""
    return {
        (noun.name, record["id"], field): basis
        for noun in SUBJECTS
        for record in walk(client, f"/{noun.name}?limit=500")
        for field, basis in record["basis"].items()
    }


def test_every_record_shows_the_weakest(client: FlaskClient, database: Database) -> None:
    """The records that are shipped show the weakest basis of every fact that is not plainly stated."""
    with database.reading() as session:
        rows = expected(session)
        assert len(rows) > 100
        assert kept(session) == rows
    assert served(client) == rows


def test_raw_sql_is_followed(own_client: FlaskClient, database: Database) -> None:
    """What raw SQL does to citations shows in the records, and a control: stated citations change no record."""
    fact = (Citation.subject_id == "san-jose-ca-community-wifi", Citation.field == "/status")

    def shown() -> tuple[str | None, int]:
        record = own_client.get(WIFI).get_json()["data"]
        return record["basis"].get("/status"), record["version"]

    (before, first) = shown()
    assert before == "inferred"
    with publishing(database) as session:
        session.execute(update(Citation).where(*fact).values(basis="stated"))
    stated, second = shown()
    assert (stated, second > first) == (None, True)
    with publishing(database) as session:
        row = dict(session.execute(select(Citation.__table__).where(*fact)).mappings().first() or {})
        session.execute(insert(Citation), [{**row, "id": "zz-stated", "sentence": 98}])
    assert shown() == (None, second)
    with publishing(database) as session:
        session.execute(insert(Citation), [{**row, "id": "zz-editorial", "sentence": 99, "basis": "editorial"}])
        session.execute(insert(Citation), [{**row, "id": "zz-inferred", "sentence": 97, "basis": "inferred"}])
    assert shown()[0] == "editorial"
    with publishing(database) as session:
        session.execute(delete(Citation).where(Citation.id == "zz-editorial"))
    assert shown()[0] == "inferred"
    with publishing(database) as session:
        session.execute(update(Citation).where(Citation.id == "zz-inferred").values(field="/title"))
    record = own_client.get(WIFI).get_json()["data"]["basis"]
    assert ("/status" in record, record["/title"]) == (False, "inferred")
    with database.reading() as session:
        assert kept(session) == expected(session)
        assert list(verify(session)) == []


def test_a_citation_by_the_api_changes_its_subject(curator: FlaskClient) -> None:
    """A write of a citation publishes its subject in the same commit, and the feed has both."""
    since = curator.get("/cities?limit=1").get_json()["meta"]["version"]
    id = curator.get("/citations?subject_id=los-angeles-ca-myla311&field=/title&limit=1").get_json()["data"][0]["id"]
    assert curator.patch(f"/citations/{id}", json={"basis": "editorial"}, headers=ANY).status_code == 200
    changes = curator.get(f"/changes?since={since}").get_json()["data"]
    assert [(row["kind"], row["id"]) for row in changes] == [("initiatives", "los-angeles-ca-myla311"), ("citations", id)]
    assert curator.get(MYLA311).get_json()["data"]["basis"]["/title"] == "editorial"


def test_a_deleted_record_leaves_nothing(database: Database) -> None:
    """With a record go its citations, and with these the bases."""
    with publishing(database) as session:
        session.execute(text("delete from initiatives where id = 'san-jose-ca-community-wifi'"))
    with database.reading() as session:
        assert kept(session) == expected(session)
        assert "san-jose-ca-community-wifi" not in {id for _, id, _ in kept(session)}


def test_truncate_is_followed(own_client: FlaskClient, database: Database) -> None:
    """If all citations go at once, no record says how its facts are known."""
    emptying = "truncate citations" if database.engine.dialect.name == "postgresql" else "delete from citations"
    with publishing(database) as session:
        session.execute(text(emptying))
    assert served(own_client) == {}


@pytest.mark.parametrize("noun", SUBJECTS, ids=lambda noun: noun.name)
def test_filters_and_facets(client: FlaskClient, noun: object) -> None:
    """`basis` finds records with a fact of that basis, `basis.field` those with that fact, and facets count the records."""
    path = f"/{noun.name}"  # type: ignore[attr-defined]
    records = walk(client, f"{path}?limit=500")

    def ids(query: str) -> set[str]:
        return {row["id"] for row in walk(client, f"{path}?{query}&limit=500")}

    for basis in BASES[:-1]:
        assert ids(f"basis={basis}") == {row["id"] for row in records if basis in row["basis"].values()}
        assert ids(f"basis__not={basis}") == {row["id"] for row in records if basis not in row["basis"].values()}
    for field in ("/status", "/year", "/name"):
        assert ids(f"basis.field={field}") == {row["id"] for row in records if field in row["basis"]}
    assert ids("basis__isnull=true") == {row["id"] for row in records if not row["basis"]}
    counts = Counter(basis for row in records for basis in set(row["basis"].values()))
    facet = client.get(f"{path}?facets=basis&limit=1").get_json()["facets"]["basis"]["values"]
    assert {row["value"]: row["count"] for row in facet} == counts


@pytest.mark.parametrize("value", [{}, {"/name": "editorial"}, "stated"])
def test_it_cannot_be_sent(refused: FlaskClient, value: Json | str) -> None:
    """A body with a `basis` is refused: the citations decide it."""
    answer = refused.post("/cities", json={"id": "zz-ca", "name": "Zz", "state": "CA", "country": "US", "basis": value})
    status, name, items = brief(answer)
    assert (status, name, [(item["pointer"], item["code"]) for item in items]) == (
        422,
        "invalid-body",
        [("/basis", "read-only")],
    )


def test_stated_is_no_filter(client: FlaskClient) -> None:
    """The member has only what is not plainly stated, so a filter by `stated` is refused with the values that there are."""
    status, _, (item,) = brief(client.get("/cities?basis=stated"))
    assert (status, item["parameter"], item["allowed"]) == (400, "basis", ["attributed", "inferred", "editorial", "external"])
