"""How far the dataset is: its version, whether all is published and indexed, and how much there is."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger import merkle
from api.ledger.index import bitmaps
from api.ledger.models import Bucket, Dirty, Head, Revision
from api.resources import BY_NAME


def dataset_version(session: Session) -> int:
    """Return the version that the whole dataset is at."""
    return state(session).version


class State(NamedTuple):
    """What a session sees: a version, whether all that the tables say is published, and in the bitmap index."""

    version: int
    settled: bool
    indexed: bool


def state(session: Session) -> State:
    """Return the state of the dataset that a session sees."""
    if "state" not in session.info:
        ((version, indexed, noted),) = statements.rows(session, "state", _noted, {})
        session.info["state"] = State(version, noted is None, noted is None and indexed == bitmaps.mark(version))
    found: State = session.info["state"]
    return found


def _noted() -> Any:
    # What is noted of a newer release's nouns is not in any list.
    noted = select(Dirty.seq).where(Dirty.kind.in_([literal(name) for name in BY_NAME])).limit(1)
    return select(Head.version, Head.indexed, noted.scalar_subquery())


def records(session: Session, kind: str) -> int:
    """Return how many records of a noun there are, where all is published: the digest knows."""
    ((known,),) = statements.rows(session, "records", _records, {"kind": kind})
    return int(known or 0)


def _records() -> Any:
    return select(func.sum(Bucket.records)).where(Bucket.kind == bindparam("kind"))


# How many records of each noun there were, at what version, by database: nothing but the way to an answer depends on it.
_sizes: WeakKeyDictionary[Any, tuple[int, Mapping[str, int]]] = WeakKeyDictionary()
STALE = 1_000


def sizes(session: Session) -> Mapping[str, int]:
    """Return about how many records of each noun there are: as many as there were up to `STALE` versions ago."""
    version, engine = dataset_version(session), session.get_bind().engine
    then, found = _sizes.get(engine, (-STALE, {}))
    if abs(version - then) >= STALE:
        found = dict(statements.rows(session, "sizes", _by_noun, {}))
        _sizes[engine] = (version, found)
    return found


def _by_noun() -> Any:
    return select(Bucket.kind, func.sum(Bucket.records)).group_by(Bucket.kind)


class DivergedError(LookupError):
    """A version, or a cursor, of a future that this dataset has not."""


class AheadError(LookupError):
    """A version that this standby may be about to get from its primary."""


class TrimmedError(LookupError):
    """A version of which the past was cut; ``version`` is the first that can be read, None where one record was erased."""

    def __init__(self, version: int | None) -> None:
        """Say from where on there is a past."""
        super().__init__(version)
        self.version = version


class Here(NamedTuple):
    """How far the dataset is: its version, its chain, from where on there is a past, and how often it was cut."""

    version: int
    chain: bytes
    trimmed: int
    cuts: int


def head(session: Session) -> Here:
    """Return how far the dataset is."""
    columns = [getattr(Head, name) for name in Here._fields]
    ((*found,),) = statements.rows(session, "head", lambda: select(*columns), {})
    return Here(*found)


def is_standby(session: Session) -> bool:
    """Tell whether this database only follows another."""
    return session.get_bind().dialect.name == "postgresql" and bool(session.scalar(select(func.pg_is_in_recovery())))


def chain_at(session: Session, version: int) -> bytes:
    """Return the chain's hash at a version. Raises DivergedError, or AheadError."""
    if version == 0:
        return merkle.GENESIS
    for (chain,) in statements.rows(session, "chain", _chain, {"version": version}):
        return bytes(chain)
    if version > head(session).version and is_standby(session):
        raise AheadError(version)
    raise DivergedError(version)


def _chain() -> Any:
    return select(Revision.chain).where(Revision.version == bindparam("version"))
