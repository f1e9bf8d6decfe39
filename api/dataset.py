"""Where the dataset is at, as far as lists must know: its version, whether all is published, and how much there is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.orm import Session

from api import bitmaps, prepared, search
from api.ledger import Bucket, Dirty, Head
from api.query import SEARCHABLE
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
        ((version, indexed, noted),) = prepared.rows(session, "state", _noted, {})
        session.info["state"] = State(version, noted is None, noted is None and indexed == bitmaps.mark(version))
    found: State = session.info["state"]
    return found


def _noted() -> Any:
    # What is noted of a newer release's nouns is not in any list.
    noted = select(Dirty.seq).where(Dirty.kind.in_([literal(name) for name in BY_NAME])).limit(1)
    return select(Head.version, Head.indexed, noted.scalar_subquery())


def records(session: Session, kind: str) -> int:
    """Return how many records of a noun there are, where all is published: the digest knows."""
    ((known,),) = prepared.rows(session, "records", _records, {"kind": kind})
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
        found = dict(prepared.rows(session, "sizes", _by_noun, {}))
        _sizes[engine] = (version, found)
    return found


def _by_noun() -> Any:
    return select(Bucket.kind, func.sum(Bucket.records)).group_by(Bucket.kind)


def nouns(session: Session, kinds: Sequence[str]) -> search.Nouns:
    """Return nouns for a search, as those that are left out where these have fewer records."""
    asked = tuple(sorted(kinds))
    if session.get_bind().dialect.name != "sqlite":
        return search.Nouns(asked)
    there = sizes(session)
    others = tuple([resource.name for resource in SEARCHABLE if resource.name not in asked])
    fewer = sum(there.get(kind, 0) for kind in others) < sum(there.get(kind, 0) for kind in asked)
    # Nouns of a newer release are not known by name, so they can't be left out.
    return search.Nouns(asked, others if fewer and there.keys() <= BY_NAME.keys() else None)
