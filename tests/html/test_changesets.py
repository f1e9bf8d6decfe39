"""The pages of changesets: who changed what, when and why, in words and with names."""

import datetime as dt
import re

import pytest
from flask.testing import FlaskClient

from api.schema.resource import Resource
from tests.support.answers import Json
from tests.support.browser import CHANGES
from tests.support.databases import ON_SQLITE
from tests.support.editions import SEEDED
from tests.support.markup import Page, ask, page_of
from tests.support.records import nouns

SITE = "http://localhost"
TODAY = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
SENTENCE = "Paragraph 18, sentence 2 of Article on California cities in the Digital Cities Survey, population 500,000 or more"


def lines(page: Page) -> list[str]:
    """Return the lines of a page, without its frame."""
    text = page.text.partition("Search\n")[2].partition("This page as")[0]
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def commits(curator: FlaskClient) -> list[int]:
    """The versions of two changesets, the first of which creates what the second one changes."""
    made = []
    for message, operations in CHANGES.items():
        answer = curator.post("/changesets", json={"message": message, "operations": operations})
        assert answer.status_code == 200, answer.text
        made.append(answer.get_json()["meta"]["commit"])
    return made


@ON_SQLITE
def test_the_list(curator: FlaskClient, commits: list[int]) -> None:
    """A row has the author, the message, what was done to how many records, and their names with links; pages follow."""
    page = page_of(curator, "/changesets")
    assert page.heads == ["When", "Who", "Why", "What"]
    told = lines(page)
    assert {
        f"3 updated, 1 deleted, 1 derived: Testville, Portal (Testville), Zed, {SENTENCE}, Seattle",
        "3 created: Testville, Portal (Testville), Zed",
        f"{SEEDED} created: Digital Cities Survey 2024, Boston, Los Angeles, Sacramento, San Diego and {SEEDED - 5} more",
        *CHANGES,
    } <= {*told}
    named = [
        ("/changesets?author=curator", "curator"),
        ("/cities/testville-zz", "Testville"),
        ("/organizations/zed/history", "Zed"),
    ]
    assert {*named} <= {*page.links}
    assert f"/changesets/{commits[1]}" in dict(page.links)
    short = page_of(curator, "/changesets?limit=1")
    (following,) = [href for href, text in short.links if text == "Next page"]
    assert "Testville joins" in page_of(curator, following).text


@ON_SQLITE
def test_filters_of_the_list(curator: FlaskClient, commits: list[int]) -> None:
    """The form filters by author, noun, days and import; days become times; each condition is in words and can be removed."""
    assert {"author", "kinds", "committed_at__gte", "committed_at__lte", "import_id"} <= page_of(
        curator, "/changesets"
    ).fields.keys()
    sent = f"author=curator&kinds=organizations&committed_at__gte={TODAY}&committed_at__lte={TODAY}&import_id="
    response = ask(curator, f"/changesets.html?{sent}")
    wanted = f"committed_at__gte={TODAY}T00:00:00Z&committed_at__lte={TODAY}T23:59:59.999999Z"
    tidied = f"{SITE}/changesets.html?author=curator&kinds=organizations&{wanted}"
    assert (response.status_code, response.headers["Location"]) == (303, tidied)
    page = page_of(curator, tidied.removeprefix(SITE))
    assert page.fields["committed_at__gte"] == page.fields["committed_at__lte"] == TODAY
    day = f"{dt.datetime.now(dt.UTC):%-d %B %Y}"
    for said in ("by curator", "that changed organizations", f"since {day}", f"until {day}"):
        assert f"Remove: {said}" in page.text
    assert len([text for href, text in page.links if re.fullmatch(r"/changesets/\d+", href)]) == len(commits)
    (removed,) = [href for href, text in page.links if "Remove: by curator" in text]
    assert removed == f"/changesets.html?kinds=organizations&{wanted}"
    assert "Show all changesets" in page_of(curator, "/changesets?author=nobody&kinds=cities,awards").text
    assert "after 1 February 2025, 12:30 UTC" in page_of(curator, "/changesets?committed_at__gt=2025-02-01T12:30:00Z").text
    # Data stays strict, and the link to it has times.
    assert curator.get(f"/changesets?committed_at__gte={TODAY}").status_code == 400
    (data,) = [href for href, text in page.links if text == "JSON"]
    assert [row["version"] for row in curator.get(data.removeprefix(SITE)).get_json()["data"]] == commits[::-1]


