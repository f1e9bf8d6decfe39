"""Where the dataset is at, as far as lists must know: its version, whether all is published, and how much there is."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from api import prepared, search
from api.ledger import Bucket, Dirty, Head
from api.query import SEARCHABLE
from api.resources import BY_NAME


def dataset_version(session: Session) -> int:
    """Return the version that the whole dataset is at."""
    return state(session)[0]


def state(session: Session) -> tuple[int, bool]:
    """Return the version of the state that a session sees, and whether all that the tables say is published in it."""
    if "state" not in session.info:
        ((version, noted),) = prepared.rows(session, "state", _noted, {})
        session.info["state"] = (int(version), noted is None)
    found: tuple[int, bool] = session.info["state"]
    return found


def _noted() -> Any:
    return select(Head.version, select(Dirty.seq).limit(1).scalar_subquery())


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
    version, engine = dataset_version(session), session.get_bind()
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
