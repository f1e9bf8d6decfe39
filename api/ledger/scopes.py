"""Scopes: the cities and surveys to which each revision belongs, so that a feed or a snapshot can be of some of them alone."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Insert,
    Integer,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    union,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.db.statements import Among
from api.errors import ProblemError
from api.ledger import head
from api.ledger.models import BATCH, CURRENT, Op, Revision, RevisionScope
from api.resources import RESOURCES
from api.schema.resource import Relation, Resource

# For each noun, the nouns before it whose records pass their scopes on to its records, and by which relation.
GIVERS: Mapping[str, Sequence[tuple[Resource, Relation]]] = {
    noun.name: [
        (giver, relation)
        for giver in RESOURCES
        for relation in giver.relations
        if relation.name in giver.belonging and relation.to == noun.name
    ]
    for noun in RESOURCES
}
# The nouns whose records can belong to a scope, in an order in which scopes can be assigned.
SCOPED = [noun for noun in RESOURCES if noun.is_scope or GIVERS[noun.name]]
ONE, ZERO = literal_column("1", Integer), literal_column("0", Integer)
AFTER = bindparam("after", type_=Revision.version.type)
Scope = tuple[str, str]


def assign(session: Session, resource: Resource, after: int, versions: Sequence[int], *, past: bool) -> None:
    """Store the scopes of a noun's revisions after a version; the nouns that pass scopes on to it must have theirs.

    If there are few of them, these are their ``versions``: PostgreSQL would plan each time how to find those after one.
    ``past``: some of their records had revisions before.
    """
    shape: Hashable = ("assign scopes", resource.name, past)
    added: Callable[[], Sequence[ColumnElement[bool]]] = partial(_added, resource)
    values: Mapping[str, Any] = {"after": after}
    if versions:
        among = statements.among(session, versions, BigInteger)
        shape, added, values = (shape, among.shape), partial(_these, resource, among), among.values
    statements.change(session, shape, lambda: _assignment(resource, added(), past=past), values, awaited=False)


def have_changed(session: Session, resource: Resource, after: int) -> bool:
    """Tell whether any revision of a noun after a version has other scopes than the one before it."""

    def build() -> Any:
        return select(Revision.version).where(*_added(resource), _changed(Revision)).limit(ONE)

    return bool(statements.rows(session, ("changed scopes", resource.name), build, {"after": after}))


def _added(resource: Resource) -> Sequence[ColumnElement[bool]]:
    return Revision.kind == literal(resource.name), Revision.version > AFTER


def _these(resource: Resource, among: Among) -> Sequence[ColumnElement[bool]]:
    return Revision.kind == literal(resource.name), among.condition(Revision.version)


def _assignment(resource: Resource, added: Sequence[ColumnElement[bool]], *, past: bool) -> Insert:
    now = _labelled(_derived(resource, *added, Revision.op == Op.UPSERT), ONE, ZERO)
    rows = union_all(now, *([_before(*added), _ever(*added)] if past else [])).subquery()
    flags = [func.max(rows.c[name]) == ONE for name in ("belongs", "belonged")]
    scopes = select(rows.c.version, rows.c.kind, rows.c.id, *flags).group_by(rows.c.version, rows.c.kind, rows.c.id)
    return insert(RevisionScope).from_select(["version", "kind", "id", "belongs", "belonged"], scopes)


def require_stored(session: Session) -> None:
    """Raise a 503 if an older release, which stores no scopes, wrote last: a feed of a city could miss what it wrote."""
    if not head.state(session).scoped:
        detail = "An older release wrote last: parts of the data can be read again after a write or `ledger sweep` by this one."
        raise ProblemError("unavailable", detail)


def givers(resource: Resource) -> set[str]:
    """Return the names of the nouns whose records pass their scopes on to those of this noun."""
    return {giver.name for giver, _ in GIVERS[resource.name]}


def outdated(session: Session, resource: Resource, after: int) -> Iterator[Sequence[Revision]]:
    """Yield batches of current revisions of a noun whose scopes changed because those of other records did after a version.

    The revisions after it are left out: they have their scopes in any case.
    """
    rows = statements.rows(session, ("dependents", resource.name), lambda: _dependents(resource), {"after": after})
    versions = [version for (version,) in rows]
    for start in range(0, len(versions), BATCH):
        changed = wrong(session, resource, versions[start : start + BATCH])
        yield session.scalars(select(Revision).where(Revision.version.in_(changed)).order_by(Revision.version)).all()


def wrong(session: Session, resource: Resource, versions: Sequence[int]) -> list[int]:
    """Return those of some current revisions of a noun whose stored scopes are not what the links between records say."""
    if resource not in SCOPED:
        return []
    derived: dict[int, set[Scope]] = defaultdict(set)
    stored: dict[int, set[Scope]] = defaultdict(set)
    # With the noun as a condition too, SQLite would look for each pair of versions in the index of both.
    among = (*CURRENT, Revision.version.in_(versions))
    belongs = _scopes().join(RevisionScope, RevisionScope.version == Revision.version).where(*among, RevisionScope.belongs)
    for scopes, statement in ((derived, _derived(resource, *among)), (stored, belongs)):
        for version, kind, id in session.execute(statement):
            scopes[version].add((kind, id))
    return sorted(version for version in derived.keys() | stored.keys() if derived[version] != stored[version])


def _dependents(resource: Resource) -> Select[int]:
    """Return a SELECT of the current revisions, up to a version, of records to which those with changed scopes pass them on."""
    parts = []
    for noun, relation in GIVERS[resource.name]:
        current = _current(resource, relation.target, up_to=AFTER)
        giver = aliased(Revision)
        links = select(current.label("version")).select_from(giver).join(relation.link, relation.owner == giver.id)
        of_changed = (giver.kind == literal(noun.name), giver.version > AFTER, _changed(giver))
        parts.append(links.where(*of_changed, *_conditions(relation)))
    every = union(*parts).subquery()
    return select(every.c.version).where(every.c.version.is_not(None))


def _changed(revision: Any) -> ColumnElement[bool]:
    """Return the condition that a revision has other scopes than the one before it; a record without one had none."""
    differs = RevisionScope.belongs != RevisionScope.belonged
    return exists().where(RevisionScope.version == revision.version, differs)


def _derived(resource: Resource, *conditions: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Return a SELECT of the version of each revision with the kind and id of each scope that the links between records say."""
    itself = select(Revision.version, literal(resource.name).label("kind"), Revision.id).where(*conditions)
    parts = [itself] if resource.is_scope else []
    for noun, relation in GIVERS[resource.name]:
        assert relation.target is not None
        is_linked = and_(relation.target == Revision.id, *_conditions(relation))
        links = select(Revision.version, _current(noun, relation.owner).label("giver")).join(relation.link, is_linked)
        of_givers = links.where(*conditions).subquery()
        scopes = select(of_givers.c.version, RevisionScope.kind, RevisionScope.id).select_from(of_givers)
        parts.append(scopes.join(RevisionScope, and_(RevisionScope.version == of_givers.c.giver, RevisionScope.belongs)))
    return union(*parts)


