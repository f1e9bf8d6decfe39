"""The names of nouns' records, kept in memory until a record of the noun changes."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.ledger import head
from api.ledger.head import DatasetState
from api.ledger.index.matching import Directory
from api.ledger.models import Revision
from api.resources import BY_NAME
from api.schema.resource import Resource

# The nouns whose records people call by a name. An initiative has a title, which is a sentence, and an award has none.
NAMED = tuple(BY_NAME[name] for name in ("cities", "organizations", "priorities", "surveys", "sources"))


class Kept(NamedTuple):
    """A directory, the state of the dataset in which it was last right, and the noun's last revision then."""

    state: DatasetState
    last: tuple[object, ...]
    directory: Directory


@dataclass(frozen=True)
class Directories:
    """The directories of a database; threads share them, and only read what is kept."""

    kept: dict[str, Kept] = field(default_factory=dict)

    def of(self, session: Session, noun: Resource) -> Directory:
        """Return the directory of a noun as the session sees it. To make one of 100,000 names takes seconds."""
        state, known = head.state(session), self.kept.get(noun.name)
        if known is None or known.state != state:
            last = _last(session, noun, state)
            directory = known.directory if known and known.last == last else Directory.of(session, noun)
            known = self.kept[noun.name] = Kept(state, last, directory)
        return known.directory


def _last(session: Session, noun: Resource, state: DatasetState) -> tuple[object, ...]:
    """Return what differs when records of a noun do: its last revision, and changes that are not in a revision."""
    revisions = select(Revision.version, Revision.leaf).where(Revision.kind == noun.name)
    row = session.execute(revisions.order_by(Revision.version.desc()).limit(1)).first()
    return (*(row or ()), state.cuts, state.noted)
