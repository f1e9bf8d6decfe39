"""The state of the dataset: its version, whether the ledger and its indexes are up to date, and how many records it has."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import ScalarSelect, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from api.db import statements
from api.db.database import HEAD, MEMORY
from api.db.memory import Memory, Published
from api.errors import ProblemError
from api.ledger import merkle
from api.ledger.index import bitmaps
from api.ledger.models import CURRENT, DigestNode, Dirty, Head, Revision
from api.ledger.tree import kind_of, top
from api.resources import BY_NAME

# The names in the `info` of a session of the head's row that it has locked, and of what it has published.
LOCKED, PUBLISHED = "locked head", "published"


class DivergedError(LookupError):
    """A version or a cursor that this dataset never had: it comes from a future that was lost."""


class AheadError(LookupError):
    """A version that this standby does not have yet, and may receive from its primary."""


class TrimmedError(LookupError):
    """A version that can no longer be read: ``version`` is the first that can, None if only one record was erased."""

    def __init__(self, version: int | None) -> None:
        """Keep the first version that can be read."""
        super().__init__(version)
        self.version = version


class DatasetState(NamedTuple):
    """The dataset as a session sees it.

    ``chain`` is the hash of the last revision; versions from ``trimmed`` on can be read; ``cuts`` counts how often documents
    were cut. ``noted`` is the number of the last change of the tables that is not published. ``indexed``: the bitmap index has
    all that is published. ``scoped``: the cities and surveys of all revisions are stored.
    """

    version: int
    chain: bytes
    trimmed: int
    cuts: int
    noted: int | None
    indexed: bool
    scoped: bool

    @property
    def settled(self) -> bool:
        """Whether every change of the tables is published."""
        return self.noted is None


def state(session: Session) -> DatasetState:
    """Return the state of the dataset; a session reads it once, until `forget`."""
    if "dataset" not in session.info:
        if not (rows := statements.rows(session, "state", _state, {})):
            # PostgreSQL shows a reader that waited for a restored table no rows: they are newer than what it sees.
            raise ProblemError("unavailable", "A backup is being restored: try again.")
        ((version, chain, trimmed, cuts, indexed, scoped, noted),) = rows
        is_indexed = noted is None and indexed == bitmaps.stamp(version)
        session.info["dataset"] = DatasetState(version, bytes(chain), trimmed, cuts, noted, is_indexed, scoped >= version)
        _keep(session, Published(version, bytes(chain)))
    result: DatasetState = session.info["dataset"]
    return result


def _state() -> Any:
    return select(Head.version, Head.chain, Head.trimmed, Head.cuts, Head.indexed, Head.scoped, noted())


def noted() -> ScalarSelect[Any]:
    """Return a query of the number of the last change that is not published."""
    # Notes about the nouns of a newer release are left to that release; no list shows these nouns.
    of_nouns = Dirty.kind.in_([statements.constant(name) for name in BY_NAME])
    return select(Dirty.seq).where(of_nouns).order_by(Dirty.seq.desc()).limit(literal_column("1")).scalar_subquery()


def _keep(session: Session, published: Published) -> None:
    """Remember a version that is about to be shown, and that follows what is remembered.

    If it does not, versions were lost: the next write notices that.
    """
    memory: Memory | None = session.info.get(MEMORY)
    # What a session itself has published is not committed yet.
    if memory and HEAD not in session.info:
        memory.keep(published, follows=lambda known: is_past(session, *known))


def is_past(session: Session, version: int, chain: bytes) -> bool:
    """Tell whether the chain had this hash at a version."""
    try:
        return chain_at(session, version) == chain
    except LookupError:
        return False


def forget(session: Session) -> None:
    """Let `state` and `epochs.locked_row` read again: the session has changed the head."""
    session.info.pop("dataset", None)
    session.info.pop(LOCKED, None)


def is_standby(session: Session) -> bool:
    """Tell whether this database is a standby, which follows a primary."""
    return session.get_bind().dialect.name == "postgresql" and bool(session.scalar(select(func.pg_is_in_recovery())))


def chain_at(session: Session, version: int) -> bytes:
    """Return the chain's hash at a version. Raises DivergedError or AheadError."""
    if version == 0:
        return merkle.GENESIS
    for (chain,) in statements.rows(session, "chain", _chain, {"version": version}):
        return bytes(chain)
    if version > state(session).version and is_standby(session):
        raise AheadError(version)
    raise DivergedError(version)


def _chain() -> Any:
    return select(Revision.chain).where(Revision.version == bindparam("version"))


# --- how many records there are


def records(session: Session, kind: str) -> int:
    """Return the number of records of a noun, if all changes are published: as the digest has it, whose tree counts them."""
    counts = {
        path: (count, version) for path, count, version in statements.rows(session, "records", _records, {"top": top(kind)})
    }
    if counts.get("", (0, 0))[1] == state(session).version:
        return int(counts.get(top(kind), (0, 0))[0])
    # An older release has published, and does not keep the tree.
    return session.scalar(select(func.count()).where(Revision.kind == kind, *CURRENT)) or 0


def _records() -> Any:
    of_noun = DigestNode.path.in_([literal_column("''"), bindparam("top")])
    return select(DigestNode.path, DigestNode.records, DigestNode.version).where(of_noun)


# By database: a version, and the number of records of each noun at it. Only the choice of a plan depends on these numbers.
_sizes: WeakKeyDictionary[Any, tuple[int, Mapping[str, int]]] = WeakKeyDictionary()


def sizes(session: Session, stale: int) -> Mapping[str, int]:
    """Return the approximate number of records of each noun, at most ``stale`` versions old."""
    version, engine = state(session).version, session.get_bind().engine
    counted_at, counts = _sizes.get(engine, (-stale, {}))
    if abs(version - counted_at) >= stale:
        counts = {kind_of(path): count for path, count in statements.rows(session, "sizes", _sizes_of_nouns, {})}
        _sizes[engine] = (version, counts)
    return counts


def _sizes_of_nouns() -> Any:
    tops: list[Any] = [literal_column(f"'{top(kind)}'") for kind in BY_NAME]
    return select(DigestNode.path, DigestNode.records).where(DigestNode.path.in_(tops))
