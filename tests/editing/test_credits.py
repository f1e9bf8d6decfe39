"""A record shows the attribution of each data set whose values it has, wherever it is read."""

import csv
import io

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select, text, update

from api.db.database import Database
from api.ledger.verify import verify
from api.resources.citations import Citation
from api.resources.sources import Source
from tests.support.answers import ANY, brief, read, walk
from tests.support.databases import publishing

GEONAMES = {
    "source": "geonames",
    "attribution": "Contains data from GeoNames (https://www.geonames.org/), licensed under CC BY 4.0.",
    "licence": "CC-BY-4.0",
}
BOSTON = "/cities/boston-ma"


@pytest.mark.parametrize("path", ["/cities?limit=500", "/cities?limit=500&fields=id,attributions"])
def test_every_city_credits_geonames(client: FlaskClient, path: str) -> None:
    """Each city has values of GeoNames, so each shows its attribution; the control: an initiative has none."""
    assert [row["attributions"] for row in walk(client, path)] == [[GEONAMES]] * 6
    assert {str(row["attributions"]) for row in walk(client, "/initiatives?limit=500")} == {"[]"}


def test_other_formats(client: FlaskClient) -> None:
    """CSV, related records and the feed show it, too."""
    (row, *_) = csv.DictReader(io.StringIO(client.get("/cities.csv").get_data(as_text=True)))
    assert "GeoNames" in row["attributions"]
    included = read(client, "/initiatives?city=sacramento-ca&include=city&limit=1")["included"]["cities"]
    assert included["sacramento-ca"]["attributions"] == [GEONAMES]
    feed = read(client, "/changes/cities?since=0")["data"]
    assert [row["attributions"] for row in feed] == [[GEONAMES]] * 6


def test_it_follows_the_citations(own_client: FlaskClient, database: Database) -> None:
    """Changes of a citation, of an attribution and of a licence by raw SQL show in the record, and only in those concerned."""

    def shown() -> list[dict[str, str | None]]:
        attributions: list[dict[str, str | None]] = read(own_client, BOSTON)["data"]["attributions"]
        return attributions

    def version(path: str) -> int:
        number: int = read(own_client, path)["data"]["version"]
        return number

    other = version("/initiatives/los-angeles-ca-myla311")
    with publishing(database) as session:
        session.execute(update(Source).where(Source.id == "geonames").values(attribution="Other", licence=None))
    assert shown() == [{"source": "geonames", "attribution": "Other", "licence": None}]
    with publishing(database) as session:
        session.execute(update(Source).where(Source.id == "geonames").values(attribution=None))
    assert shown() == []
    with publishing(database) as session:
        session.execute(update(Source).where(Source.id == "geonames").values(attribution="Third"))
    about = (Citation.subject_id == "boston-ma", Citation.source_id == "geonames")
    with publishing(database) as session:
        first, *others = session.scalars(select(Citation.id).where(*about)).all()
        session.execute(delete(Citation).where(Citation.id.in_(others)))
    assert [row["attribution"] for row in shown()] == ["Third"]
    with publishing(database) as session:
        session.execute(update(Citation).where(Citation.id == first).values(basis="stated"))
        session.execute(update(Citation).where(Citation.id == first).values(subject_id="seattle-wa", field="/name"))
    assert shown() == []
    assert version("/initiatives/los-angeles-ca-myla311") == other
    with database.reading() as session:
        assert list(verify(session)) == []


def test_no_citations_no_credits(own_client: FlaskClient, database: Database) -> None:
    """If all citations go at once, no record has a credit."""
    emptying = "truncate citations" if database.engine.dialect.name == "postgresql" else "delete from citations"
    with publishing(database) as session:
        session.execute(update(Citation).values(basis="stated"))
    with publishing(database) as session:
        session.execute(text(emptying))
    assert read(own_client, BOSTON)["data"]["attributions"] == []


def test_a_write_of_a_source_changes_its_records(curator: FlaskClient) -> None:
    """A change of an attribution by the API publishes the records with it in the same commit."""
    assert curator.patch("/sources/geonames", json={"attribution": "Other"}, headers=ANY).status_code == 200
    assert read(curator, BOSTON)["data"]["attributions"] == [{**GEONAMES, "attribution": "Other"}]


def test_it_cannot_be_sent(refused: FlaskClient) -> None:
    """A body with `attributions` is refused: the citations decide them."""
    city = {"id": "zz-ca", "name": "Zz", "state": "CA", "country": "US", "attributions": []}
    status, name, items = brief(refused.post("/cities", json=city))
    assert (status, name, [(row["pointer"], row["code"]) for row in items]) == (
        422,
        "invalid-body",
        [("/attributions", "read-only")],
    )
