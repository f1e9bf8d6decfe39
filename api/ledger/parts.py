"""Parts of the dataset: the records of some nouns that belong to any of some cities, and to any of some surveys."""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, String, and_, bindparam, exists, literal, select, union_all
from sqlalchemy.orm import aliased

from api.db.statements import padded
from api.ledger.models import Revision, RevisionScope
from api.resources import BY_NAME


def is_known_kind() -> ColumnElement[bool]:
    """Return the condition that a revision is of a noun of this release; a database may hold nouns of a newer one.

    The expression keeps the planner from using the index by noun: these queries read the revisions by version.
    """
    return (Revision.kind + "").in_([literal(kind) for kind in BY_NAME])


@dataclass(frozen=True)
class Part:
    """A part of the dataset: some ``kinds``, and some records of each noun of ``scopes`` with all that belongs to them.

    An empty one stands for everything.
    """

    kinds: tuple[str, ...] = ()
    scopes: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def mark(self) -> str:
        """A short text that tells parts with other scopes apart; "" if there are none."""
        text = "\n".join(f"{noun}={','.join(sorted(ids))}" for noun, ids in sorted(self.scopes))
        return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""

    @property
    def shape(self) -> Hashable:
        """The parts of its conditions that are not parameters."""
        return self.kinds, *((noun, len(padded(ids))) for noun, ids in self.scopes)

    @property
    def values(self) -> dict[str, str]:
        """The values of its parameters."""
        return {f"{noun}_{n}": id for noun, ids in self.scopes for n, id in enumerate(padded(ids))}

    def of_kinds(self) -> ColumnElement[bool]:
        """Return the condition that a revision is of one of the nouns."""
        return Revision.kind.in_([literal(kind) for kind in self.kinds]) if self.kinds else is_known_kind()

    def inside(self, version: Any) -> ColumnElement[bool]:
        """Return the condition that the revision with a version belongs to the scopes."""
        return self._has(version, "belongs")

    def left(self, version: Any) -> ColumnElement[bool]:
        """Return the condition that the revision with a version does not belong to the scopes, and the one before did."""
        return and_(~self.inside(version), self._has(version, "belonged"))

    def branches(self) -> Iterator[tuple[type[RevisionScope], ColumnElement[bool]]]:
        """Yield a table for each record of the first scope, and the condition that its rows are of this one.

        Each is a range of an index in the order of versions. Together they have all that belong to the scopes or left.
        """
        noun, ids = self.scopes[0]
        for name in _names(noun, ids):
            scope = aliased(RevisionScope)
            yield scope, and_(scope.kind == literal(noun), scope.id == name)

    def versions(self, *bounds: Callable[[Any], ColumnElement[bool]]) -> Select[Any]:
        """Return a SELECT of the versions of these revisions, within bounds of their versions."""
        rows = [
            select(scope.version).where(of_scope, *(bound(scope.version) for bound in bounds))
            for scope, of_scope in self.branches()
        ]
        return select(union_all(*rows).subquery().c.version)

    def _has(self, version: Any, flag: str) -> ColumnElement[bool]:
        return and_(*(_has_any(version, flag, noun, ids) for noun, ids in self.scopes))


def _names(noun: str, ids: Sequence[str]) -> list[BindParameter[str]]:
    return [bindparam(f"{noun}_{n}", type_=String) for n in range(len(padded(ids)))]


def _has_any(version: Any, flag: str, noun: str, ids: Sequence[str]) -> ColumnElement[bool]:
    scope = aliased(RevisionScope)
    return exists().where(
        scope.version == version, scope.kind == literal(noun), scope.id.in_(_names(noun, ids)), getattr(scope, flag)
    )