def _current(resource: Resource, id: Any, up_to: ColumnElement[int] | None = None) -> ScalarSelect[int]:
    """Return the version of a record's current revision, null if there is none.

    A scalar subquery leaves no other order to the planner than from the changed records to these: it has no statistics of them.
    """
    current = aliased(Revision)
    of_record = (current.kind == literal(resource.name), current.id == id, current.superseded.is_(None))
    in_time = [current.version <= up_to] if up_to is not None else []
    return select(current.version).where(*of_record, current.op == Op.UPSERT, *in_time).scalar_subquery()


def _conditions(relation: Relation) -> list[ColumnElement[bool]]:
    return [getattr(relation.link, column) == value for column, value in relation.where.items()]


def _before(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return a SELECT of the scopes that the record of each revision had before."""
    former, other = aliased(Revision), aliased(Revision)
    of_record = (other.kind == Revision.kind, other.id == Revision.id, other.version < Revision.version)
    last = select(func.max(other.version)).where(*of_record).correlate(Revision).scalar_subquery()
    scopes = _scopes().join(former, former.version == last)
    scopes = scopes.join(RevisionScope, and_(RevisionScope.version == former.version, RevisionScope.belongs))
    return _labelled(scopes.where(*conditions, former.op == Op.UPSERT), ZERO, ONE)


def _ever(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Return a SELECT of all scopes that the record of each erasure ever had."""
    past = aliased(Revision)
    of_record = (past.kind == Revision.kind, past.id == Revision.id, past.version < Revision.version)
    scopes = _scopes().join(past, and_(*of_record))
    scopes = scopes.join(RevisionScope, and_(RevisionScope.version == past.version, RevisionScope.belongs))
    return _labelled(scopes.where(*conditions, Revision.erases), ONE, ZERO)


def _scopes() -> Select[int, str, str]:
    """Return a SELECT of versions with the kind and id of each scope, which only lacks the joins."""
    return select(Revision.version, RevisionScope.kind, RevisionScope.id).select_from(Revision)


def _labelled(scopes: Any, belongs: ColumnElement[int], belonged: ColumnElement[int]) -> Select[Any]:
    rows = scopes.subquery()
    return select(rows.c.version, rows.c.kind, rows.c.id, belongs.label("belongs"), belonged.label("belonged"))
