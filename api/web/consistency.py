"""Reading from a database that is recent enough, and the problems of versions that it does not have."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import after_this_request, current_app, g, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from sqlalchemy.orm import Session

from api.db.database import Database
from api.errors import ErrorList, ProblemError, error_item, shorten
from api.ledger import epochs, head, history
from api.schema.fields import MAX_INTEGER
from api.schema.operators import TYPES
from api.schema.resource import Resource
from api.web.exchanges import CACHED_AT, LATEST
from api.web.places import VERSION as FOR_VERSION
from api.web.places import waiting
from api.web.responses import no_store
from api.web.urls import base_url

# Seconds to wait for `min_version`, and between two looks at the version.
PATIENCE, POLL_SECONDS = 1.0, 0.02


class ReadView(MethodView):
    """A view that runs again on the primary if a standby has not received the version that the request names."""

    def dispatch_request(self, **path: Any) -> ResponseReturnValue:
        """Run the view, and let `reading` open the primary the second time. A read has no effects, so it can run twice."""
        try:
            return super().dispatch_request(**path)
        except head.AheadError:
            g.reads_primary = True
            return super().dispatch_request(**path)


@contextmanager
def reading(min_version: int = 0) -> Iterator[Session]:
    """Open a session on this server's database, or on the primary if this server is a standby that is behind.

    Raises a 503 if `min_version` does not arrive in time, or if the block raises AheadError and there is no primary to ask;
    if there is one, AheadError reaches `ReadView`, which runs the view again.
    """
    database = _recent_enough(min_version)
    can_ask_primary = current_app.extensions["primary"] not in {None, database}
    try:
        with database.reading() as session:
            if current_app.extensions["primary"]:
                _compare(session, min_version)
            yield session
    except head.AheadError:
        if can_ask_primary:
            raise
        raise ProblemError("unavailable", "This standby has not received that version yet.") from None


def _compare(session: Session, min_version: int) -> None:
    """Raise AheadError if a session has less than `min_version`, although another connection had it: to another standby.

    Nor is its answer cached if the cache has seen a higher version.
    """
    version = head.state(session).version
    if version < min_version:
        raise head.AheadError(min_version)
    if version < request.environ.get(CACHED_AT, 0):
        after_this_request(no_store)


def _recent_enough(min_version: int) -> Database:
    """Return the database to read from, as soon as it is at a version. Raises a 503 if that takes too long."""
    database: Database = current_app.extensions["database"]
    primary: Database | None = current_app.extensions["primary"]
    # Asked once: the next connection can lead to another standby.
    is_standby_enough = "reads_primary" not in g and not request.environ.get(LATEST)
    is_there = is_standby_enough and _has(database, min_version)
    if primary and not is_there:
        database = primary
        # The standby is in another state, so an answer of the primary must not be cached as one of its own.
        after_this_request(no_store)
        is_there = _has(database, min_version)
    if not is_there:
        _wait_for(database, min_version)
    return database


def _has(database: Database, version: int) -> bool:
    if version == 0:
        return True
    with database.reading() as session:
        if head.state(session).version < version:
            return False
        chain_of(session, version, "min_version")
        return True


def _wait_for(database: Database, version: int) -> None:
    with waiting(FOR_VERSION) as may_wait:
        deadline = time.monotonic() + (PATIENCE if may_wait else 0)
        while not _has(database, version):
            if time.monotonic() > deadline:
                _require_not_lost(database, version)
                raise ProblemError("unavailable", f"The dataset is not at version {version} yet.")
            time.sleep(POLL_SECONDS)


def _require_not_lost(database: Database, version: int) -> None:
    """Raise a 410 for a version that never will come, since an epoch begins above it, and no standby waits for it."""
    with database.reading() as session:
        if not head.is_standby(session) and head.state(session).version < version <= epochs.floor(session):
            with version_problems(session, "min_version"):
                raise head.DivergedError(version)


def as_of_version(session: Session, as_of: str) -> int:
    """Return the version that `as_of` names, itself a version or a time. Raises a 400 or a 410, and AheadError."""
    try:
        if as_of.isascii() and as_of.isdigit():
            chain_of(session, version := int(as_of), "as_of")
            return version
        return history.at_time(session, TYPES["instant"].read(as_of))
    except (ValueError, OverflowError):
        errors = ErrorList()
        detail = f"`as_of` is a version of the dataset or {TYPES['instant'].description}."
        errors.add("as_of", "invalid-value", detail, allowed={"format": "date-time"})
        errors.raise_any()
        raise


def chain_of(session: Session, version: int, parameter: str) -> bytes:
    """Return the ledger's chain hash at the version that a parameter names. Raises a 410, and AheadError."""
    with version_problems(session, parameter):
        if version > MAX_INTEGER:
            raise head.DivergedError(version)
        return head.chain_at(session, version)


@contextmanager
def version_problems(session: Session, parameter: str) -> Iterator[None]:
    """Turn DivergedError and TrimmedError into a 410 about a parameter of the request."""
    try:
        yield
    except head.DivergedError:
        now = head.state(session).version
        detail = f"The dataset, at version {now}, never had the version that this `{parameter}` is from."
        item = error_item(parameter, "cursor-diverged", detail)
        raise ProblemError("cursor-diverged", detail, item, restart=f"{base_url()}/snapshot") from None
    except head.TrimmedError as error:
        detail = (
            f"The history before version {error.version} was trimmed."
            if error.version
            else "That part of a record's history was erased."
        )
        item = error_item(parameter, "history-trimmed", detail)
        raise ProblemError("history-trimmed", detail, item, version=error.version) from None


def unknown_record(session: Session, resource: Resource, id: str) -> ProblemError:
    """Return the 404 of a record that does not exist; it suggests the published id that is nearest."""
    detail = f"There is no {resource.singular} `{shorten(id)}`."
    suggestion = history.near_id(session, resource.name, id)
    item = error_item("id", "unknown-id", f"{detail} `/{resource.name}` lists those that there are.", suggestion=suggestion)
    return ProblemError("record-not-found", detail, item)
