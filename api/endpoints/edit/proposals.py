"""Proposals at the desk: what each would change, and the buttons that publish or refuse it."""

from urllib.parse import quote, urlsplit

from flask import Response, request

from api.endpoints.edit.desk import DeskView, ask, own_key, page, see, told
from api.html.addresses import Address
from api.web.keys import PUBLISH


class Proposals(DeskView):
    """All proposals, the newest first."""

    def get(self) -> Response:
        """List them."""
        arguments = {"state": "open", "limit": "100"} | request.args.to_dict()
        listed = ask("GET", str(Address("/proposals", [row for row in arguments.items() if row[1]]))).require()
        following = urlsplit(listed["links"]["next"] or "").query
        return page("proposals.html", title="Proposals", **listed, state=arguments["state"], following=following)


class OneProposal(DeskView):
    """A proposal, to look at and to decide on."""

    def get(self, id: str) -> Response:
        """Show what it would change today, and what prevents it."""
        return shown(id)

    def post(self, id: str) -> Response:
        """Publish it, or refuse it with a reason."""
        if request.form.get("_action") == "publish":
            reply = ask("POST", f"{path_of(id)}/publish")
        else:
            reply = ask("POST", f"{path_of(id)}/refuse", {"reason": request.form.get("reason", "").strip()})
        if reply.problem:
            return shown(id, reply.body["detail"], reply.status)
        return see(f"/edit/proposals/{id}")


def path_of(id: str) -> str:
    """Return the path of a proposal in the API. An id in an address may have any character, such as a question mark."""
    return f"/proposals/{quote(id, safe='')}"


def shown(id: str, fault: str = "", status: int = 200) -> Response:
    """Return the page of a proposal; ``fault`` says why the decision was not carried out."""
    reply = ask("GET", path_of(id)).require()
    may_publish = own_key().allows(PUBLISH)
    is_own = reply["data"]["author"] == own_key().name
    return page(
        "proposal.html",
        status,
        title=f"Proposal {id}",
        **reply,
        told=told(reply["changes"]),
        fault=fault,
        may_publish=may_publish,
        is_own=is_own,
    )
