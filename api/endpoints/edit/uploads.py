"""Files at the desk: one is uploaded, and becomes a proposal, or a report of its faults and questions."""

from pathlib import PurePath
from urllib.parse import urlencode

from flask import Response, request
from werkzeug.datastructures import FileStorage

from api.endpoints.edit.desk import DeskView, ask, page, told
from api.resources import RESOURCES

# The media types of files by their suffixes: browsers do not agree on them.
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/csv",
    ".txt": "text/csv",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
}

# Parameters of an import: those with one value, and those with one in each line.
TEXTS, LISTS = ("noun", "message"), ("columns", "set", "fill_down")
INPUTS = (*TEXTS, *LISTS)


class Uploads(DeskView):
    """The form to upload a file."""

    def get(self) -> Response:
        """Show it."""
        return shown()

    def post(self) -> Response:
        """Propose what the file says; if it has faults or questions, show them."""
        file = request.files.get("file")
        if file is None or not file.filename:
            return shown(422, fault="Choose a file.")
        media_type = MEDIA_TYPES.get(PurePath(file.filename).suffix.lower())
        if media_type is None:
            return shown(422, fault=f"The name of the file must end with one of {', '.join(MEDIA_TYPES)}.")
        return sent(file, media_type)


def sent(file: FileStorage, media_type: str) -> Response:
    """Send a file to the API, and show what it says."""
    given = request.form
    pairs = [(name, given[name].strip()) for name in TEXTS if given.get(name, "").strip()]
    pairs += [(name, line.strip()) for name in LISTS for line in given.get(name, "").splitlines() if line.strip()]
    reply = ask("POST", f"/imports?{urlencode(pairs)}", file.read(), media_type=media_type)
    if reply.problem:
        return shown(
            reply.status, fault=reply.body["detail"], errors=reply.body.get("errors", ()), notes=reply.body.get("notes", ())
        )
    return page("uploaded.html", title=f"Read: {file.filename}", **reply.body, told=told(reply.body["changes"]))


def shown(status: int = 200, *, fault: str = "", errors: object = (), notes: object = ()) -> Response:
    """Return the form; ``errors`` are faults and questions of the file sent last, and ``notes`` what was read as what."""
    return page(
        "upload.html",
        status,
        title="Upload a file",
        resources=RESOURCES,
        given={name: request.form.get(name, "") for name in INPUTS},
        fault=fault,
        errors=errors,
        notes=notes,
    )
