"""Pages: the same data as the JSON, in words, with names instead of ids, and a way to everything else."""

import datetime as dt
import json
import re
from dataclasses import replace
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from flask.testing import FlaskClient

from api.db.database import Database
from api.endpoints.pages import parts_of
from api.ledger import retention
from api.resources import RESOURCES
from api.schema.resource import Resource
from tests.support import former
from tests.support.answers import ANY
from tests.support.applications import BASE, serving
from tests.support.databases import ON_SQLITE, Store, template, upgrade
from tests.support.markup import BROWSER, Page, ask, page_of
from tests.support.records import nouns

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+){2,}")


@ON_SQLITE
@nouns
def test_a_list_says_what_it_has(client: FlaskClient, resource: Resource) -> None:
    """Each noun has a page: the number of its records, a link to each by its name, a form, and the same as data."""
    answer = client.get(f"/{resource.name}?limit=500").get_json()
    page = page_of(client, f"/{resource.name}?limit=500")
    total = answer["page"]["total"]
    assert f"{total} {resource.name if total != 1 else resource.singular}" in page.text
    links = {urlsplit(href).path: text for href, text in page.links}
    for record in answer["data"]:
        text = links[f"/{resource.name}/{record['id']}"]
        assert text
        assert not ID.fullmatch(text), "names, never ids"
    assert {"q", *resource.look.filters} <= page.fields.keys()
    alternates = [href for href, _ in page.links if href.startswith(f"{BASE}/{resource.name}.")]
    assert [client.get(href.removeprefix(BASE), buffered=True).status_code for href in alternates] == [200] * len(alternates)
    assert len(alternates) == 3 + len(resource.tables)


@ON_SQLITE
@nouns
def test_a_record_shows_every_fact(client: FlaskClient, resource: Resource) -> None:
    """Each record's page has a mark for each cited fact, which leads to its citation on the page, and that to its source."""
    for record in client.get(f"/{resource.name}?limit=20").get_json()["data"]:
        page = page_of(client, f"/{resource.name}/{record['id']}")
        query = f"/citations?subject_kind={resource.name}&subject_id={record['id']}&limit=500"
        citations = client.get(query).get_json()["data"] if resource.name != "citations" else []
        anchors = {href[1:] for href, text in page.links if href.startswith("#known")}
        assert anchors <= page.ids
        assert bool(citations) == bool(anchors)
        places = [href for href, _ in page.links if href.startswith("/citations/")]
        assert len(places) >= len(citations)


@ON_SQLITE
def test_empty_fields_of_a_form_are_left_out(client: FlaskClient) -> None:
    """A form's empty fields are taken from the address of its page; data stays strict."""
    response = ask(client, "/initiatives?q=chatbot&status=&sort=")
    assert (response.status_code, response.headers["Location"]) == (303, f"{BASE}/initiatives?q=chatbot")
    assert client.get("/initiatives?q=chatbot&status=&sort=").status_code == 400


