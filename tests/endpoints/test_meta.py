"""Descriptions for people: the index, the documentation, and the pages of the problem types."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import __version__
from api.endpoints.front import LINKS
from api.endpoints.pages import STATIC
from api.resources import BY_NAME, RESOURCES
from api.schema.operators import OPERATORS
from api.web.openapi import SUMMARY, TITLE
from api.web.problem_types import PROBLEMS
from api.web.problems import MEDIA_TYPE
from tests.support.answers import brief
from tests.support.applications import BASE, NO_DATABASE, serving
from tests.support.readme import EXAMPLES

pytestmark = pytest.mark.contract

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HTML = "text/html; charset=utf-8"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# Pages that are JSON for machines; one problem type stands for all here, since one view makes their pages, and
# `test_problem_type` reads each of them.
EITHER = ("/problems", "/problems/not-found")
PAGES = (*EITHER, "/docs", "/docs/initiatives", "/docs/find?q=state")
CONTENT_TYPES = {
    "docs.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "style.css": "text/css; charset=utf-8",
}
# Attributes that make a browser load something, and those that let it go somewhere.
LOADING = {"src", "srcset", "data", "poster", "background", "manifest", "style", "ping"}
LINKING = {"href", "action", "formaction"}


@pytest.fixture(scope="session")
def site() -> Iterator[FlaskClient]:
    """A client of an application without a database; descriptions need none."""
    with serving(replace(NO_DATABASE, public_url=BASE)) as app:
        yield app.test_client()


def fetch(client: FlaskClient, path: str, accept: str | None = None, tag: str | None = None) -> TestResponse:
    """Ask, and close the file that may be behind the answer."""
    headers = {"Accept": accept, "If-None-Match": tag}
    return client.get(path, headers={name: value for name, value in headers.items() if value}, buffered=True)


class References(HTMLParser):
    """Collects the files that a page loads and its links."""

    def __init__(self, page: str) -> None:
        """Read the page."""
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element's addresses and its inline code."""
        self._tag = tag
        for name, value in attrs:
            if name in LOADING or (name == "href" and tag in {"link", "base"}):
                self.loads.append(value or "")
            elif name in LINKING:
                self.links.append(value or "")
            elif name.startswith("on"):
                self.inline.append(value or "")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's interface
        """Leave an element."""
        self._tag = ""

    def handle_data(self, data: str) -> None:
        """Note a script or a style in the page itself."""
        if self._tag in {"script", "style"} and data.strip():
            self.inline.append(data)


def page_of(site: FlaskClient, path: str) -> References:
    """Read a page as a browser does."""
    response = fetch(site, path, BROWSER)
    assert (response.status_code, response.content_type) == (200, HTML)
    return References(response.get_data(as_text=True))


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "application/json, text/html;q=0.9"], ids=["none", "any", "json", "better"]
)
@pytest.mark.parametrize("path", EITHER)
def test_machines_get_json(site: FlaskClient, path: str, accept: str | None) -> None:
    """A client that does not ask for HTML gets JSON, and `Vary` names `Accept`."""
    response = fetch(site, path, accept)
    headers = {name: response.headers.get(name) for name in ("Content-Type", "Vary", "Content-Security-Policy")}
    assert response.status_code == 200
    assert headers == {"Content-Type": "application/json", "Vary": "Accept, Accept-Encoding", "Content-Security-Policy": None}


@pytest.mark.parametrize(
    "accept", [BROWSER, "text/html", "text/*;q=0.5, application/json;q=0.4"], ids=["browser", "html", "better"]
)
@pytest.mark.parametrize("path", EITHER)
def test_browsers_get_a_page(site: FlaskClient, path: str, accept: str) -> None:
    """A client that prefers HTML gets a page."""
    response = fetch(site, path, accept)
    headers = {name: response.headers.get(name) for name in ("Content-Type", "Vary", "Content-Security-Policy")}
    assert response.status_code == 200
    assert headers == {"Content-Type": HTML, "Vary": "Accept, Accept-Encoding", "Content-Security-Policy": POLICY}


