"""The desk: sessions and their ends, forms that only their page can send, and records, files and proposals in them."""

import datetime as dt
import io
import re
from dataclasses import replace
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.db.database import Database
from api.resources import RESOURCES
from api.settings import Settings
from api.web import keys, sessions
from tests.support.answers import read
from tests.support.applications import serving
from tests.support.databases import ON_SQLITE, head
from tests.support.desk import HTML, Desk
from tests.support.records import nouns

pytestmark = ON_SQLITE


@pytest.fixture
def app(own_client: FlaskClient) -> Flask:
    """An application with a database of its own."""
    return own_client.application


def issue(app: Flask, name: str, *scopes: str) -> str:
    """Return the secret of a new key."""
    with app.extensions["database"].writing() as session:
        return keys.issue(session, name, scopes)


@pytest.fixture
def editor(app: Flask) -> Desk:
    """Someone who may write."""
    return Desk(app.test_client(), issue(app, "editor", "write"))


# --- sessions


def test_sign_in(app: Flask) -> None:
    """The desk leads to the page where one signs in and then back; its cookie is for it alone, and nobody may keep its pages."""
    client = app.test_client()
    answer = client.get("/edit/cities?q=a", headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "http://localhost/edit/sign-in?next=/edit/cities%3Fq%3Da")
    desk = Desk(client)
    answer = desk.send("/edit/sign-in", page="/edit/sign-in?next=/edit/cities%3Fq%3Da", key=issue(app, "editor", "write"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "http://localhost/edit/cities?q=a")
    flags = {flag.strip().partition("=")[0] for flag in answer.headers["Set-Cookie"].split(";")[1:]}
    assert flags == {"Expires", "Max-Age", "HttpOnly", "Path", "SameSite"}
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert "Max-Age=43200" in answer.headers["Set-Cookie"]
    for path in ("/edit", "/edit/cities", "/edit/cities/new", "/edit/cities/boston-ma", "/edit/imports", "/edit/proposals"):
        answer = client.get(path, headers=HTML)
        assert (path, answer.status_code, answer.headers["Cache-Control"]) == (path, 200, "no-store")
        assert "Access-Control-Allow-Origin" not in answer.headers
    answer = client.get("/edit/sign-in?next=/edit/cities", headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "http://localhost/edit/cities")
    assert app.test_client().get("/edit/sign-in").headers["Cache-Control"] == "no-store"


def test_the_cookie_is_for_tls(app: Flask) -> None:
    """Except on this machine, a browser sends the cookie over TLS alone."""
    answers = [
        app.test_client().get("/edit/sign-in", base_url=url)
        for url in ("https://localhost", "http://desk.example", "http://127.0.0.1:1")
    ]
    assert ["Secure" in answer.headers["Set-Cookie"] for answer in answers] == [True, True, False]


@pytest.mark.parametrize(
    "where", ["//evil.example", "https://evil.example/edit", "/editor", "/cities", "/edit\\..", "", "/edit/\r\nX: y"]
)
def test_it_leads_to_itself_alone(app: Flask, where: str) -> None:
    """After one has signed in, a link cannot lead elsewhere."""
    answer = Desk(app.test_client()).send("/edit/sign-in", key=issue(app, "editor", "write"), next=where)
    assert answer.headers["Location"] == "http://localhost/edit"


def test_a_wrong_key(app: Flask) -> None:
    """A text that is no active key signs nobody in, and too many of them are refused for a while, as in the API."""
    revoked = issue(app, "gone", "write")
    with app.extensions["database"].writing() as session:
        keys.revoke(session, "gone")
    for secret in ("dca_wrong", revoked, ""):
        answer = Desk(app.test_client()).send("/edit/sign-in", key=secret)
        assert (answer.status_code, "No active key" in answer.get_data(as_text=True)) == (401, True)


def test_guesses_are_limited(settings: Settings) -> None:
    """Whoever tries too many secrets has to wait, as in the API."""
    with serving(replace(settings, refusal_limit="2/hour")) as app:
        desk = Desk(app.test_client())
        answers = [desk.send("/edit/sign-in", key="dca_wrong") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert "try again in" in answers[2].get_data(as_text=True)


def test_writes_are_limited(settings: Settings) -> None:
    """The limit of the API holds at the desk: who writes too often is told so, and keeps what was entered."""
    with serving(replace(settings, write_limit="2/hour")) as app:
        desk = Desk(app.test_client(), issue(app, "editor", "write"))
        answers = [desk.send("/edit/cities/boston-ma", "save", summary=f"Text {number}.") for number in range(4)]
        assert [answer.status_code for answer in answers] == [303, 303, 429, 429]
        assert ("Text 2." in (html := answers[2].get_data(as_text=True)), "try again in" in html) == (True, True)
        assert read(app.test_client(), "/cities/boston-ma")["data"]["summary"] == "Text 1."


def test_many_proposals(app: Flask) -> None:
    """A page leads to the next one, in the same state, until all proposals were listed."""
    desk = Desk(app.test_client(), issue(app, "intern", "propose"))
    for number in range(3):
        assert desk.send("/edit/cities/boston-ma", "propose", summary=f"Text {number}.").status_code == 303
    path, listed = "/edit/proposals?limit=2", list[str]()
    while path:
        html = desk.page(path)
        listed += re.findall(r'href="/edit/proposals/(pr-[0-9a-f]+)"', html)
        path = next((unescape(row) for row in re.findall(r'href="(/edit/proposals\?[^"]+)" rel="next"', html)), "")
    assert len(listed) == len(set(listed)) == 3
    assert desk.page("/edit/proposals?state=").count('href="/edit/proposals/pr-') == 3


def revoke(database: Database) -> None:
    """Revoke the key."""
    with database.writing() as session:
        keys.revoke(session, "editor")


def rotate(database: Database) -> None:
    """Give the key another secret."""
    with database.writing() as session:
        keys.rotate(session, "editor")


def age(database: Database) -> None:
    """Let the session be as old as it may become."""
    with database.writing() as session:
        session.execute(text("update desk_sessions set expires_at = :now"), {"now": dt.datetime.now(dt.UTC)})


def expire(database: Database) -> None:
    """Let the key expire."""
    with database.writing() as session:
        session.execute(text("update api_keys set expires_at = :now"), {"now": dt.datetime.now(dt.UTC)})


@pytest.mark.parametrize("end", [revoke, rotate, age, expire])
def test_a_session_ends(editor: Desk, end: object) -> None:
    """A session ends with its key, when that has another secret, and after 12 hours; what is sent then changes nothing."""
    form = editor.form("/edit/cities/boston-ma")
    assert callable(end)
    end(editor.client.application.extensions["database"])
    answer = editor.client.post("/edit/cities/boston-ma", data=form | {"_action": "save", "summary": "Late."}, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (303, "http://localhost/edit/sign-in?next=/edit")
    assert read(editor.client, "/cities/boston-ma")["data"]["summary"] is None


def test_sign_out(editor: Desk) -> None:
    """Whoever signs out is signed out, even if somebody has the cookie."""
    cookie = editor.cookie
    assert editor.send("/edit/sign-out", page="/edit").headers["Location"] == "http://localhost/edit/sign-in"
    editor.client.set_cookie("desk", cookie, path="/edit")
    assert editor.client.get("/edit", headers=HTML).status_code == 303


def test_a_known_token_is_worth_nothing(app: Flask) -> None:
    """The token changes when one signs in, so nobody can give a victim a token and use it afterwards."""
    desk = Desk(app.test_client())
    desk.page("/edit/sign-in")
    before = desk.cookie
    desk.send("/edit/sign-in", key=issue(app, "editor", "write"))
    assert desk.cookie != before


def test_signing_in_again(editor: Desk, app: Flask) -> None:
    """Whoever signs in again, in another window, ends the session before."""
    form, before = editor.form("/edit"), editor.cookie
    answer = editor.client.post("/edit/sign-in", data=form | {"key": issue(app, "other", "write")}, headers=HTML)
    assert answer.status_code == 303
    editor.client.set_cookie("desk", before, path="/edit")
    assert editor.client.get("/edit", headers=HTML).status_code == 303


def test_secrets_are_not_stored(editor: Desk) -> None:
    """The database has neither the token nor the secret of the key."""
    with editor.client.application.extensions["database"].reading() as session:
        assert editor.cookie not in str(session.execute(text("select * from desk_sessions")).all())


def test_forms_of_others(editor: Desk, app: Flask) -> None:
    """A form without the session's token, with that of another session, or from another site is refused; the control is sent."""
    other = Desk(app.test_client(), issue(app, "other", "write"))
    form = editor.form("/edit/cities/boston-ma") | {"_action": "save", "summary": "Changed."}
    wrong = [form | {"token": token} for token in ("", "x", other.form("/edit/cities/boston-ma")["token"], "é")]
    statuses = [editor.client.post("/edit/cities/boston-ma", data=row, headers=HTML).status_code for row in wrong]
    assert statuses == [403] * 4
    for origin in ("https://evil.example", "null", "http://localhost.evil.example", "http://localhost:81"):
        answer = editor.client.post("/edit/cities/boston-ma", data=form, headers=HTML | {"Origin": origin})
        assert (origin, answer.status_code) == (origin, 403)
    assert read(app.test_client(), "/cities/boston-ma")["data"]["summary"] is None
    answer = editor.client.post("/edit/cities/boston-ma", data=form, headers=HTML | {"Origin": "http://localhost"})
    assert answer.status_code == 303
    # Without a cookie, everybody can compute the token.
    known = {"key": issue(app, "evil", "write"), "token": sessions.form_token("")}
    assert app.test_client().post("/edit/sign-in", data=known, headers=HTML).status_code == 403
    for path in ("/edit/sign-in", "/edit/sign-out", "/edit/cities/new", "/edit/imports"):
        assert editor.client.post(path, data={"key": "x"}, headers=HTML).status_code == 403


# --- records


@nouns
def test_an_unchanged_form(editor: Desk, resource: object) -> None:
    """A form of any noun that is sent as it is changes nothing."""
    name = getattr(resource, "name")  # noqa: B009 - nouns are typed elsewhere
    database = editor.client.application.extensions["database"]
    before = head(database)
    for row in read(editor.client, f"/{name}?limit=3")["data"]:
        assert (
            editor.send(f"/edit/{name}/{row['id']}", "save").headers["Location"].endswith(f"/edit/{name}/{row['id']}?saved=yes")
        )
    assert head(database) == before


def test_a_record_from_its_beginning_to_its_end(editor: Desk) -> None:
    """A record is entered with a reason, found, changed, cited, and deleted."""
    answer = editor.send(
        "/edit/cities/new", "save", id="gotham-nj", name="Gotham", state="NJ", country="US", _message="Found it."
    )
    assert answer.headers["Location"] == "http://localhost/edit/cities/gotham-nj?saved=yes"
    assert ">Gotham</a>" in editor.page("/edit/cities?q=gotham")
    assert (
        read(editor.client, "/changesets?limit=1")["data"][0] | {"author": "editor", "message": "Found it."}
        == read(editor.client, "/changesets?limit=1")["data"][0]
    )
    page = "/edit/citations/new?subject_kind=cities&subject_id=gotham-nj&field=/name"
    form = editor.form(page)
    assert (form["subject_kind"], form["subject_id"], form["field"]) == ("cities", "gotham-nj", "/name")
    source = read(editor.client, "/sources?type=article&limit=1")["data"][0]["id"]
    cited = {
        "id": "gotham-name",
        "source": source,
        "paragraph": "1",
        "sentence": "1",
        "basis": "stated",
        "sentence_sha256": "0" * 64,
    }
    answer = editor.send("/edit/citations/new", "save", page=page, **cited)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    assert "/edit/citations/gotham-name" in editor.page("/edit/cities/gotham-nj")
    assert (
        editor.send("/edit/cities/gotham-nj", "delete").headers["Location"] == "http://localhost/edit/cities?deleted=gotham-nj"
    )
    assert editor.client.get("/cities/gotham-nj").status_code == 410


def test_what_is_wrong_is_said_at_its_input(editor: Desk) -> None:
    """Each sentence of the API is below the input that it is about, which keeps what was entered."""
    wrong = {"started": "soon", "city": "nowhere", "metrics__9__name": "Visits", "metrics__9__value": "many"}
    answer = editor.send("/edit/initiatives/los-angeles-ca-myla311", "save", **wrong)
    html = answer.get_data(as_text=True)
    assert answer.status_code == 422
    said = dict(re.findall(r'<span class="error" id="e-([^"]+)">(.*?)</span>', html))
    assert {"started", "metrics-9-value", "metrics-9-kind", "metrics-9-unit"} <= said.keys()
    assert 'value="soon"' in html
    assert 'value="many"' in html


def test_two_editors(editor: Desk, app: Flask) -> None:
    """Who saves second sees both values side by side, and then may save; the first change is in the history."""
    other = Desk(app.test_client(), issue(app, "other", "write"))
    path = "/edit/cities/boston-ma"
    late = editor.form(path) | {"_action": "save", "summary": "Second."}
    assert other.send(path, "save", summary="First.").status_code == 303
    answer = editor.client.post(path, data=late, headers=HTML)
    html = answer.get_data(as_text=True)
    assert answer.status_code == 412
    assert re.search(r'data-label="Yours"[^>]*>Second\.<.*data-label="Theirs, now"[^>]*>First\.<', html)
    assert read(app.test_client(), "/cities/boston-ma")["data"]["summary"] == "First."
    (version,) = re.findall(r'name="_version" value="([^"]+)"', html)
    assert editor.client.post(path, data=late | {"_version": version.replace("&#34;", '"')}, headers=HTML).status_code == 303
    assert read(app.test_client(), "/cities/boston-ma")["data"]["summary"] == "Second."
    summaries = [row["document"]["summary"] for row in read(app.test_client(), "/cities/boston-ma/history")["data"]]
    assert {"First.", "Second."} <= set(summaries)


@pytest.mark.parametrize("action", ["save", "propose", "delete"])
def test_a_record_that_is_gone(editor: Desk, action: str) -> None:
    """Who changes a record that was deleted meanwhile is told so, and keeps what was entered."""
    editor.send("/edit/cities/new", "save", id="gotham-nj", name="Gotham", state="NJ", country="US")
    path = "/edit/cities/gotham-nj"
    form = editor.form(path) | {"_action": action, "summary": "Dark."}
    assert editor.send(path, "delete").status_code == 303
    answer = editor.client.post(path, data=form, headers=HTML)
    html = answer.get_data(as_text=True)
    assert (answer.status_code, "was deleted" in html, "Dark." in html) == (410, True, True)


def test_odd_texts(editor: Desk) -> None:
    """What no page of the desk sends is refused as by the API, and nothing is saved that was not."""
    path = "/edit/cities/boston-ma"
    for action in ("save", "propose", "delete"):
        assert editor.send(path, action, page=path, _version="a\r\nX: y").status_code == 412
    # Without an id in the form, that of the address is meant.
    assert editor.send(path, "save", id="").headers["Location"] == f"http://localhost{path}?saved=yes"
    # A question mark within an id begins no query: with this one, nothing would be saved, and the page would say that it was.
    for odd in ("%3Fdry_run=true", "%253Fdry_run=true", "%2523"):
        assert editor.client.get(f"{path}{odd}", headers=HTML).status_code == 404
        assert editor.send(f"{path}{odd}", "save", page=path, summary="Dry.").status_code in {400, 404, 412, 422}
    assert editor.client.get("/edit/proposals/pr-0%3Fa", headers=HTML).status_code == 404
    assert editor.client.get("/edit/proposals?state=open%26limit=1", headers=HTML).status_code == 400
    html = editor.send("/edit/changesets/1", page="/edit", import_id="a&message=b").get_data(as_text=True)
    assert "a&amp;message=b" in html


def test_requests_within_requests(editor: Desk) -> None:
    """A page has the id that its client gave, and nothing else of the requests that it makes, such as their limits."""
    answer = editor.client.get("/edit/proposals", headers=HTML | {"X-Request-Id": "abc"})
    assert (answer.headers["X-Request-Id"], "RateLimit" in answer.headers) == ("abc", False)


def test_more_rows(editor: Desk) -> None:
    """A button adds rows, keeps what was entered, and saves nothing."""
    before = head(editor.client.application.extensions["database"])
    answer = editor.send("/edit/cities/boston-ma", "more", summary="Not yet.")
    html = answer.get_data(as_text=True)
    assert (answer.status_code, html.count('name="identifiers-5-scheme"'), "Not yet." in html) == (200, 0, True)
    assert html.count("-scheme") > editor.page("/edit/cities/boston-ma").count("-scheme")
    assert head(editor.client.application.extensions["database"]) == before


@pytest.mark.parametrize(
    "path", ["/edit/nothing", "/edit/nothing/new", "/edit/cities/nowhere-zz", "/edit/changesets/999999", "/edit/proposals/pr-0"]
)
def test_what_is_not_there(editor: Desk, path: str) -> None:
    """An address without a record is a 404, as a page."""
    answer = editor.client.get(path, headers=HTML)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_what_a_key_may_not(app: Flask) -> None:
    """A key without a noun's scope gets no buttons, and what it sends anyway is refused."""
    desk = Desk(app.test_client(), issue(app, "narrow", "write:sources"))
    assert "Your key may not change cities" not in desk.page("/edit/sources/new")
    html = desk.page("/edit/cities/boston-ma")
    assert 'value="save"' not in html
    assert 'value="delete"' not in html
    answer = desk.send("/edit/cities/boston-ma", "save", summary="Mine.")
    assert (answer.status_code, "has the scope" in answer.get_data(as_text=True)) == (403, True)


def test_texts_are_escaped(editor: Desk) -> None:
    """What others wrote is shown, and never run."""
    nasty = '"><script>alert(1)</script>'
    assert editor.send("/edit/cities/boston-ma", "save", summary=nasty, _message=nasty).status_code == 303
    commit = read(editor.client, "/changesets?limit=1")["data"][0]["version"]
    for path in ("/edit", "/edit/cities/boston-ma", f"/edit/changesets/{commit}", "/edit/cities?q=%22%3E%3Cscript%3E"):
        assert "<script>" not in editor.page(path)


# --- proposals, files and reverts


def test_proposals(app: Flask) -> None:
    """One proposes, another looks at the differences and publishes, and the author can withdraw what is still open."""
    intern = Desk(app.test_client(), issue(app, "intern", "propose"))
    chief = Desk(app.test_client(), issue(app, "chief", "propose", "publish"))
    answer = intern.send("/edit/cities/boston-ma", "propose", summary="By the sea.", _message="A better text.")
    path = answer.headers["Location"].removeprefix("http://localhost")
    assert read(app.test_client(), "/cities/boston-ma")["data"]["summary"] is None
    assert 'value="publish"' not in intern.page(path)
    html = chief.page(path)
    assert ("By the sea." in html, "A better text." in html, 'value="publish"' in html) == (True, True, True)
    assert chief.send(path, "publish").status_code == 303
    assert read(app.test_client(), "/cities/boston-ma")["data"]["summary"] == "By the sea."
    assert "Published by chief" in intern.page(path)
    path = (
        intern.send("/edit/cities/seattle-wa", "propose", summary="Rain.").headers["Location"].removeprefix("http://localhost")
    )
    assert path.rpartition("/")[2] in chief.page("/edit/proposals")
    assert chief.send(path, "refuse").status_code == 422
    assert intern.send(path, "refuse", reason="Not true.").status_code == 303
    assert "Refused by intern: Not true." in chief.page(path)
    assert path.rpartition("/")[2] not in chief.page("/edit/proposals")
    assert path.rpartition("/")[2] in chief.page("/edit/proposals?state=refused")


def test_enter_publishes_nothing(app: Flask) -> None:
    """The Enter key in the reason for a refusal presses the first button of its form, so that is not the one that publishes."""
    chief = Desk(app.test_client(), issue(app, "chief", "write", "publish"))
    answer = chief.send("/edit/cities/boston-ma", "propose", summary="By the sea.")
    html = chief.page(answer.headers["Location"].removeprefix("http://localhost"))
    (form,) = [form for form in html.split("<form")[1:] if 'name="reason"' in form]
    assert re.findall('name="_action" value="([a-z]+)"', form) == ["refuse"]


def upload(desk: Desk, name: str, content: bytes, **given: str) -> tuple[int, str]:
    """Send a file; returns the status and the page."""
    form = desk.form("/edit/imports") | given | {"file": (io.BytesIO(content), name)}
    answer = desk.client.post("/edit/imports", data=form, headers=HTML, content_type="multipart/form-data")
    return answer.status_code, answer.get_data(as_text=True)


def test_files(app: Flask) -> None:
    """A file becomes a proposal with a report, or a report of its faults and questions; nothing else is stored."""
    desk = Desk(app.test_client(), issue(app, "intern", "propose"))
    status, html = upload(desk, "list.csv", b"City;Summary\nGotham, N.J.;Dark.\n", noun="cities", message="Part two.")
    assert status == 200, html
    assert "read as <code>Gotham, NJ, US</code>" in html
    (path,) = set(re.findall(r"/edit/proposals/pr-[0-9a-f]+", html))
    assert "Part two." in desk.page(path)
    for name, content, said in [
        ("list.csv", b"City,State\nGotham,\n", "country"),
        ("list.pdf", b"%PDF", "must end with one of"),
        ("list.xlsx", b"PK\3\4 not a workbook", "workbook"),
        ("list.csv", b"", "no record"),
    ]:
        status, html = upload(desk, name, content, noun="cities")
        assert (name, status, said in html) == (name, 422, True), html
    assert len(re.findall("/edit/proposals/pr-", desk.page("/edit/proposals"))) == 1
    status, html = upload(desk, "same.csv", b"id,summary\nboston-ma,\n", noun="cities")
    assert (status, "Nothing would change" in html) == (200, True)


def test_reverts(editor: Desk) -> None:
    """One's own changesets are on the desk, with a button; later changes that prevent a revert are named."""
    editor.send("/edit/cities/boston-ma", "save", summary="First.", _message="First text.")
    editor.send("/edit/cities/boston-ma", "save", summary="Second.")
    html = editor.page("/edit")
    (first,) = re.findall(r"/edit/changesets/([0-9]+)\">First text\.", html)
    answer = editor.send(f"/edit/changesets/{first}")
    assert (answer.status_code, f"{int(first) + 1}" in answer.get_data(as_text=True)) == (409, True)
    assert editor.send(f"/edit/changesets/{int(first) + 1}").status_code == 303
    assert editor.send(f"/edit/changesets/{first}").status_code == 303
    assert read(editor.client, "/cities/boston-ma")["data"]["summary"] is None


def test_below_a_path(settings: Settings) -> None:
    """Behind a proxy that serves the API below a path, links, redirects and the cookie have that path."""
    with serving(replace(settings, public_url="https://example.org/api")) as app:
        desk = Desk(app.test_client())
        answer = desk.client.get("/edit", headers=HTML)
        assert answer.headers["Location"] == "https://example.org/api/edit/sign-in?next=/edit"
        answer = desk.client.get("/edit/sign-in", headers=HTML, base_url="https://example.org")
        assert "Path=/api/edit" in answer.headers["Set-Cookie"]
        assert 'action="/api/edit/sign-in"' in answer.get_data(as_text=True)
        # A proxy that passes neither the host nor the scheme.
        answer = desk.client.get("/edit/sign-in", headers=HTML, base_url="http://127.0.0.1:8000")
        assert "Secure" in answer.headers["Set-Cookie"]


def test_nouns_are_on_the_desk(editor: Desk) -> None:
    """Every noun has its list and its form there."""
    html = editor.page("/edit")
    for resource in RESOURCES:
        assert f'href="/edit/{resource.name}"' in html
        assert f'href="/edit/{resource.name}/new"' in html
