"""Chromium and axe, as npm brings them: `make` installs both into the virtual environment, and the tests start them from there."""

import io
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import brotli
from playwright.sync_api import Browser, sync_playwright

from tests.support import node

LOCKED = Path(__file__).parent.parent / "html" / "browser"
FOLDER = Path(sys.prefix) / "browser"
PACKED = FOLDER / "node_modules" / "@sparticuz" / "chromium" / "bin"
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
EXECUTABLE = FOLDER / "chromium"
# The package has the program for this system alone; on others, a Chromium of the system is taken.
PACKAGED = (platform.system(), platform.machine()) == ("Linux", "x86_64")
ELSEWHERE = ("chromium", "chromium-browser", "google-chrome")
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{0}/fonts</dir><cachedir>{0}/fonts/cache</cachedir></fontconfig>
"""


def install() -> None:
    """Install the packages of the lock file, and unpack the program, its libraries and its font."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    node.install(LOCKED, FOLDER)
    if PACKAGED:
        for name in ("al2023", "fonts"):
            packed = io.BytesIO(brotli.decompress((PACKED / f"{name}.tar.br").read_bytes()))
            with tarfile.open(fileobj=packed) as archive:
                archive.extractall(FOLDER, filter="data")
        (FOLDER / "fonts.conf").write_text(FONTS.format(FOLDER), encoding="utf-8")
        EXECUTABLE.write_bytes(brotli.decompress((PACKED / "chromium.br").read_bytes()))
        EXECUTABLE.chmod(0o755)


def executable() -> str | None:
    """Return the path of a Chromium, or nothing if this system has none."""
    return str(EXECUTABLE) if PACKAGED else next(filter(None, map(shutil.which, ELSEWHERE)), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """Start Chromium, and stop it afterwards."""
    # Playwright's own Node needs a library that a small system does not have.
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = node.NODE
    ours = {"LD_LIBRARY_PATH": str(FOLDER / "lib"), "FONTCONFIG_PATH": str(FOLDER)} if PACKAGED else {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), env={**os.environ, **ours})
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    install()
