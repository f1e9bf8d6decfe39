"""Pages as a browser asks for them, and what is on them."""

from html.parser import HTMLParser

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Page(HTMLParser):
    """The visible text of a page, its links with their texts, its ids, and its fields with what they would send.

    ``heads`` are the titles of its columns, ``facts`` the names of a record's facts.
    """

    def __init__(self, html: str) -> None:
        """Read the page."""
        super().__init__()
        self.text, self.ids = "", set[str]()
        self.fields: dict[str, str] = {}
        self.links: list[tuple[str, str]] = []
        self.heads: list[str] = []
        self.facts: list[str] = []
        self._titles: list[str] | None = None
        self._href: str | None = None
        self._hidden = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        row = dict(attrs)
        self._hidden = tag in {"script", "style"}
        self.ids |= {row["id"] or ""} if "id" in row else set()
        if tag == "a":
            self._href = row.get("href")
            self.links.append((self._href or "", ""))
        if tag in {"input", "select"} and (name := row.get("name")):
            self.fields[name] = row.get("value") or ""
        if tag == "dt" or (tag == "th" and row.get("scope") == "col"):
            self._titles = self.facts if tag == "dt" else self.heads
            self._titles.append("")
        if tag == "option" and "selected" in row:
            self.fields[[*self.fields][-1]] = row.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._hidden = False
        if tag == "a":
            self._href = None
        if tag in {"dt", "th"}:
            self._titles = None

    def handle_data(self, data: str) -> None:
        """Add a text."""
        if self._hidden:
            return
        self.text += data
        if self._titles is not None:
            self._titles[-1] = (self._titles[-1] + data).strip()
        if self._href is not None:
            self.links[-1] = (self._href, self.links[-1][1] + data)


def ask(client: FlaskClient, path: str, accept: str = BROWSER) -> TestResponse:
    """Ask as a browser does."""
    return client.get(path, headers={"Accept": accept})


def page_of(client: FlaskClient, path: str) -> Page:
    """Return the page at a path."""
    response = ask(client, path)
    assert (response.status_code, response.mimetype) == (200, "text/html"), path
    return Page(response.text)
