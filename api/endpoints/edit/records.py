"""Records at the desk: they are found, entered, changed and deleted; each member of a form has its citations."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Response, request

from api.endpoints.edit.desk import DeskView, ask, names_of, noun_of, own_key, page, see
from api.html import forms
from api.html.addresses import Address
from api.query.language import MAX_LIMIT
from api.schema.choices import label_of
from api.schema.resource import Resource
from api.web.calls import Reply, call

# Names of inputs that no member has: every member's name begins with a letter.
VERSION, MESSAGE, ACTION = "_version", "_message", "_action"
LISTED = 50
CITATIONS = "citations"


class Records(DeskView):
    """The records of a noun, to choose one."""

    def get(self, noun: str) -> Response:
        """List records, those first that a text names."""
        resource, text = noun_of(noun), request.args.get("q", "")
        search = f"&q={quote(text)}" if text.strip() else ""
        listed = call(None, "GET", f"/{noun}?limit={LISTED}{search}").require()
        return page("records.html", title=resource.name.capitalize(), resource=resource, q=text, **listed)


class NewRecord(DeskView):
    """The form of a new record."""

    def get(self, noun: str) -> Response:
        """Show the form, filled with what the address says."""
        return Draft(noun_of(noun), None, request.args.to_dict()).page()

    def post(self, noun: str) -> Response:
        """Create the record, or propose it."""
        return Draft(noun_of(noun), None, request.form.to_dict()).send()


class ExistingRecord(DeskView):
    """The form of a record."""

    def get(self, noun: str, id: str) -> Response:
        """Show the record as it is."""
        resource = noun_of(noun)
        reply = call(None, "GET", Draft(resource, id, {}).path)
        if reply.status == HTTPStatus.PERMANENT_REDIRECT:
            return see(f"/edit/{noun}/{reply.location.rpartition('/')[2]}")
        texts = forms.texts_of(resource, reply.require()["data"])
        return Draft(resource, id, {**texts, VERSION: reply.etag.strip('"')}).page()

    def post(self, noun: str, id: str) -> Response:
        """Change the record, delete it, or propose to."""
        return Draft(noun_of(noun), id, request.form.to_dict()).send()


@dataclass
class Draft:
    """What was entered in the form of a record; ``id`` is None if the record is new."""

    resource: Resource
    id: str | None
    texts: Mapping[str, str]
    errors: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    # What is wrong with the whole, and the record as it is now if someone changed it meanwhile.
    fault: str = ""
    current: Reply | None = None

    @property
    def noun(self) -> str:
        """The name of the noun."""
        return self.resource.name

    @property
    def tag(self) -> str:
        """The entity tag of the version that the form began with. Tags have no spaces, and headers no line feeds."""
        return f'"{"".join(self.texts.get(VERSION, "").split())}"'

    @property
    def path(self) -> str:
        """The path of the record in the API. An id in an address may have any character, such as a question mark."""
        return f"/{self.noun}/{quote(self.id or '', safe='')}"

    def send(self) -> Response:
        """Do what the button says."""
        actions = {"save": self._save, "propose": self._propose, "delete": self._delete}
        return actions.get(self.texts.get(ACTION, ""), self.page)()

    def _save(self) -> Response:
        known = forms.entered(self.resource, self.texts)
        path = self.path if self.id else f"/{self.noun}"
        headers = {"If_Match": self.tag} if self.id else {}
        reply = ask("PUT" if self.id else "POST", self._with_message(path), known.document, **headers)
        if reply.problem:
            return self._refused(reply, known)
        return see(str(Address(f"/edit/{self.noun}/{self.id or known.document['id']}", [("saved", "yes")])))

    def _propose(self) -> Response:
        known = forms.entered(self.resource, self.texts)
        operation = {"op": "put", "kind": self.noun, "id": self.id or known.document.get("id"), "document": known.document}
        if self.id:
            operation["if_match"] = self.tag
        reply = ask("POST", self._with_message("/proposals"), {"operations": [operation]})
        if reply.problem:
            return self._refused(reply, known, "/operations/0/document")
        return see(f"/edit/proposals/{reply.body['data']['id']}")

    def _delete(self) -> Response:
        reply = ask("DELETE", self._with_message(self.path), If_Match=self.tag)
        if reply.problem:
            return self._refused(reply, forms.entered(self.resource, self.texts))
        return see(str(Address(f"/edit/{self.noun}", [("deleted", self.id or "")])))

    def _with_message(self, path: str) -> str:
        message = self.texts.get(MESSAGE, "").strip()
        return str(Address(path, [("message", message)] if message else []))

    def _refused(self, reply: Reply, known: forms.Entered, before: str = "") -> Response:
        """Return the form with what the API said, each sentence at its input."""
        for item in reply.body.get("errors", ()):
            pointer = item.get("pointer", "").removeprefix(before)
            self.errors[known.input_at(pointer)].append(item["detail"])
        self.fault = "" if self.errors else reply.body["detail"]
        if reply.problem == "precondition-failed":
            self.errors.clear()
            now = call(None, "GET", self.path)
            if now.problem:
                # It was deleted meanwhile; what was entered stays in the form.
                self.fault = now.body["detail"]
                return self.page(now.status)
            # It was merged into another record if there is no body.
            self.fault, self.current = ("", now) if now.body else (reply.body["detail"], None)
        return self.page(reply.status)

    def page(self, status: int = HTTPStatus.OK) -> Response:
        """Return the form."""
        sections = forms.sections(self.resource, self.texts, self.errors, more=self.texts.get(ACTION) == "more")
        nouns = {control.noun for section in sections for row in section.rows for control in row if control.noun}
        names = names_of(nouns | {"sources"})
        return page(
            "record.html",
            status,
            title=f"{'Change' if self.id else 'New'} {self.resource.singular}",
            draft=self,
            resource=self.resource,
            sections=sections,
            names=names,
            sources=dict(names["sources"]),
            citations=self._citations(),
            others=self.errors.get("", []),
            conflict=self._conflict(),
            can_save=own_key().allows(f"write:{self.noun}"),
            can_propose=own_key().allows("propose"),
            if_match=(self.current.etag if self.current else self.texts.get(VERSION, "")).strip('"'),
        )

    def _conflict(self) -> Sequence[tuple[str, str, str]]:
        """Return the members with another value than now, if someone changed the record meanwhile: label, entered, now."""
        if self.current is None:
            return []
        entered, now = forms.entered(self.resource, self.texts).document, self.current.body["data"]
        return [
            (label_of(name), forms.said(value), forms.said(now[name])) for name, value in entered.items() if value != now[name]
        ]

    def _citations(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the citations of the record by the members that they are about."""
        if self.id is None or self.noun == CITATIONS:
            return {}
        path = f"/citations?subject_kind={self.noun}&subject_id={quote(self.id, safe='')}&limit={MAX_LIMIT}"
        by_member = defaultdict(list)
        for row in call(None, "GET", path).require()["data"]:
            by_member[row["field"].split("/")[1]].append(row)
        return by_member
