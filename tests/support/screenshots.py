"""`make screenshots`: pictures of the pages, for a person to look at."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from api.settings import ROOT
from tests.support.applications import serving
from tests.support.browser import PAGES, Scheme, served, visiting
from tests.support.chromium import launched
from tests.support.databases import Store, template

# A desk by day, and a phone by night.
LOOKS: tuple[tuple[int, Scheme], ...] = ((1280, "light"), (390, "dark"))


def take(browser: Browser, site: str, folder: Path) -> list[str]:
    """Write a picture of each page in each look; returns their names."""
    folder.mkdir(exist_ok=True)
    names = []
    for path in PAGES:
        with visiting(browser, site + path) as visit:
            for width, scheme in LOOKS:
                visit.look(width, scheme)
                names.append(f"{path.strip('/').replace('/', '-') or 'front'}-{width}-{scheme}.png")
                visit.page.screenshot(path=folder / names[-1], full_page=True)
    return names


def main() -> None:
    """Write the pictures into `screenshots/`."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(template(Store("sqlite", Path(scratch), ""))) as app,
        served(app) as site,
        launched() as browser,
    ):
        print(*take(browser, site, ROOT / "screenshots"), sep="\n")  # noqa: T201 - it is what the command is for


if __name__ == "__main__":
    main()
