"""The desk in a browser without JavaScript: every form, by keyboard; and axe finds nothing in any of its pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from sqlalchemy import text

from api.db.database import Database
from api.resources import RESOURCES
from api.web import keys
from tests.support.applications import serving
from tests.support.browser import Scheme, Visit, served, visiting
from tests.support.databases import Store, template
from tests.support.lengths import Sample, few

FORMS = [f"/edit/{noun.name}{rest}" for noun in RESOURCES for rest in ("", "/new")]
PAGES = ("/edit", "/edit/imports", "/edit/proposals", "/edit/initiatives/los-angeles-ca-myla311", "/edit/changesets/1", *FORMS)
SCOPES = {"editor": ("write", "propose"), "intern": ("propose",), "chief": ("publish", "write")}
# The narrowest look in the dark, and the widest in the light.
# The databases behind the desks, by their addresses.
DATABASES: dict[str, Database] = {}
LOOKS: dict[int, Scheme] = {320: "dark", 1280: "light"}


@pytest.fixture(scope="module")
def desk(sqlite_store: Store) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of an application, and the secrets of keys."""
    with serving(sqlite_store.copy(template(sqlite_store))) as app, served(app) as address:
        with app.extensions["database"].writing() as session:
            secrets = {name: keys.issue(session, name, scopes) for name, scopes in SCOPES.items()}
        DATABASES[address] = app.extensions["database"]
        yield address, secrets


@contextmanager
def signed_in(browser: Browser, desk: tuple[str, dict[str, str]], name: str, *, javascript: bool = False) -> Iterator[Visit]:
    """Sign in by keyboard."""
    address, secrets = desk
    with visiting(browser, f"{address}/edit", javascript=javascript) as visit:
        visit.page.get_by_label("Key").fill(secrets[name])
        visit.page.keyboard.press("Enter")
        visit.page.get_by_role("heading", name="Desk").wait_for()
        yield visit


def press(page: Page, name: str) -> None:
    """Press a button by keyboard."""
    button = page.get_by_role("button", name=name, exact=True)
    button.focus()
    page.keyboard.press("Enter")


@pytest.mark.parametrize("width", few(LOOKS, 320))
def test_each_page(browser: Browser, desk: tuple[str, dict[str, str]], sample: Sample, width: int) -> None:
    """Axe finds nothing, and nothing sticks out."""
    with signed_in(browser, desk, "editor", javascript=True) as visit:
        visit.look(width, LOOKS[width])
        found = {}
        for path in sample(PAGES, 3):
            visit.page.goto(f"{desk[0]}{path}")
            found[path] = visit.sticking_out() + visit.violations()
        assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize("noun", few([noun.name for noun in RESOURCES], "initiatives"))
def test_each_form(browser: Browser, desk: tuple[str, dict[str, str]], noun: str) -> None:
    """A record of each noun is found, its form is sent as it is, and it is saved."""
    with signed_in(browser, desk, "editor") as visit:
        page = visit.page
        page.goto(f"{desk[0]}/edit/{noun}")
        page.get_by_role("main").get_by_role("listitem").get_by_role("link").last.click()
        assert page.get_by_role("heading", level=1).inner_text().startswith("Change ")
        page.get_by_label("Why").focus()
        page.keyboard.press("Enter")
        assert page.get_by_role("status").inner_text() == "Saved."


def test_one_edition_by_two_keys(browser: Browser, desk: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    """One uploads a sheet with a fault, mends it, and another publishes it and takes it back, without a mouse."""
    sheet = tmp_path / "cities.csv"
    with signed_in(browser, desk, "intern") as visit:
        page = visit.page
        for text, ends in (("City\nGotham\n", "alert"), ('City\n"Gotham, N.J."\n', "status")):
            sheet.write_text(text)
            page.goto(f"{desk[0]}/edit/imports")
            page.get_by_label("File").set_input_files(sheet)
            page.get_by_label("What its rows are").select_option("cities")
            press(page, "Upload")
            page.locator(f"[role={ends}]").first.wait_for()
        assert "Gotham, NJ, US" in page.inner_text("main")
        address = page.get_by_role("link", name="review the proposal").get_attribute("href")
    with signed_in(browser, desk, "chief") as visit:
        page = visit.page
        page.goto(f"{desk[0]}{address}")
        assert "gotham-nj" in page.inner_text("main")
        press(page, "Publish")
        page.get_by_role("link", name="The changeset").click()
        page.get_by_role("heading", name="Changeset").wait_for()
        press(page, "Revert this changeset")
        page.get_by_text("Reverts changeset").wait_for()


@pytest.mark.slow
def test_two_editors_of_one_record(browser: Browser, desk: tuple[str, dict[str, str]]) -> None:
    """Who saves second sees both values, and saves again."""
    path = f"{desk[0]}/edit/cities/boston-ma"
    with signed_in(browser, desk, "editor") as one, signed_in(browser, desk, "chief") as other:
        for visit in (one, other):
            visit.page.goto(path)
        for visit, text in ((one, "First."), (other, "Second.")):
            visit.page.get_by_label("Summary").fill(text)
            press(visit.page, "Save")
        table = other.page.get_by_role("alert").inner_text()
        assert ("Second." in table, "First." in table) == (True, True)
        press(other.page, "Save")
        assert other.page.get_by_role("status").inner_text() == "Saved."


ENDS = {
    "revoked key": "update api_keys set revoked_at = created_at where name = 'leaving'",
    "expired key": "update api_keys set expires_at = created_at where name = 'leaving'",
    "expired session": "update desk_sessions set expires_at = '2020-01-01 00:00:00' where key = 'leaving'",
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_a_session_that_ended(browser: Browser, desk: tuple[str, dict[str, str]], end: str) -> None:
    """Whose session has ended meanwhile has to sign in again, and what was sent changes nothing."""
    address, database = desk[0], DATABASES[desk[0]]
    with database.writing() as session:
        session.execute(text("delete from api_keys where name = 'leaving'"))
        secret = keys.issue(session, "leaving", ["write"])
    with signed_in(browser, (address, {"leaving": secret}), "leaving") as visit:
        page = visit.page
        page.goto(f"{address}/edit/cities/seattle-wa")
        page.get_by_label("Summary").fill("Late.")
        with database.writing() as session:
            session.execute(text(ENDS[end]))
        press(page, "Save")
        page.get_by_role("heading", name="Sign in").wait_for()
        page.goto(f"{address}/cities/seattle-wa")
        assert "Late." not in page.inner_text("main")


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["token", "origin"])
def test_a_form_of_others(browser: Browser, desk: tuple[str, dict[str, str]], wrong: str) -> None:
    """A form with another token, or the right one on a page of another address, is refused, although the cookie is sent."""
    other = Flask("other")
    with served(other) as elsewhere, signed_in(browser, desk, "editor") as visit:
        page = visit.page
        page.goto(f"{desk[0]}/edit/cities/seattle-wa")
        token = "0" * 64 if wrong == "token" else page.locator("[name=token]").last.input_value()
        where = desk[0] if wrong == "token" else elsewhere
        form = f'<form method="post" action="{desk[0]}/edit/cities/seattle-wa"><input name="token" value="{token}"><button>Win</button></form>'
        page.route(f"{where}/prize", lambda route: route.fulfill(body=form, content_type="text/html"))
        page.goto(f"{where}/prize")
        page.get_by_role("button", name="Win").click()
        page.get_by_text("This form is from another session or another site").first.wait_for()
        assert page.get_by_text("Status 403").is_visible()