@ON_SQLITE
@pytest.mark.parametrize(
    "path",
    [
        *("/cities", "/cities/boston-ma", "/search?q=data", "/cities/boston-ma/history", "/problems"),
        *("/changesets?author=maintainers", "/changesets/1"),
    ],
)
def test_each_form_has_an_address_and_a_tag(client: FlaskClient, path: str) -> None:
    """A page and its data have different tags at one address, `Vary` says so, and each has an address of its own."""
    html, data = ask(client, path), client.get(path)
    assert html.headers["ETag"] != data.headers["ETag"]
    assert {"Accept"} <= {word.strip() for word in html.headers["Vary"].split(",")} & {
        word.strip() for word in data.headers["Vary"].split(",")
    }
    address, _, query = path.partition("?")
    by_suffix = {suffix: client.get(f"{address}.{suffix}?{query}") for suffix in ("html", "json")}
    # Links of a page that was asked for by suffix keep it.
    assert by_suffix["html"].text.replace(".html", "") == html.text
    assert by_suffix["json"].get_json()["data"] == data.get_json()["data"]
    again = client.get(path, headers={"Accept": BROWSER, "If-None-Match": html.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")


@ON_SQLITE
def test_links_say_what_is_what(client: FlaskClient) -> None:
    """A page names its canonical address, without the place of a page, and its data, in its head and in a header."""
    first = client.get("/initiatives?status=pilot&limit=1").get_json()["page"]["cursor"]
    response = ask(client, f"/initiatives?status=in_operation&limit=1{f'&cursor={first}' if first else ''}")
    if response.status_code == 400:
        response = ask(client, "/initiatives?status=in_operation&limit=1")
    assert f'<{BASE}/initiatives?status=in_operation>; rel="canonical"' in response.headers["Link"]
    assert f'<link rel="canonical" href="{BASE}/initiatives?status=in_operation">' in response.text
    assert 'rel="alternate"; type="application/json"' in response.headers["Link"]


@ON_SQLITE
def test_filters_in_words(client: FlaskClient) -> None:
    """A page says in words what it is filtered by, and each condition can be removed by one link."""
    page = page_of(client, "/initiatives?city=sacramento-ca&status=in_operation&q=data")
    for text in ("City is Sacramento", "Status is In operation", "with the words “data”"):
        assert text in page.text
    removed = [href for href, text in page.links if "Remove: City is Sacramento" in text]
    assert removed == ["/initiatives?status=in_operation&q=data"]


@ON_SQLITE
def test_problems_are_pages_for_people(client: FlaskClient) -> None:
    """A browser that asks wrongly gets the same status with a page that says what works."""
    response = ask(client, "/cities?stat=CA&limit=3")
    page = Page(response.text)
    assert (response.status_code, response.headers["Cache-Control"]) == (400, "no-store")
    assert "did you mean state?" in page.text
    assert ("/cities?limit=3", "The same page without stat") in page.links
    assert ask(client, "/cities/bostn-ma").status_code == 404


@ON_SQLITE
def test_data_sets_are_described(client: FlaskClient) -> None:
    """Lists and the front page describe their data to search engines as a `Dataset` of schema.org."""
    for path in ("/", "/initiatives"):
        found = re.search(r'<script type="application/ld\+json">(.*?)</script>', ask(client, path).text, re.DOTALL)
        assert found
        described = json.loads(found[1])
        assert (described["@context"], described["@type"]) == ("https://schema.org", "Dataset")
        assert 50 <= len(described["description"]) <= 5_000
        assert path == "/" or {row["encodingFormat"] for row in described["distribution"]} >= {"application/json", "text/csv"}


@ON_SQLITE
def test_crawlers_find_every_record(client: FlaskClient) -> None:
    """The sitemap has every list and record with its day, robots.txt names it and keeps crawlers from filters."""
    robots = client.get("/robots.txt").text
    assert {"Disallow: /*?", "Allow: /*?cursor=", f"Sitemap: {BASE}/sitemap.xml"} <= set(robots.splitlines())
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    addresses = {row.findtext(f"{space}loc") for row in ET.fromstring(client.get("/sitemap.xml").text)}  # noqa: S314 - it is ours
    records = {
        f"{BASE}/{noun.name}/{json.loads(line)['id']}"
        for noun in RESOURCES
        for line in client.get(f"/{noun.name}.ndjson").text.splitlines()
    }
    assert addresses == records | {f"{BASE}/"} | {f"{BASE}/{noun.name}" for noun in RESOURCES}
    # All parts of a noun together have each of its records once.
    part = ET.fromstring(client.get("/sitemap-cities-0.xml").text)  # noqa: S314 - it is ours
    assert {row.findtext(f"{space}loc") for row in part} == {address for address in records if "/cities/" in address}
    assert client.get("/sitemap-cities-1.xml").status_code == client.get("/sitemap-mayors-0.xml").status_code == 404
    assert [parts_of(number) for number in (0, 1, 40_000, 40_001, 1_000_000)] == [0, 1, 1, 2, 25]


@ON_SQLITE
@pytest.mark.parametrize("path", ["/a%0Ab", "/a%01b", "/%E5%8C%97", "/a%3Fb", "/cities/%0A", "/cities?x=" + "a" * 30_000])
def test_hostile_addresses(client: FlaskClient, path: str) -> None:
    """Whatever is in an address, its page is a problem with a header that every proxy passes."""
    response = ask(client, path)
    assert (response.status_code, response.mimetype) in {(404, "text/html"), (400, "text/html")}
    link = response.headers.get("Link", "")
    assert link.isascii()
    assert link.isprintable()
    assert len(link) <= 4_000


@ON_SQLITE
@pytest.mark.parametrize(
    "query", ["q=digital&highlights=true", "include=award&limit=2", "fields=name&count=none", "facets=state"]
)
def test_the_same_as_data(client: FlaskClient, query: str) -> None:
    """The links to the data of a page answer, whatever the page shows."""
    page = page_of(client, f"/cities?{query.replace('award', 'awards')}")
    alternates = [href.removeprefix(BASE) for href, _ in page.links if href.startswith(f"{BASE}/cities.")]
    assert len(alternates) > 3
    assert {href: client.get(href, buffered=True).status_code for href in alternates} == dict.fromkeys(alternates, 200)


@ON_SQLITE
def test_links_below_a_path(store: Store) -> None:
    """If the API is served below a path, every link of its pages begins with it, once, and answers."""
    with serving(replace(store.copy(template(store)), public_url="https://example.org/api")) as app:
        client = app.test_client()
        pages = (
            "/",
            "/cities?state=CA",
            "/cities/sacramento-ca",
            "/changes",
            "/changesets?kinds=cities",
            "/changesets/1",
            "/search?q=data",
            "/docs/find?q=state",
            "/docs/cities",
        )
        for path in (*pages, "/cities/bostn-ma/history", "/citys"):
            links = {href.partition("#")[0] for href, _ in Page(ask(client, path).text).links}
            own = {href.removeprefix("https://example.org") for href in links if href.startswith(("/", "https://example.org"))}
            assert {href for href in own if not href.startswith("/api/") or href.startswith("/api/api")} - {"/api"} == set(), (
                path
            )
            for href in sorted(own)[:20]:
                answer = client.get(href.removeprefix("/api") or "/", headers={"Accept": BROWSER}, buffered=True)
                assert (path, href, answer.status_code) == (path, href, 200)


@pytest.mark.slow
@ON_SQLITE
def test_the_past_is_a_page(store: Store) -> None:
    """Records are pages as they were at every version, also in the shape of a former release, and called as they were then."""
    settings = former.released(store)
    upgrade(settings)
    with serving(settings) as app:
        client = app.test_client()
        for row in client.get("/changes?since=0&history=true&kinds=initiatives,cities,citations&limit=1000").get_json()["data"]:
            path = f"/{row['kind']}/{row['id']}"
            assert (path, ask(client, f"{path}?as_of={row['version']}").status_code) == (path, 200)


@ON_SQLITE
def test_a_source_leads_to_what_it_supports(client: FlaskClient) -> None:
    """Records that refer to one are listed on its page, also where that does not know of them, with their number."""
    for path, lists in {
        "/sources/geonames": {"Citations": "/citations?source=geonames"},
        "/cities/boston-ma": {"Surveys": "/surveys?competitor=boston-ma"},
    }.items():
        for title, list_ in lists.items():
            assert f"{title} ({client.get(list_).get_json()['page']['total']})" in page_of(client, path).text


@ON_SQLITE
def test_changes_of_a_noun(client: FlaskClient) -> None:
    """The feed of a noun is a page, and an Atom feed whose addresses lead back to it with the same filters."""
    page = page_of(client, "/changes/cities")
    assert "Boston" in page.text
    feed = ET.fromstring(client.get("/changes/cities.atom?city=boston-ma").text)  # noqa: S314 - it is ours
    space = "{http://www.w3.org/2005/Atom}"
    addresses = {row.get("rel"): row.get("href") or "" for row in feed.findall(f"{space}link")}
    assert addresses["self"] == f"{BASE}/changes/cities.atom?city=boston-ma"
    assert [client.get(href.removeprefix(BASE)).status_code for href in addresses.values()] == [200, 200]
    assert [row.findtext(f"{space}title") for row in feed.findall(f"{space}entry")] == ["Boston: added"]


@ON_SQLITE
def test_what_a_feed_may_not_have(curator: FlaskClient) -> None:
    """A reason with a character that XML does not have leaves the Atom feed well-formed."""
    operation = {"op": "patch", "kind": "cities", "id": "boston-ma", "if_match": "*", "document": {"summary": "New."}}
    answer = curator.post("/changesets", json={"message": "a\u000bb", "operations": [operation]})
    assert answer.status_code in {200, 201}, answer.text
    feed = ET.fromstring(curator.get("/changes.atom?limit=1").text)  # noqa: S314 - it is ours
    assert "ab" in "".join(feed.itertext())


@ON_SQLITE
def test_what_was_trimmed_was_there(curator: FlaskClient, database: Database) -> None:
    """A record whose former document was trimmed is told as changed, and only one that had none as added."""
    for summary in ("One.", "Two."):
        curator.patch("/cities/boston-ma", json={"summary": summary}, headers=ANY)
    new = {"id": "a-zz", "name": "A", "state": "ZZ", "country": "US"}
    assert curator.post("/cities", json=new).status_code == 201
    with database.writing() as session:
        retention.trim(session, dt.datetime(2999, 1, 1, tzinfo=dt.UTC))
    text = page_of(curator, "/changes?kinds=cities&limit=2").text
    assert [line.strip() for line in text.splitlines() if "(cities)" in line] == [
        "A (cities) added",
        "Boston (cities) changed",
    ]
