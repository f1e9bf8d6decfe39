"""Why a database fails: a sentence for each kind of failure that is not a bug, for clients and operators alike."""

from collections.abc import Iterator, Mapping

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.logs import code_of

UNREACHABLE = "The database cannot be reached."
NOT_OPENED = "The file of the database cannot be opened: it is missing, or its folder can only be read."
BUSY = "The database is busy."
LOCKED = "The database is locked by another writer: try again."
TOO_LONG = "The query took too long: ask for less, such as fewer conditions or facets, or no exact total."
STANDBY = "This database is a standby: write to its primary."
UNCERTAIN = "The write may be lost, since no standby has confirmed it: send it again with the same `Idempotency-Key`."
FULL = "The disk of the database is full."
BROKEN = "The disk of the database does not work."
DAMAGED = "The file of the database is damaged."
# By the beginning of SQLite's error names (sqlite.org/rescode.html) and of PostgreSQL's error codes (Appendix A of its manual).
REASONS: Mapping[str, str] = {
    "SQLITE_BUSY": LOCKED,
    "SQLITE_LOCKED": LOCKED,
    "SQLITE_INTERRUPT": TOO_LONG,
    "SQLITE_FULL": FULL,
    "SQLITE_READONLY": "The file of the database can only be read.",
    "SQLITE_IOERR": BROKEN,
    "SQLITE_CORRUPT": DAMAGED,
    "SQLITE_NOTADB": DAMAGED,
    "SQLITE_CANTOPEN": NOT_OPENED,
    "08": UNREACHABLE,
    "25006": STANDBY,
    "28": "The database does not let this server in.",
    "3D000": "The database does not exist.",
    "40003": UNCERTAIN,
    "40": LOCKED,
    "42501": "The role with which this server reaches its database lacks a privilege that the request needs.",
    "53100": FULL,
    "53": BUSY,
    "55P03": LOCKED,
    "57014": TOO_LONG,
    "57": UNREACHABLE,
    "58": BROKEN,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
# Failures that a writer can expect again until an operator does something.
LASTING = frozenset(REASONS.values()) - {UNREACHABLE, NOT_OPENED, BUSY, LOCKED, TOO_LONG, STANDBY, UNCERTAIN}

# Their names in the metrics.
CAUSES: Mapping[str, str] = {
    UNREACHABLE: "unreachable",
    BUSY: "busy",
    LOCKED: "locked",
    TOO_LONG: "too_long",
    STANDBY: "standby",
    UNCERTAIN: "uncertain",
    FULL: "disk_full",
    BROKEN: "disk_broken",
    DAMAGED: "damaged",
}

DatabaseError = DBAPIError | PoolTimeoutError


def reason(error: DatabaseError) -> str | None:
    """Return a sentence about a failure that is not a bug; None if it can be one.

    A failure can hide behind another: after a full disk, SQLite has no savepoint any more to which one could go back.
    """
    return next(filter(None, map(_reason, _behind(error))), None)


def _reason(error: DatabaseError) -> str | None:
    if isinstance(error, PoolTimeoutError):
        return BUSY
    code = code_of(error)
    known = sentence_of(code)
    # Without a code and a statement, there was no connection.
    is_cut = error.connection_invalidated or not (code or error.statement)
    return known or (UNREACHABLE if is_cut else None)


def sentence_of(code: str) -> str | None:
    """Return the sentence about an error name of SQLite or an error code of PostgreSQL; None if it has none."""
    return next((sentence for prefix, sentence in REASONS.items() if code.startswith(prefix)), None)


def _behind(error: BaseException | None) -> Iterator[DatabaseError]:
    """Yield an error of the database, and those during whose handling it was raised."""
    while error is not None:
        if isinstance(error, DBAPIError | PoolTimeoutError):
            yield error
        error = error.__cause__ or error.__context__


def lasting(error: DatabaseError) -> str | None:
    """Return the reason of a failure that the next write will meet, too, until an operator does something."""
    sentence = reason(error)
    return sentence if sentence in LASTING else None
