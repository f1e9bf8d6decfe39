"""`make screenshots`: pictures of the pages, for a person to look at."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser

from api.settings import ROOT
from tests.support.applications import serving
from tests.support.browser import PAGES, Look, changed, served, visiting
from tests.support.chromium import launched
from tests.support.databases import Store, template

# A desk by day, and a phone by night.
LOOKS: tuple[Look, ...] = ((1280, "light"), (390, "dark"))

# Nobody looks at more of a picture.
HIGHEST = 4_000
# Chromium often fails at a picture before it has drawn the page at a new size.
DRAWN = "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"


def take(browser: Browser, site: str, folder: Path, pages: Sequence[str] = PAGES) -> list[str]:
    """Write a picture of each page in both looks; returns their names."""
    folder.mkdir(exist_ok=True)
    names = []
    for path in pages:
        name = "-".join(re.findall(r"\w+", path)) or "front"
        with visiting(browser, site + path) as visit:
            for width, scheme in LOOKS:
                visit.look(width, scheme)
                names.append(f"{name}-{width}-{scheme}.png")
                height = min(HIGHEST, visit.page.evaluate("document.documentElement.scrollHeight"))
                visit.page.set_viewport_size({"width": width, "height": height})
                visit.page.evaluate(DRAWN)
                visit.page.screenshot(path=folder / names[-1])
    return names


def main() -> None:
    """Write the pictures into `screenshots/`."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(template(Store("sqlite", Path(scratch), ""))) as app,
        served(changed(app)) as site,
        launched() as browser,
    ):
        print(*take(browser, site, ROOT / "screenshots"), sep="\n")  # noqa: T201 - it is what the command is for


if __name__ == "__main__":
    main()
