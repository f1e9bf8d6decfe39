"""`/edit`: the desk, where people sign in with a key, enter records, upload files, and review what others propose."""

from flask import Flask

from api.endpoints.edit.changesets import OneChangeset
from api.endpoints.edit.entry import Home, SignIn, SignOut
from api.endpoints.edit.proposals import OneProposal, Proposals
from api.endpoints.edit.records import ExistingRecord, NewRecord, Records
from api.endpoints.edit.uploads import Uploads

PATHS = {
    "": Home,
    "/sign-in": SignIn,
    "/sign-out": SignOut,
    "/imports": Uploads,
    "/proposals": Proposals,
    "/proposals/<string:id>": OneProposal,
    "/changesets/<int:version>": OneChangeset,
    "/<string:noun>": Records,
    "/<string:noun>/new": NewRecord,
    "/<string:noun>/<record:id>": ExistingRecord,
}


def add_routes(app: Flask) -> None:
    """Add the desk, which is no part of the API, to an application."""
    for path, view in PATHS.items():
        app.add_url_rule(f"/edit{path}", view_func=view.as_view(f"edit{view.__name__}"))
