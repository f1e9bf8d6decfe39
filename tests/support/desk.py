"""Someone at the desk, without a browser: pages are read, and their forms filled and sent."""

from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

HTML = {"Accept": "text/html"}


class Form(HTMLParser):
    """The texts of the inputs of the last form of a page with a given address, as a browser would send them."""

    def __init__(self, html: str) -> None:
        """Read a page."""
        super().__init__()
        self.texts: dict[str, str] = {}
        self._within: str | None = None
        self._is_text = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an input."""
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and given.get("type") not in {"file", "submit"}:
            self.texts[name] = given.get("value") or ""
        elif tag in {"select", "textarea"}:
            self._within, self._is_text = name, tag == "textarea"
            self.texts[name] = ""
        elif tag == "option" and "selected" in given and self._within:
            self.texts[self._within] = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        """Add to the text of an input with several lines, whose first line feed does not count."""
        if self._within and self._is_text:
            self.texts[self._within] = data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        """End an input."""
        if tag in {"select", "textarea"}:
            self._within, self._is_text = None, False


class Desk:
    """A client that is signed in, or not yet."""

    def __init__(self, client: FlaskClient, secret: str = "") -> None:
        """Sign in with a key, if one is given."""
        self.client = client
        if secret:
            answer = self.send("/edit/sign-in", key=secret)
            assert answer.status_code == 303, answer.get_data(as_text=True)

    @property
    def cookie(self) -> str:
        """The cookie of the session."""
        cookie = self.client.get_cookie("desk", path="/edit")
        assert cookie
        return str(cookie.value)

    def page(self, path: str) -> str:
        """Return a page."""
        answer = self.client.get(path, headers=HTML)
        assert answer.status_code == 200, (path, answer.status_code, answer.headers)
        return answer.get_data(as_text=True)

    def form(self, path: str) -> dict[str, str]:
        """Return what a browser would send if nobody changed anything."""
        return Form(self.page(path)).texts

    def send(self, path: str, action: str = "", *, page: str = "", **texts: Any) -> TestResponse:
        """Fill in the form of a page and press a button; names with `__` have a hyphen there."""
        given = {name.replace("__", "-"): text for name, text in texts.items()}
        form = self.form(page or path) | given | ({"_action": action} if action else {})
        return self.client.post(path, data=form, headers=HTML)