@pytest.mark.parametrize("path", ["/", *EITHER])
def test_neither(site: FlaskClient, path: str) -> None:
    """A client that accepts neither gets a list of the available types."""
    response = fetch(site, path, "image/png")
    assert (response.status_code, response.content_type) == (406, MEDIA_TYPE)
    assert response.get_json()["errors"] == [
        {
            "parameter": "Accept",
            "code": "not-acceptable",
            "detail": "Use application/json or text/html, or leave the header out.",
            "allowed": ["application/json", "text/html"],
        }
    ]


def test_index(client: FlaskClient) -> None:
    """The index links every noun and everything else, and each link answers."""
    index = fetch(client, "/").get_json()
    names = (
        "example",
        "search",
        "suggest",
        "reconcile",
        "changes",
        "changesets",
        "digest",
        "snapshot",
        "docs",
        "openapi",
        "enums",
        "problems",
        "livez",
        "readyz",
    )
    paths = (
        "/initiatives/los-angeles-ca-myla311",
        "/search?q=digital",
        "/suggest?q=san",
        "/reconcile",
        "/changes?since=0",
        "/changesets",
        "/digest",
        "/snapshot",
        "/docs",
        "/openapi.json",
        "/enums",
        "/problems",
        "/livez",
        "/readyz",
    )
    assert index == {
        "title": TITLE,
        "description": SUMMARY,
        "version": __version__,
        "nouns": [{"name": row.name, "description": row.description, "url": f"{BASE}/{row.name}"} for row in RESOURCES],
        "links": [
            {"name": name, "description": link["description"], "url": BASE + path}
            for name, path, link in zip(names, paths, index["links"], strict=True)
        ],
    }
    assert all(link["description"] for link in index["links"])
    statuses = {
        link["url"]: fetch(client, link["url"].removeprefix(BASE)).status_code for link in index["nouns"] + index["links"]
    }
    assert statuses == dict.fromkeys(statuses, 200)


WITH_KEY = ("/keys", "/proposals", "/webhooks")


def test_the_index_misses_nothing(app: Flask) -> None:
    """The index links to every path of the URL map that has no variable part and needs no key, but not to the desk."""
    paths = {rule.rule for rule in app.url_map.iter_rules() if not rule.arguments and "GET" in (rule.methods or ())}
    paths = {path for path in paths if not path.startswith("/edit")}
    nouns = {f"/{row.name}" for row in RESOURCES}
    assert {row.path for row in LINKS} == paths - nouns - {"/", *WITH_KEY, "/robots.txt", "/sitemap.xml", "/metrics"}


class Text(HTMLParser):
    """The visible text of a page."""

    def __init__(self, page: str) -> None:
        """Read the page."""
        super().__init__()
        self.text = ""
        self.feed(page)

    def handle_data(self, data: str) -> None:
        """Add a piece of text."""
        self.text += data


@pytest.mark.parametrize("path", PAGES)
def test_pages_load_only_our_files(routing_client: FlaskClient, path: str) -> None:
    """A page loads our own files and nothing else, runs nothing inline, and its links to us answer."""
    page = page_of(routing_client, path)
    assert page.loads
    own = ("/docs/", "/static/", "/search", f"{BASE}{path}")
    assert [address for address in page.loads if not address.startswith(own)] == []
    assert page.inline == []
    # Links within a page are followed elsewhere; a search needs words.
    links = [link for link in page.links if not link.startswith("#")]
    addresses = {
        address: re.sub("((?<!/docs)/search|/docs/find)$", r"\1?q=a", address.removeprefix(BASE))
        for address in page.loads + links
    }
    assert {address for address, path in addresses.items() if not path.startswith("/")} == set()
    statuses = {path: fetch(routing_client, path).status_code for path in addresses.values()}
    assert statuses == dict.fromkeys(statuses, 200)


