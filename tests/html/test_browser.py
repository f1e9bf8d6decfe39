"""Each page in a browser: accessible, within its policy, and never wider than the screen."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from flask import Flask, Response
from playwright.sync_api import Browser

from tests.support import screenshots
from tests.support.browser import LOOKS, PAGES, SCHEMES, WIDTHS, Look, served, visiting
from tests.support.lengths import Sample

CONTRAST = "color-contrast: p"
# Pages with one fault each: the style sheet, and what is found in which looks.
FAULTS = {
    "light": ("@media (prefers-color-scheme: light) { p { color: #bbb } }", {(width, "light"): [CONTRAST] for width in WIDTHS}),
    "dark": ("@media (prefers-color-scheme: dark) { p { color: #333 } }", {(width, "dark"): [CONTRAST] for width in WIDTHS}),
    "wide": ("p { width: 350px }", {(320, scheme): ["358 px", "<p></p>"] for scheme in SCHEMES}),
    "none": ("", {}),
}
PAGE = """<!doctype html><html lang="en"><head><title>Faulty</title><link rel="icon" href="data:,">
<style>:root {{ color-scheme: light dark; background: Canvas }} {}</style></head>
<body><main><h1>Faulty</h1><p>Words</p></main><script>document.title = "Run"</script></body></html>"""


@pytest.fixture(scope="module")
def faulty() -> Iterator[str]:
    """The address of a site whose pages have faults; under `/refused/` their style sheets are refused."""
    app = Flask("faulty")

    @app.get("/<name>")
    def page(name: str) -> str:
        return PAGE.format(FAULTS[name][0])

    @app.get("/refused/<name>")
    def refused(name: str) -> Response:
        return Response(page(name), headers={"Content-Security-Policy": "default-src 'none'; img-src data:"})

    with served(app) as address:
        yield address


def faults(browser: Browser, address: str, looks: Sequence[Look]) -> dict[Look, list[str]]:
    """Return what is wrong with a page: what sticks out in any look, and what axe finds in some."""
    with visiting(browser, address) as visit:
        seen = {}
        for look in LOOKS:
            visit.look(*look)
            seen[look] = visit.sticking_out() + (visit.violations() if look in looks else [])
        return {look: lines for look, lines in seen.items() if lines}


@pytest.mark.parametrize("path", PAGES)
def test_each_page(browser: Browser, site: str, path: str, sample: Sample) -> None:
    """Axe finds nothing, the browser refuses nothing, and nothing sticks out, at each width in light and dark."""
    assert faults(browser, site + path, sample(LOOKS, 1)) == {}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(browser: Browser, faulty: str, name: str) -> None:
    """What the other test would have to find is found in the looks that have it, and nowhere else."""
    found = faults(browser, f"{faulty}/{name}", LOOKS)
    assert {look: [line.partition(" Fix ")[0] for line in lines] for look, lines in found.items()} == FAULTS[name][1]


def test_refusals_are_found(browser: Browser, faulty: str) -> None:
    """What a policy refuses fails the test."""
    with pytest.raises(AssertionError, match=re.escape("Content Security Policy")), visiting(browser, f"{faulty}/refused/none"):
        pass


def test_errors_are_found(browser: Browser, site: str) -> None:
    """So does a file that is missing, but not an answer that is itself a problem."""
    with visiting(browser, f"{site}/nowhere") as visit:
        assert "404" in visit.page.inner_text("body")
    with (
        pytest.raises(AssertionError, match="404"),
        visiting(browser, f"{site}/problems") as visit,
        visit.page.expect_console_message(),
    ):
        visit.page.evaluate("document.body.append(Object.assign(new Image(), { src: '/nowhere' }))")


@pytest.mark.parametrize("title", ["Run", "Faulty"])
def test_without_javascript(browser: Browser, faulty: str, title: str) -> None:
    """With JavaScript off, the scripts of a page do not run."""
    with visiting(browser, f"{faulty}/none", javascript=title == "Run") as visit:
        assert visit.page.title() == title


def test_screenshots(browser: Browser, site: str, tmp_path: Path) -> None:
    """`make screenshots` writes pictures of pages, as wide as the screen."""
    names = screenshots.take(browser, site, tmp_path, ("/", "/problems"))
    assert len(names) == 2 * len(screenshots.LOOKS)
    # The width is in bytes 16 to 20 of a PNG.
    widths = {name: int.from_bytes((tmp_path / name).read_bytes()[16:20]) for name in names}
    assert widths == {name: int(name.split("-")[-2]) for name in names}
