"""The documentation in a browser: a reader comes to an operation or a parameter in two clicks, without JavaScript."""

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import visiting


@pytest.mark.parametrize("width", [390, 1280])
def test_an_operation_is_one_click_away(browser: Browser, site: str, width: int) -> None:
    """The index leads to an operation, whose heading, example and first parameters are in view."""
    with visiting(browser, f"{site}/docs", javascript=False) as visit:
        visit.look(width, "light")
        visit.page.click("main a[href$='#list_initiatives']")
        assert visit.page.url == f"{site}/docs/initiatives#list_initiatives"
        for text in ("List initiatives", "Try it", "Full text"):
            expect(visit.page.locator(f"section >> nth=0 >> text={text} >> visible=true >> nth=0")).to_be_in_viewport()


def test_related_fields_open(browser: Browser, site: str) -> None:
    """The fields of related records are in groups that open, with the keyboard too."""
    with visiting(browser, f"{site}/docs/awards", javascript=False) as visit:
        group = visit.page.locator("details", has_text="city.state").first
        field = group.locator("code", has_text="city.state").first
        expect(field).not_to_be_visible()
        group.locator("summary").first.press("Enter")
        expect(field).to_be_visible()


def test_search_leads_to_a_parameter(browser: Browser, site: str) -> None:
    """A word leads to a parameter, even to one in a group that is closed."""
    with visiting(browser, f"{site}/docs", javascript=False) as visit:
        visit.page.fill("#q", "partner type")
        visit.page.press("#q", "Enter")
        assert visit.page.url == f"{site}/docs/find?q=partner+type"
        visit.page.click("main li a")
        assert visit.page.url == f"{site}/docs/initiatives#list_initiatives.partner.type"
        expect(visit.page.locator('[id="list_initiatives.partner.type"]')).to_be_in_viewport()
