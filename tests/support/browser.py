"""Pages in a browser, as tests look at them: what the browser complains of, what axe finds, and what sticks out sideways."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, Page
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.answers import Json
from tests.support.applications import curating
from tests.support.chromium import AXE

# The pages that people read: each is tested in each look.
PAGES = (
    "/",
    "/initiatives?status=pilot&city.state=CA&q=data",
    "/awards",
    "/cities",
    "/cities/sacramento-ca",
    "/initiatives/los-angeles-ca-myla311",
    "/surveys/digital-cities-2024",
    "/search?q=data",
    "/cities?stat=CA",
    "/changes",
    "/changesets?kinds=cities&committed_at__gte=2024-01-31T00:00:00Z",
    "/changesets/1",
    "/changesets/829",
    "/initiatives/testville-zz-portal/history",
    "/problems",
    "/docs",
    "/docs/initiatives",
    "/docs/meta",
    "/docs/find?q=state",
)
Scheme = Literal["light", "dark"]
WIDTHS = (320, 390, 1280)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
Look = tuple[int, Scheme]
LOOKS: tuple[Look, ...] = tuple(itertools.product(WIDTHS, SCHEMES))
# The criteria of WCAG 2.2, levels A and AA.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
VIOLATIONS = """async (rules) => (await axe.run(rules)).violations.flatMap(
    ({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`))"""
STICKING_OUT = """() => {
    const { scrollWidth, clientWidth } = document.scrollingElement;
    if (scrollWidth <= clientWidth) return [];
    const wide = [...document.body.querySelectorAll("*")].filter((one) => one.getBoundingClientRect().right > clientWidth);
    return [`${scrollWidth} px`, ...wide.map((one) => one.cloneNode().outerHTML)];
}"""


def _write(op: str, kind: str, id: str, **members: Any) -> Json:
    """Return an operation of a changeset."""
    document = {"document": {**members, **({"id": id} if op == "create" else {})}} if op != "delete" else {}
    return {"op": op, "kind": kind, **({} if op == "create" else {"id": id, "if_match": "*"}), **document}


GRANT = {"name": "Grant", "kind": "money", "value": 1_500_000, "unit": "USD", "qualifier": "more_than", "as_of": "2024-07"}
# Changesets by their messages. What they change is new, so that readers find the rest as it was.
CHANGES = {
    "Testville joins, with the company that built its portal.": [
        _write("create", "cities", "testville-zz", name="Testville", state="ZZ", country="US", summary="By the blue sea."),
        _write("create", "organizations", "zed", name="Zed", type="company"),
        _write(
            "create",
            "initiatives",
            "testville-zz-portal",
            city="testville-zz",
            title="Portal",
            summary="Permits are asked for and paid on one page.",
            status="pilot",
            partners=[{"organization": "zed", "role": "builder"}],
            metrics=[GRANT],
        ),
    ],
    "Read again.": [
        _write("patch", "cities", "testville-zz", summary="By the calm sea."),
        _write(
            "patch",
            "initiatives",
            "testville-zz-portal",
            status="in_operation",
            partners=[],
            aliases=["My Testville", "TV311"],
            metrics=[{**GRANT, "value": 1_800_000, "qualifier": "about"}],
        ),
        _write("delete", "organizations", "zed"),
        _write("patch", "citations", "cities-seattle-wa-name-p18-s2", basis="inferred"),
    ],
}


@dataclass
class Visit:
    """A page that a browser shows."""

    page: Page
    complaints: list[str]

    def look(self, width: int, scheme: Scheme) -> None:
        """Show the page at a width and in a colour scheme."""
        self.page.set_viewport_size({"width": width, "height": 800})
        self.page.emulate_media(color_scheme=scheme)

    def violations(self) -> list[str]:
        """Return what axe finds wrong, a line for each element. JavaScript must be on."""
        if not self.page.evaluate("'axe' in window"):
            # A script element would be refused by the policy of the page.
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        return list(self.page.evaluate(VIOLATIONS, RULES))

    def sticking_out(self) -> list[str]:
        """Return the elements for which the page scrolls sideways, after its width."""
        return list(self.page.evaluate(STICKING_OUT))

    def note(self, message: ConsoleMessage) -> None:
        """Collect a warning or an error of the browser, but not that the page itself is a problem."""
        itself = message.location["url"] == self.page.url and message.text.startswith("Failed to load resource")
        if message.type in {"warning", "error"} and not itself:
            self.complaints.append(message.text)


@contextmanager
def visiting(browser: Browser, address: str, *, javascript: bool = True) -> Iterator[Visit]:
    """Open a page; at the end, the browser must not have complained of it, such as of what its policy refuses."""
    with browser.new_context(locale="en-US", java_script_enabled=javascript) as context:
        visit = Visit(context.new_page(), [])
        visit.page.on("console", visit.note)
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.goto(address)
        yield visit
        assert not visit.complaints, "\n".join(visit.complaints)


def changed(app: Flask) -> Flask:
    """Make changesets with every effect and kind of difference, which the pages of the past have to show; returns the application."""
    client = curating(app.test_client(), app.extensions["database"])
    for message, operations in CHANGES.items():
        answer = client.post("/changesets", json={"message": message, "operations": operations})
        assert answer.status_code == HTTPStatus.OK, answer.text
    return app


class Silent(WSGIRequestHandler):
    """Answers without a line in the log."""

    def log_request(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an application to a browser; returns its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