@pytest.mark.parametrize("path", PAGES)
def test_policy(site: FlaskClient, path: str) -> None:
    """Every page has the documented policy, which loads nothing from elsewhere; so has a 304."""
    response = fetch(site, path, BROWSER)
    assert response.headers["Content-Security-Policy"] == POLICY
    again = fetch(site, path, BROWSER, response.headers["ETag"])
    assert (again.status_code, again.headers["Content-Security-Policy"]) == (304, POLICY)
    allowed = {source for directive in POLICY.split("; ") for source in directive.split(" ")[1:]}
    assert allowed == {"'none'", "'self'"}


@pytest.mark.parametrize(("name", "content_type"), CONTENT_TYPES.items())
def test_assets(site: FlaskClient, name: str, content_type: str) -> None:
    """Each file of the pages is served with its media type, and is checked with its ETag before each use."""
    response = fetch(site, f"/static/{name}")
    expected = {
        "Content-Type": content_type,
        "Cache-Control": "public, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    assert response.status_code == 200
    assert expected.items() <= dict(response.headers).items()
    assert response.get_data()
    again = fetch(site, f"/static/{name}", tag=response.headers["ETag"])
    assert (again.status_code, again.get_data()) == (304, b"")


def test_every_asset_is_listed(site: FlaskClient) -> None:
    """The pages load exactly the files of the test above."""
    loads = [address for path in PAGES for address in page_of(site, path).loads]
    loaded = {address.removeprefix("/static/") for address in loads if address.startswith("/static/")}
    assert loaded == set(CONTENT_TYPES)
    assert set(STATIC) == loaded


def test_our_assets_name_no_other_host(site: FlaskClient) -> None:
    """No style sheet loads anything."""
    for name in ("docs.css", "style.css"):
        sheet = fetch(site, f"/static/{name}").get_data(as_text=True)
        assert [word for word in ("//", "url(", "@import") if word in sheet] == []


@pytest.mark.parametrize(
    ("path", "accept"),
    [(path, accept) for path in EITHER for accept in ("application/json", BROWSER)]
    + [("/docs", BROWSER), ("/openapi.json", "*/*")],
)
def test_not_modified(site: FlaskClient, path: str, accept: str) -> None:
    """A request with the current tag gets a 304 with that tag; JSON and page have different tags."""
    response = fetch(site, path, accept)
    tag = response.headers["ETag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = fetch(site, path, accept, sent)
        assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == response.headers["Cache-Control"] == "public, no-cache"
        assert again.headers.get("Vary") == response.headers.get("Vary")
    assert fetch(site, path, accept, '"other"').status_code == 200
    if path in EITHER:
        other = fetch(site, path, BROWSER if accept != BROWSER else "application/json")
        assert other.headers["ETag"] != tag


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_type(site: FlaskClient, name: str) -> None:
    """Every type of problem has its page, which says the same to machines and to people."""
    row = PROBLEMS[name]
    body = fetch(site, f"/problems/{name}").get_json()
    assert body == {
        "type": f"{BASE}/problems/{name}",
        "title": row.title,
        "status": row.status,
        "description": row.description,
        "example": body["example"],
    }
    example: dict[str, Any] = body["example"]
    members = {"type": body["type"], "title": row.title, "status": row.status, "detail": row.detail, "errors": [*row.errors]}
    assert members.items() <= example.items()
    page = fetch(site, f"/problems/{name}", BROWSER)
    assert (page.content_type, page.headers["Content-Security-Policy"]) == (HTML, POLICY)
    text = Text(page.get_data(as_text=True)).text
    words = [row.title, str(row.status), row.description.replace("`", ""), row.detail, body["type"]]
    assert [word for word in words if word not in text] == []
    assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == example


def test_problem_types(site: FlaskClient) -> None:
    """Every type of problem is in the list, as at its own path, and the page links to each."""
    data = fetch(site, "/problems").get_json()["data"]
    assert data == [fetch(site, f"/problems/{name}").get_json() for name in PROBLEMS]
    assert {row["type"] for row in data} <= {*page_of(site, "/problems").links}
    text = Text(fetch(site, "/problems", BROWSER).get_data(as_text=True)).text
    assert [row for row in data if row["title"] not in text or row["description"].replace("`", "") not in text] == []


@pytest.mark.parametrize(
    "path",
    [
        "/problems/unheard-of",
        "/problems/",
        "/problems/invalid-query/",
        "/docs/",
        "/docs/unheard-of.js",
        "/docs/../app.py",
        "/docs/%2e%2e/app.py",
        "/docs/..%2fapp.py",
        "/docs/%2e%2e%2fapp.py",
        "/docs/..\\app.py",
        "/docs/%2fetc%2fpasswd",
        "/docs//etc/passwd",
        "/docs/page.css/",
        "/docs/./page.css",
        "/docs/unheard-of/../page.css",
        "/docs/page.css%00",
        "/docs/docs.js",
        "/docs/index.html",
        "/static/page.css",
    ],
)
@pytest.mark.parametrize("accept", ["application/json", BROWSER], ids=["machine", "browser"])
def test_nothing_else_is_there(site: FlaskClient, path: str, accept: str) -> None:
    """A missing file, or one outside the folder, is a 404 problem that shows nothing of the machine."""
    response = fetch(site, path, accept)
    assert (response.status_code, response.content_type) == (404, HTML if accept == BROWSER else MEDIA_TYPE)
    assert f"{BASE}/problems/not-found" in response.text
    assert "Traceback" not in response.text


def test_links_follow_the_request() -> None:
    """Without a configured address, links begin with the host of the request."""
    with serving(NO_DATABASE) as app:
        client = app.test_client()
        for base in ("http://localhost", "https://elsewhere.example:8443"):
            index = client.get("/", base_url=base).get_json()
            addresses = [link["url"] for link in index["nouns"] + index["links"]]
            addresses += [row["type"] for row in client.get("/problems", base_url=base).get_json()["data"]]
            assert [address for address in addresses if not address.startswith(f"{base}/")] == []
            page = References(client.get("/problems", base_url=base, headers={"Accept": BROWSER}).get_data(as_text=True))
            assert {"{0.scheme}://{0.netloc}".format(urlsplit(address)) for address in page.links} == {base, "://"}


def test_readme_shows_every_operator(client: FlaskClient) -> None:
    """The README has an example of each operator, and each works."""
    assert set(EXAMPLES) == set(OPERATORS)
    assert {query: fetch(client, f"/cities?{query}").status_code for query in EXAMPLES.values()} == dict.fromkeys(
        EXAMPLES.values(), 200
    )


def test_every_value_has_a_label_and_a_meaning(client: FlaskClient) -> None:
    """Each value that OpenAPI lists for a member of choices is explained at one address, and in OpenAPI itself."""
    rows = client.get("/enums").get_json()["data"]
    schemas = client.get("/openapi.json").get_json()["components"]["schemas"]
    places = [(row["noun"], row["member"]) for row in rows]
    assert places == [
        *(("initiatives", member) for member in ("status", "partners.role")),
        *(("initiatives", f"metrics.{member}") for member in ("kind", "qualifier", "direction")),
        ("organizations", "type"),
        ("sources", "type"),
        ("citations", "basis"),
    ]
    parts = {"partners": "Partner", "metrics": "Metric"}
    for row in rows:
        head, _, below = row["member"].partition(".")
        schema = schemas[parts[head] if below else BY_NAME[row["noun"]].singular.title()]["properties"][below or head]
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        assert [value["value"] for value in row["values"]] == [value for value in schema["enum"] if value is not None]
        for value in row["values"]:
            assert value["label"] == value["value"].replace("_", " ").capitalize()
            assert re.fullmatch(r"[A-Z].+\.", value["description"])
            assert f"- `{value['value']}`: {value['description']}" in schema["description"]


@pytest.mark.parametrize("path", ["/docs", "/docs/cities", "/docs/find"])
def test_documentation_refuses_unknown_parameters(client: FlaskClient, path: str) -> None:
    """Each page of the documentation refuses a parameter that it does not have, and its search takes its own."""
    status, type, errors = brief(client.get(f"{path}?q=city&tab=2"))
    assert (status, type) == (400, "invalid-query")
    assert {item["parameter"] for item in errors} == ({"tab"} if path.endswith("find") else {"q", "tab"})
