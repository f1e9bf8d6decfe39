"""How the rows of a list are found."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.ledger.head import sizes
from api.ledger.index.engine import Nouns
from api.query.language import SEARCHABLE
from api.resources import BY_NAME


def nouns(session: Session, kinds: Sequence[str]) -> Nouns:
    """Return nouns for a search, as those that are left out where these have fewer records."""
    asked = tuple(sorted(kinds))
    if session.get_bind().dialect.name != "sqlite":
        return Nouns(asked)
    there = sizes(session)
    others = tuple([resource.name for resource in SEARCHABLE if resource.name not in asked])
    fewer = sum(there.get(kind, 0) for kind in others) < sum(there.get(kind, 0) for kind in asked)
    # Nouns of a newer release are not known by name, so they can't be left out.
    return Nouns(asked, others if fewer and there.keys() <= BY_NAME.keys() else None)


# So many rows are counted to see by which of two conditions others are found best.
WEIGHED = 50_000
# Of a filter beside a search, at most so many rows are found first.
FEW = 1_000
# A filter that leaves less than one in so many is asked by the bitmap index.
RARE = 10
# What it costs to ask a search of one row, in parts of what it costs to find one by it.
LOOKUP = 16


@dataclass(frozen=True)
class Plan:
    """How the rows of a list are found.

    ``leads``: its search finds rows, and its filter is asked of them; else the other way round. ``probing``: its relations
    are asked of one row after the other, and don't find them. ``soon``: so the next rows of its order are met soon.
    """

    leads: bool = False
    probing: bool = False
    soon: bool = False
