"""Changesets at the desk: what each changed, and the button that reverts it."""

from flask import Response, request

from api.endpoints.edit.desk import DeskView, ask, page, see
from api.html.addresses import Address
from api.web.calls import call


class OneChangeset(DeskView):
    """A changeset, to look at and to revert."""

    def get(self, version: int) -> Response:
        """Show what it changed."""
        return shown(version)

    def post(self, version: int) -> Response:
        """Revert it, or its whole import; if later changes prevent that, say which."""
        import_id = request.form.get("import_id", "")
        arguments = [("import_id", import_id)] if import_id else []
        reply = ask("POST", str(Address(f"/changesets/{version}/revert", arguments)))
        if reply.problem:
            return shown(version, reply.body["detail"], reply.body.get("errors", ()), reply.status)
        return see(f"/edit/changesets/{reply.body['meta']['commit']}")


def shown(version: int, fault: str = "", errors: object = (), status: int = 200) -> Response:
    """Return the page of a changeset; ``fault`` says why it cannot be reverted."""
    reply = call(None, "GET", f"/changesets/{version}")
    if reply.location:
        return see(f"/edit/changesets/{reply.location.rpartition('/')[2]}")
    return page("changeset.html", status, title=f"Changeset {version}", **reply.require(), fault=fault, errors=errors)
