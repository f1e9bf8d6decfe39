"""What a request says of the dataset's versions, and how it is answered when they are not to be had."""

import time
from collections.abc import Callable
from typing import Any

from flask import Response, current_app
from sqlalchemy.orm import Session

from api.db.database import Database
from api.errors import ErrorList, ProblemError, error_item, shorten
from api.ledger import head, history
from api.schema.fields import MAX_INTEGER
from api.schema.operators import TYPES
from api.schema.resource import Resource
from api.web.problems import base_url
from api.web.responses import waiting

# Seconds to wait for a version, and between looks.
PATIENCE, EVERY = 1.0, 0.02


def served(work: Callable[[Database], Response], min_version: int = 0) -> Response:
    """Answer from the database, or from its primary where it is a standby that has not got so far.

    Raises 410 for a version that never was, or that was cut, and 503 where the primary can't be asked, or where there is no
    ``min_version`` yet, after a while.
    """
    own: Database = current_app.extensions["database"]
    primary: Database | None = current_app.extensions["primary"]
    try:
        if min_version and not _has(own, min_version):
            if primary is None:
                _wait_for(own, min_version)
            else:
                return _of_primary(work, primary, min_version)
        return work(own)
    except head.AheadError:
        if primary is None:
            raise ProblemError("unavailable", "This standby has not got as far as that version yet.") from None
        return _of_primary(work, primary)


def _of_primary(work: Callable[[Database], Response], primary: Database, min_version: int = 0) -> Response:
    """Answer from the primary; nobody may keep that as an answer of the standby, which is in another state."""
    if min_version:
        _wait_for(primary, min_version)
    response = work(primary)
    response.headers["Cache-Control"] = "no-store"
    return response


def _has(database: Database, version: int) -> bool:
    with database.reading() as session:
        return head.state(session).version >= version


def _wait_for(database: Database, version: int) -> None:
    deadline = time.monotonic() + PATIENCE
    with waiting():
        while not _has(database, version):
            if time.monotonic() > deadline:
                raise ProblemError("unavailable", f"The dataset has not got as far as version {version} yet.")
            time.sleep(EVERY)


def version_of(session: Session, text: str, parameter: str = "as_of") -> int:
    """Read a version, or a time, that is in the ledger. Raises a 400 or a 410, and AheadError."""
    try:
        if text.isascii() and text.isdigit():
            version = int(text)
            within(session, version, parameter)
            return version
        return history.at_time(session, TYPES["instant"].read(text))
    except (ValueError, OverflowError):
        wrong = ErrorList()
        detail = f"`{parameter}` is a version of the dataset or {TYPES['instant'].description}."
        wrong.add(parameter, "invalid-value", detail, allowed={"format": "date-time"})
        wrong.raise_any()
        raise


def within(session: Session, version: int, parameter: str, proof: Callable[[bytes], bool] = lambda _: True) -> None:
    """Raise a 410 for a version that this dataset never had, or one whose chain is not as ``proof`` wants it."""
    try:
        if version <= MAX_INTEGER and proof(head.chain_at(session, version)):
            return
    except head.DivergedError:
        pass
    now = head.state(session).version
    detail = f"The dataset, at version {now}, never was where this `{parameter}` is from."
    raise ProblemError(
        "cursor-diverged", detail, error_item(parameter, "cursor-diverged", detail), restart=f"{base_url()}/snapshot"
    )


def readable(check: Callable[[], Any], parameter: str) -> Any:
    """Return what a look at the past finds. Raises a 410 where it was cut."""
    try:
        return check()
    except head.TrimmedError as error:
        detail = f"The past below version {error.version} was cut." if error.version else "That past of a record was erased."
        item = error_item(parameter, "history-trimmed", detail)
        raise ProblemError("history-trimmed", detail, item, version=error.version) from None


def unknown_record(session: Session, resource: Resource, id: str) -> ProblemError:
    """Describe a record that isn't there, with the published id that was probably meant."""
    detail = f"There is no {resource.singular} `{shorten(id)}`."
    suggestion = history.near_id(session, resource.name, id)
    item = error_item("id", "unknown-id", f"{detail} `/{resource.name}` lists those that there are.", suggestion=suggestion)
    return ProblemError("record-not-found", detail, item)
