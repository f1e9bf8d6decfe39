"""Ten tasks of readers, each solved from the start page in at most four clicks; and what only a browser can show."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import visiting
from tests.support.lengths import late

MOST = 4


class Reader:
    """A reader on the start page, who counts the clicks."""

    def __init__(self, page: Page) -> None:
        """Begin with none."""
        self.page, self.clicks = page, 0

    def click(self, name: str, *, role: str = "link", within: str = "body") -> None:
        """Click on the first thing of this name."""
        self.clicks += 1
        self.page.locator(within).get_by_role(role, name=name).first.click()  # type: ignore[arg-type]

    def sees(self, *texts: str) -> None:
        """See that the page shows some texts."""
        for text in texts:
            expect(self.page.locator("main")).to_contain_text(text)


@pytest.fixture(params=[1280, late(390)], ids=["desk", "phone"])
def reader(request: pytest.FixtureRequest, browser: Browser, site: str) -> Iterator[Reader]:
    """A reader at a desk or with a phone, without JavaScript."""
    with visiting(browser, site, javascript=False) as visit:
        visit.look(request.param, "light")
        reader = Reader(visit.page)
        yield reader
        assert reader.clicks <= MOST


def test_who_won_and_by_what(reader: Reader) -> None:
    """The start page has the ranking with its ties and the reasons."""
    reader.sees("San Diego", "2 (tied)", "the work on housing stood out")


def test_what_a_city_did_and_who_says_so(reader: Reader) -> None:
    """What Sacramento did about connectivity leads to the paragraph and the sentence, and to the source."""
    reader.click("Sacramento", within="main")
    reader.sees("High-speed internet for underserved residents")
    reader.click("High-speed internet for underserved residents")
    reader.sees("Grant: $38.7 million")
    reader.click("stated", within="li:has-text('Grant')")
    assert "#known-metrics-" in reader.page.url
    expect(reader.page.locator(":target")).to_contain_text("Paragraph")
    expect(reader.page.locator(":target a[rel=external]").first).to_have_attribute(
        "href", "https://insider.govtech.com/california/news/a-closer-look-at-californias-most-digital-cities-part-i"
    )


def test_which_cities_work_on_something(reader: Reader) -> None:
    """The initiatives of a priority are one click away, with the number of each city."""
    reader.click("Cybersecurity", within="main")
    reader.sees("11 initiatives", "Priority is Cybersecurity", "San Jose")


def test_the_largest_sum(reader: Reader) -> None:
    """The largest sum of money is on the start page, and leads to its citation."""
    reader.sees("$38.7 million")
    reader.click("$38.7 million")
    expect(reader.page.locator(":target")).to_contain_text("Grant")


def test_compare_two_cities(reader: Reader) -> None:
    """The counts of a list compare cities: choose a priority, and read how many initiatives each city has."""
    reader.click("AI and machine learning", within="main")
    reader.sees("Counts of initiatives", "San Diego", "San Jose")


def test_what_changed(reader: Reader) -> None:
    """The newest changes are on the start page, and all of them one click away, by day and with the author; so is what each author did."""
    reader.sees("The latest changes")
    reader.click("All changes")
    reader.sees("maintainers", "added")
    reader.click("who changed what")
    reader.sees("3 updated, 1 deleted, 1 derived")
    reader.click("curator", within="tbody")
    reader.sees("by curator")
    reader.click("UTC", within="tbody")
    reader.sees("from Pilot to In operation")


def test_the_same_as_a_spreadsheet(reader: Reader) -> None:
    """The list that is filtered is one click away as CSV, with the same filters."""
    reader.click("Cybersecurity", within="main")
    address = reader.page.get_by_role("link", name="CSV", exact=True).get_attribute("href") or ""
    assert address.endswith("/initiatives.csv?priority=cybersecurity")
    # A head and eleven rows, as the page says.
    assert reader.page.request.get(address).text().count("\r\n") == 12


def test_cite_a_fact(reader: Reader) -> None:
    """A fact leads to the record of its citation, whose address does not change."""
    reader.click("Los Angeles", within="main")
    reader.click("MyLA311")
    reader.click("inferred", within="div:has(> dt:text-is('Status'))")
    reader.click("Paragraph", within=":target")
    reader.sees("Fingerprint of the sentence", "About", "MyLA311")


def test_find_an_abbreviation(reader: Reader) -> None:
    """The search box on every page finds L.A."""
    reader.page.get_by_label("Search everything").fill("L.A.")
    reader.click("Search", role="button", within="header")
    reader.sees("Los Angeles")


def test_read_it_on_a_phone(browser: Browser, site: str) -> None:
    """On a phone a row of a table is a card, whose cells have the names of their columns."""
    with visiting(browser, f"{site}/awards") as visit:
        visit.look(390, "dark")
        assert visit.page.locator("td").first.evaluate("one => getComputedStyle(one, '::before').content") != "none"
        assert visit.sticking_out() == []


def test_forms_without_javascript(reader: Reader) -> None:
    """A form leaves out what is empty, keeps the order, and shows what was chosen; one click removes it again."""
    reader.click("Initiatives", within="nav")
    reader.click("City", within="thead") if reader.page.viewport_size == {"width": 1280, "height": 800} else None
    reader.page.get_by_label("Status").select_option("in_operation")
    reader.click("Show", role="button")
    assert "status=in_operation" in reader.page.url
    assert "q=" not in reader.page.url
    assert reader.page.get_by_label("Status").input_value() == "in_operation"
    reader.click("Remove: Status is In operation")
    assert "status" not in reader.page.url


def test_back_and_fetch_get_the_right_form(browser: Browser, site: str) -> None:
    """A script's request for the address of a page gets data, and Back shows the page again."""
    with visiting(browser, f"{site}/cities") as visit:
        assert (
            visit.page.evaluate("fetch(location.href).then((answer) => answer.headers.get('Content-Type'))")
            == "application/json"
        )
        visit.page.get_by_role("link", name="Boston").first.click()
        visit.page.go_back()
        assert visit.page.locator("h1").inner_text() == "Cities"
        visit.page.reload()
        assert visit.page.locator("h1").inner_text() == "Cities"


def test_the_keyboard_reaches_everything(browser: Browser, site: str) -> None:
    """Tab goes through the links and fields in their order, the first is a link to the content, and each shows that it is reached."""
    with visiting(browser, f"{site}/cities/boston-ma") as visit:
        wanted = visit.page.locator("a[href], input, select, button, summary, [tabindex='0']").count()
        reached = []
        for _ in range(wanted):
            visit.page.keyboard.press("Tab")
            reached.append(visit.page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))
        assert "Skip to the content" in reached[0]
        assert len(set(reached)) == len(
            set(
                visit.page.evaluate(
                    "[...document.querySelectorAll(\"a[href], input, select, button, summary, [tabindex='0']\")].map((one) => one.outerHTML.slice(0, 200))"
                )
            )
        )
        outline = visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


def test_print_has_the_address(browser: Browser, site: str) -> None:
    """On paper a page shows its address and the places of its citations, and no form."""
    with visiting(browser, f"{site}/cities/boston-ma") as visit:
        visit.page.emulate_media(media="print")
        expect(visit.page.get_by_text(f"{site}/cities/boston-ma", exact=True)).to_be_visible()
        expect(visit.page.get_by_text("Paragraph").first).to_be_visible()
        expect(visit.page.get_by_role("search")).not_to_be_visible()