@ON_SQLITE
def test_a_changeset(curator: FlaskClient, commits: list[int]) -> None:
    """Each record is told by its name with its differences in words; of one that came or went, a short changeset has the facts."""
    page = page_of(curator, f"/changesets/{commits[1]}")
    told = lines(page)
    assert told[told.index("Updated") :] == [
        "Updated",
        "Cities (1)",
        "Testville (as it was then)",
        "Summary By the blue calm sea.",
        "Initiatives (1)",
        "Portal (Testville) (as it was then)",
        "Status from Pilot to In operation",
        "Partners removed Zed, Builder",
        "Metrics Grant: from more than $1.5 million (as of July 2024) to about $1.8 million (as of July 2024)",
        "Aliases added My Testville and TV311",
        "Citations (1)",
        f"{SENTENCE}, about Seattle (as it was then)",
        "How it is known from Stated to Inferred",
        "Deleted",
        "Organizations (1)",
        "Zed",
        "Name Zed",
        "Type Company",
        "Derived",
        "These changed only because records that they depend on did.",
        "Cities (1)",
        "Seattle (as it was then)",
        "How it is known Name: now inferred",
    ]
    assert {"Read again.", "Records 3 updated, 1 deleted, 1 derived", "Who curator"} <= {*told}
    for href in {href for href, _ in page.links if href.startswith("/")}:
        assert (href, ask(curator, href).status_code) == (href, 200)


@ON_SQLITE
def test_a_long_changeset(client: FlaskClient) -> None:
    """Of many records that came, the names are shown, with those of what they are about, and the others are one link away."""
    page = page_of(client, "/changesets/1")
    assert f"Records {SEEDED}" in lines(page)
    assert "These are the first 500 changes." in page.text
    assert not [
        text for href, text in page.links if re.search(r"/(cities|citations)/", href) and re.fullmatch(r"[a-z0-9-]+", text)
    ]
    (citations,) = [line for line in lines(page) if line.startswith("Citations (")]
    assert f"More: {int(citations[11:-1]) - 10} citations" in lines(page)
    (others,) = [href for href, text in page.links if text == "The others"]
    rest = client.get(f"{others}&limit=1000").get_json()["data"]
    assert [row["version"] for row in rest] == [*range(501, SEEDED + 1)]
    assert ask(client, others).status_code == 200


@ON_SQLITE
def test_imports_and_merges(curator: FlaskClient, commits: list[int]) -> None:
    """A record that was merged names the one that stays; a version within a changeset leads to its page."""
    rows: list[Json] = [{"op": "merge", "kind": "cities", "id": "testville-zz", "into": "boston-ma"}]
    made = curator.post("/changesets", json={"operations": rows}).get_json()["meta"]["commit"]
    assert "Testville, merged into Boston" in lines(page_of(curator, f"/changesets/{made}"))
    history = page_of(curator, "/cities/testville-zz/history")
    assert any("deleted, merged into Boston by curator" in line for line in lines(history))
    within = ask(curator, f"/changesets/{commits[0] + 1}.html")
    assert (within.status_code, within.headers["Location"]) == (303, f"{SITE}/changesets/{commits[0]}.html")
    assert ask(curator, "/changesets/999999").status_code == 404


@ON_SQLITE
@nouns
def test_every_noun(client: FlaskClient, resource: Resource) -> None:
    """Each noun has its changesets, and each of its records a history, whose changeset is one link away."""
    assert f"that changed {resource.name}" in page_of(client, f"/changesets?kinds={resource.name}").text
    id = client.get(f"/{resource.name}?limit=1").get_json()["data"][0]["id"]
    assert ("/changesets/1", "changeset 1") in page_of(client, f"/{resource.name}/{id}/history").links
