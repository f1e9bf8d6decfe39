"""What all pages of the desk share: who is signed in, and the headers of its pages."""

import datetime as dt
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response, g, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from werkzeug.exceptions import NotFound

from api.html.addresses import Address
from api.resources import BY_NAME
from api.schema.resource import Resource
from api.web import frames, sessions
from api.web.calls import Reply, call
from api.web.consistency import reading
from api.web.keys import ApiKey
from api.web.pages.proposed import in_words
from api.web.responses import no_store, redirect
from api.web.urls import base_url

# More records of a noun than this are not offered as suggestions of an input.
SUGGESTED = 200


class DeskView(MethodView):
    """A page of the desk: for those who are signed in, and with forms that only this page can send."""

    def dispatch_request(self, **path: Any) -> ResponseReturnValue:
        """Answer, or lead to the page where one signs in."""
        key = sessions.signed_in(dt.datetime.now(dt.UTC))
        if key is None:
            after = request.full_path.rstrip("?") if request.method in {"GET", "HEAD"} else "/edit"
            return see(str(Address("/edit/sign-in", [("next", after)])))
        if request.method == "POST":
            sessions.require_own_form()
        g.desk_key = key
        return super().dispatch_request(**path)


def own_key() -> ApiKey:
    """Return the key of the person who is signed in."""
    key: ApiKey = g.desk_key
    return key


def ask(method: str, path: str, body: Any = None, **options: str) -> Reply:
    """Return what the API answers to a request with that key."""
    return call(own_key(), method, path, body, **options)


def page(template: str, status: int = HTTPStatus.OK, **context: Any) -> Response:
    """Return a page of the desk, which nobody may keep."""
    shared = {"token": sessions.form_token(sessions.token()), "key": g.get("desk_key")}
    response = frames.page(f"desk_{template}", **shared | context)
    response.status_code = status
    return no_store(response)


def see(path: str) -> Response:
    """Lead to another page, whose address is in the browser afterwards."""
    return no_store(redirect(f"{base_url()}{path}", HTTPStatus.SEE_OTHER))


def told(changes: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return what a proposal would change, in words."""
    with reading() as session:
        return in_words(session, changes)


def noun_of(name: str) -> Resource:
    """Return a noun by its name. Raises a 404."""
    if name not in BY_NAME:
        raise NotFound
    return BY_NAME[name]


def names_of(nouns: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the ids and names of all records, by noun, to suggest them; of large nouns, none."""
    names = {}
    for noun in sorted(nouns):
        label = BY_NAME[noun].label.key
        reply = call(
            None, "GET", f"/{noun}?fields={'id' if label == 'id' else f'id,{label}'}&limit={SUGGESTED + 1}&sort={label}"
        )
        rows = reply.require()["data"]
        names[noun] = [(row["id"], row[label]) for row in rows] if len(rows) <= SUGGESTED else []
    return names
