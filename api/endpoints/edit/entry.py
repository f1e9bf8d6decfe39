"""Signing in and out, and the first page of the desk."""

import datetime as dt

from flask import Response, request
from flask.views import MethodView

from api.endpoints.edit.desk import DeskView, ask, own_key, page, see
from api.errors import ProblemError
from api.html.addresses import Address
from api.resources import RESOURCES
from api.web import auth, sessions
from api.web.problem_types import PROBLEMS


class SignIn(MethodView):
    """The exchange of a key for a session."""

    def get(self) -> Response:
        """Ask for the key, unless somebody is signed in."""
        is_signed_in = sessions.signed_in(dt.datetime.now(dt.UTC))
        return see(after()) if is_signed_in else sign_in_page()

    def post(self) -> Response:
        """Begin a session, and lead to the page that was asked for."""
        sessions.require_own_form()
        now = dt.datetime.now(dt.UTC)
        try:
            key = auth.key_of(request.form.get("key", ""), now)
        except ProblemError as error:
            detail = "No active key has this secret." if error.name == "unauthorized" else error.detail
            return sign_in_page(detail, PROBLEMS[error.name].status)
        return sessions.begin(key, now, see(after()))


class SignOut(DeskView):
    """The end of a session."""

    def post(self) -> Response:
        """End it."""
        return sessions.end(see("/edit/sign-in"))


class Home(DeskView):
    """The first page of the desk."""

    def get(self) -> Response:
        """Show what one can do, and one's own recent commits."""
        changesets = ask("GET", str(Address("/changesets", [("author", own_key().name), ("limit", "10")]))).require()["data"]
        return page("home.html", title="Desk", resources=RESOURCES, changesets=changesets)


def sign_in_page(fault: str = "", status: int = 200) -> Response:
    """Return the page where one signs in; ``fault`` is what was wrong with the last try."""
    token = sessions.token()
    response = page("sign_in.html", status, title="Sign in", token=sessions.form_token(token), fault=fault, after=after())
    return sessions.keep(token, response)


def after() -> str:
    """Return the page of the desk to go to afterwards: no other site, whatever a link says."""
    wanted = request.values.get("next", "")
    # A header has no line feeds.
    is_own = wanted.isprintable() and wanted.startswith(("/edit/", "/edit?"))
    return wanted if is_own else "/edit"
