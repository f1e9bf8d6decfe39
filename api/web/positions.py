"""Where a reader of the feed goes on: after a version, after a change, or after a page, by a number or a cursor."""

import re
from collections.abc import Callable

from sqlalchemy.orm import Session

from api.errors import ProblemError, error_item
from api.ledger import scopes
from api.ledger.cursors import OF_CHANGE, NoCursorError, Position, proof_of_change, read_of_change
from api.ledger.head import DivergedError
from api.ledger.parts import Part
from api.web.consistency import chain_of, version_problems

# A version, or the cursor of a change.
SINCE = re.compile(rf"[0-9]{{1,16}}|{OF_CHANGE.pattern}")


def read(session: Session, since: str, cursor: str | None, part: Part) -> Position:
    """Return the position after which a request reads a part. Raises a 400 for an invalid cursor, a 410 for a lost one.

    Raises a 503 if the database does not know the part.
    """
    if part.scopes:
        scopes.require_stored(session)
    if cursor is None:
        return _of_change(session, "since", since, part) or _of_version(session, since, part)
    position = _of_change(session, "cursor", cursor, part) or _of_page(session, cursor)
    # ETL tools send the `since` that they began with on every page; the cursor is further.
    if int(since.partition("-")[0]) > position.version:
        raise not_together("since", "`since` is after where `cursor` is: leave one of them out.")
    if position.mark != part.mark:
        raise invalid_cursor("The cursor is of other cities or surveys: send those of its request, or begin with `since=0`.")
    if not position.covers(part.kinds):
        raise invalid_cursor(f"The cursor knows changes of {', '.join(position.kinds)}: begin with `since=0` for others.")
    return position


def _of_version(session: Session, since: str, part: Part) -> Position:
    chain_of(session, version := int(since), "since")
    return Position(version, part.kinds, mark=part.mark)


def _of_change(session: Session, parameter: str, cursor: str, part: Part) -> Position | None:
    """Return the position after the change with a cursor; None if the text is no cursor of a change."""
    if (read := read_of_change(cursor, part)) is None:
        return None
    position, proof = read
    _require(session, parameter, position, lambda chain: proof == proof_of_change(chain))
    return position


def _of_page(session: Session, cursor: str) -> Position:
    """Return the position after the page with a cursor."""
    try:
        position, proof = Position.read(cursor)
    except NoCursorError:
        hint = "Take it from `cursor` or `links.next` of an answer."
        raise invalid_cursor("This API did not make the cursor.", hint) from None
    _require(session, "cursor", position, lambda chain: position.holds(proof, chain))
    return position


def _require(session: Session, parameter: str, position: Position, holds: Callable[[bytes], bool]) -> None:
    """Raise a 410 unless the chain that a position depends on is the one that its cursor was made from."""
    chain = chain_of(session, position.known, parameter)
    with version_problems(session, parameter):
        if not holds(chain):
            raise DivergedError(position.known)


def invalid_cursor(detail: str, hint: str = "") -> ProblemError:
    """Return the 400 of a cursor."""
    return ProblemError("invalid-cursor", detail, error_item("cursor", "invalid-cursor", hint or detail))


def not_together(parameter: str, detail: str) -> ProblemError:
    """Return the 400 of two parameters that contradict each other, about one of them."""
    return ProblemError("invalid-query", detail, error_item(parameter, "not-together", detail))
