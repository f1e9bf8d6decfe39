"""README.md and docs/*.md: short, linked, and without a command that no test runs."""

import re
import subprocess
import tomllib
from urllib.parse import urlsplit

import pytest

from api import __version__
from api.settings import ROOT
from tests.support.pages import COMMANDS, PAGES, run_by

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
pages = pytest.mark.parametrize("page", PAGES)


def anchors_of(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", PAGES[page]), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: str) -> list[str]:
    """Return the targets of a page's links to other pages and to its own sections."""
    targets = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", PAGES[page]))
    return [target for target in targets if not urlsplit(target).scheme]


def test_readme_is_short() -> None:
    """README.md has at most 120 lines."""
    assert len(PAGES["README.md"].splitlines()) <= 120


@pages
def test_links(page: str) -> None:
    """Each link to a file or a section leads somewhere."""
    for target in links_of(page):
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors_of(file.relative_to(ROOT).as_posix()), target


def test_readme_links_to_every_page() -> None:
    """README.md leads to every page of docs/."""
    assert set(PAGES) - {"README.md"} <= set(links_of("README.md"))


@pages
def test_tables(page: str) -> None:
    """Every row of a table has the same number of cells as its header, so that readers see all of it."""
    for table in re.findall(r"(?:^\|.*\|\n)+", FENCED.sub("", PAGES[page]), re.MULTILINE):
        rows = [len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(rows)) == 1, table


@pages
def test_blocks(page: str) -> None:
    """Every block of code is closed and says its language, and every `$` command is in a block that the tests read."""
    fences = re.findall(r"^```(.*)$", PAGES[page], re.MULTILINE)
    assert all(fences[0::2])
    assert not any(fences[1::2])
    assert len(fences) % 2 == 0
    assert len(re.findall(r"^\$ ", PAGES[page], re.MULTILINE)) == len([row for row in COMMANDS if row.page == page])


def test_every_command_is_run() -> None:
    """Each kind of test has commands to run, and requests show their answers."""
    assert {command.runner for command in COMMANDS} == {"programs", "walkthrough", "deploy", "request", "make", "shell"}
    assert [command.line for command in run_by("request") if not command.output] == []
    assert [command.line for command in run_by("shell") if command.output] == []


def test_make_targets() -> None:
    """Every make target that a page names is one that `make help` lists."""
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = {command.line.rpartition(" ")[2] for command in run_by("make")}
    assert {"run", "test"} <= named
    named = named.union(*(re.findall(r"`make ([a-z-]+)[^`]*`", text) for text in PAGES.values()))
    assert named <= set(re.findall(r"^  ([a-z-]+)", listed, re.MULTILINE))


@pages
def test_paths(page: str) -> None:
    """Each file and folder of the project that a page names is there."""
    named = re.findall(r"`((?:api|bench|clients|deploy|docs|migrations|seeds|tests)/[\w/.-]*)(?:: [\w.]+)?`", PAGES[page])
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_version_is_defined_once() -> None:
    """pyproject.toml takes the version from api/__init__.py, no other module repeats it, and CHANGELOG.md begins with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (project["project"]["dynamic"], project["tool"]["hatch"]["version"]["path"]) == (["version"], "api/__init__.py")
    literal = re.compile(rf"(?<![\d.]){re.escape(__version__)}(?!\.?\d)")
    repeating = [file for file in (ROOT / "api").rglob("*.py") if literal.search(file.read_text(encoding="utf-8"))]
    assert repeating == [ROOT / "api" / "__init__.py"]
    assert re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0] == __version__
