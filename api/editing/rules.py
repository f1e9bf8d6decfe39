"""Checks the rules that hold between records, on the tables as a whole transaction leaves them.

A file is written piece by piece, and a changeset can break a rule with one operation and mend it with the next. So these
rules are checked at the end. The writer's lock keeps others from changing the records in between.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session, aliased

from api.db import statements
from api.db.statements import Among
from api.editing import locators, naming
from api.editing.operations import IMPORTS, Change, Operation, RecordKey, Refused
from api.editing.rows import Layout, layout
from api.editing.staging import KeyValues, chunks
from api.errors import nearest
from api.ledger.rendering import MOST, rendered
from api.resources import BY_NAME, RESOURCES
from api.resources.citations import Citation
from api.schema import pointers
from api.schema.canonical import Content
from api.schema.resource import Relation, Resource, Shared

CITATIONS = Citation.__tablename__
# Records that an error lists, and those that its text names.
MAX_RECORDS, MAX_NAMED = 20, 5


@dataclass(frozen=True, slots=True)
class Touched:
    """A record that an operation changed, without its content, and the names of the members that changed.

    Of a new record (``created``) these are the members that are neither null nor empty. ``keys`` are those with its names.
    """

    operation: Operation
    changed: AbstractSet[str]
    created: bool
    deleted: bool
    keys: Sequence[KeyValues] = ()


@dataclass(frozen=True)
class Rules:
    """The rules between records, for the changes of one transaction.

    ``touched`` are the changed records, and citations that a changeset names without a change, which confirms them.
    ``places`` has the fact that each citation of a changed list pointed to, and ``left`` the values that changed records had in
    common with others. ``sets`` has each set of changed members once.
    """

    session: Session
    touched: dict[RecordKey, Touched] = field(default_factory=dict)
    places: dict[str, "ValuePath"] = field(default_factory=dict)
    left: dict[Shared, dict[KeyValues, RecordKey]] = field(default_factory=lambda: defaultdict(dict))
    sets: dict[AbstractSet[str], AbstractSet[str]] = field(default_factory=dict)

    def note(self, changes: Iterable[Change]) -> None:
        """Remember changes that are about to be written."""
        lists: dict[Resource, dict[str, Content]] = defaultdict(dict)
        for change in changes:
            operation = change.operation
            is_confirmed = operation.resource.name == CITATIONS and operation.verb not in IMPORTS
            if change.status == "unchanged" and not is_confirmed:
                continue
            slim = replace(operation, id=change.id, body=None, values=None)
            # Few sets of members differ, and a large import has many records.
            content, created = change.content or {}, change.before is None
            given = frozenset([name for name, value in content.items() if value is not None and value != []])
            members = given if created else change.changed
            changed = self.sets.setdefault(members, members)
            # Those of a large import would take much memory.
            keys = naming.keys_of(operation.resource, change.data) if change.data and len(self.touched) < MOST else ()
            self.touched[operation.resource.name, change.id] = Touched(slim, changed, created, change.content is None, keys)
            if change.before:
                self._note_shared(change, change.before)
            if change.before and change.content and {part.member for part in layout(operation.resource).parts} & change.changed:
                lists[operation.resource][change.id] = change.before
        for resource, documents in lists.items():
            self._note_places(resource, documents)

    def check(self, refused: Refused) -> None:
        """Add an error to ``refused`` for each rule that the written changes break."""
        self.check_related(refused)
        for resource in RESOURCES:
            keys = {id: row.keys for (kind, id), row in self.touched.items() if kind == resource.name and row.keys}
            naming.check(self.session, resource, self.changed, refused, keys)

    def check_related(self, refused: Refused) -> None:
        """Do the same for the rules about references: trees, values in common, and citations."""
        for resource in RESOURCES:
            if resource.tree:
                _check_tree(self, resource, refused)
            for relation, member in resource.agree.items():
                _check_agreement(self, resource, relation, member, refused)
            for rule in resource.shared:
                _check_shared(self, resource, rule, refused)
        _check_citations(self, refused)
        citations = self.changed(CITATIONS, "source", "paragraph", "locator")
        locators.check(self.session, citations, self.changed("sources", "type"), refused)

    def changed(self, kind: str, *members: str) -> dict[str, Operation]:
        """Return the operations that changed one of these members of a noun's records, by id."""
        return {
            id: row.operation
            for (noun, id), row in self.touched.items()
            if noun == kind and not row.deleted and row.changed & {*members}
        }

    def _note_shared(self, change: Change, before: Content) -> None:
        resource = change.operation.resource
        for rule in resource.shared:
            if change.changed & {rule.member, *rule.by}:
                self.left[rule][tuple(before[name] for name in rule.by)] = (resource.name, change.id)

    def _note_places(self, resource: Resource, documents: Mapping[str, Content]) -> None:
        for ids in chunks(documents):
            of_records = (Citation.subject_kind == resource.name, Citation.subject_id.in_(ids), Citation.field.like("/%/%"))
            for row in self.session.execute(select(Citation.id, Citation.subject_id, Citation.field).where(*of_records)):
                if place := place_of(layout(resource), documents[row.subject_id], row.field):
                    self.places[row.id] = place


# --- trees


def _check_tree(rules: Rules, resource: Resource, refused: Refused) -> None:
    """Refuse records that are part of themselves."""
    changed = rules.changed(resource.name, resource.tree)
    above = _ancestors(rules.session, resource, changed)
    visited: set[str | None] = {None}
    for start in changed:
        way: dict[str, None] = {}
        record: str | None = start
        while record is not None and record not in visited:
            visited.add(record)
            way[record] = None
            record = above.get(record)
        if record is not None and record in way:
            circle = [*way][[*way].index(record) :]
            _refuse_circle(changed, circle, resource, refused)


def _ancestors(session: Session, resource: Resource, ids: Iterable[str]) -> dict[str, str]:
    """Return the parents of those records that have one, of their parents, and so on."""
    column = resource.fields[resource.tree].column

    def build(ids: Among) -> Any:
        return select(resource.model.id, column).where(ids.condition(resource.model.id), column.is_not(None))

    above: dict[str, str] = {}
    level = {*ids}
    while level:
        for chunk in chunks(level):
            rows = statements.of_ids(session, ("parents", resource.name), chunk, build)
            above |= dict(rows)
        level = {above[id] for id in level if id in above} - above.keys()
    return above


def _refuse_circle(changed: Mapping[str, Operation], circle: Sequence[str], resource: Resource, refused: Refused) -> None:
    named = [*circle[:MAX_NAMED], *(["…"] if len(circle) > MAX_NAMED else []), circle[0]]
    detail = f"The {resource.singular} would be part of itself: {' > '.join(f'`{id}`' for id in named)}."
    for id in circle:
        if id in changed:
            refused.value(changed[id], f"/{resource.tree}", "circle", detail)


# --- agreement of related records


def _check_agreement(rules: Rules, resource: Resource, name: str, member: str, refused: Refused) -> None:
    """Refuse relations to records that have another value of a member."""
    relation = resource.relation(name)
    assert relation
    owners, targets = rules.changed(resource.name, name, member), rules.changed(str(relation.to), member)
    touched = rules.touched
    # A new record without the relation disagrees with none, and only other new records can refer to it.
    owners = {
        id: operation
        for id, operation in owners.items()
        if not (row := touched[resource.name, id]).created or name in row.changed
    }
    targets = {id: operation for id, operation in targets.items() if not touched[str(relation.to), id].created}
    for side, changed in (("owner", owners), ("target", targets)):
        build = partial(_select_disagreeing, resource, relation, member, side)
        for chunk in chunks(changed):
            rows = statements.of_ids(rules.session, ("disagreeing", resource.name, name, side), chunk, build)
            for id, value, related_id, another in rows:
                detail = f"The {resource.singular} `{id}` has the {member} `{value}`, and `{related_id}` has `{another}`."
                if changed is owners:
                    refused.value(owners[id], f"/{name}", "disagrees", detail)
                elif id not in owners:
                    records = [{"kind": resource.name, "id": id}]
                    refused.value(targets[related_id], f"/{member}", "disagrees", detail, problem="conflict", records=records)


def _select_disagreeing(resource: Resource, relation: Relation, member: str, side: str, ids: Among) -> Select[Any]:
    """Select the pairs of related records with different values of a member; `ids` are those of a ``side``."""
    related = BY_NAME[str(relation.to)]
    link, one, other = aliased(relation.link), aliased(resource.model), aliased(related.model)
    assert relation.target is not None
    owner, target = getattr(link, relation.owner.key), getattr(link, relation.target.key)
    mine, theirs = (getattr(row, noun.fields[member].column.key) for row, noun in ((one, resource), (other, related)))
    return select(one.id, mine, other.id, theirs).where(
        mine != theirs, one.id == owner, other.id == target, ids.condition(one.id if side == "owner" else other.id)
    )


# --- values in common


def _check_shared(rules: Rules, resource: Resource, rule: Shared, refused: Refused) -> None:
    """Refuse values that cannot stand together in records with the same values of other members; null is no such value."""
    columns = [resource.fields[name].column for name in rule.by]
    changed = rules.changed(resource.name, rule.member, *rule.by)
    keys = {*rules.left[rule]}
    for chunk in chunks(changed):
        keys |= {tuple(row) for row in rules.session.execute(select(*columns).where(resource.model.id.in_(chunk)))}
    groups: dict[KeyValues, dict[str, Any]] = defaultdict(dict)
    for chunk in chunks(key for key in keys if None not in key):
        statement = select(resource.model.id, resource.fields[rule.member].column, *columns).where(tuple_(*columns).in_(chunk))
        for row in rules.session.execute(statement):
            groups[tuple(row[2:])][row.id] = row[1]
    for key, values in groups.items():
        if not rule.holds([*values.values()]):
            _refuse_shared(rules, rule, key, [(resource.name, id) for id in sorted(values)], refused)


def _refuse_shared(rules: Rules, rule: Shared, key: KeyValues, ids: Sequence[RecordKey], refused: Refused) -> None:
    named = ", ".join(f"`{id}`" for _, id in ids[:MAX_NAMED]) + (" and others" if len(ids) > MAX_NAMED else "")
    detail = f"{rule.description}: see {named}."
    changed = [rules.touched[record].operation for record in ids if record in rules.touched]
    for operation in changed:
        refused.value(operation, f"/{rule.member}", "disagrees", detail)
    if not changed:
        records = [{"kind": kind, "id": id} for kind, id in ids[:MAX_RECORDS]]
        leaving = rules.touched[rules.left[rule][key]].operation
        refused.operation("conflict", leaving, "id", detail, code="disagrees", records=records)


# --- citations

# The way to a value: names of members, and of each list's item the key that tells it from the others.
ValuePath = tuple[Any, ...]


def place_of(below: Layout, value: Any, pointer: str) -> ValuePath | None:
    """Return the way to the value that a pointer leads to, with keys for the numbers of items; None if it leads nowhere."""
    place = []
    for token in pointers.tokens(pointer):
        is_list = isinstance(value, list)
        try:
            value = pointers.step(value, token)
        except LookupError:
            return None
        place.append(below.key_of(value) if is_list else token)
        below = below if is_list else next((part for part in below.parts if part.member == token), below)
    return tuple(place)


def _check_citations(rules: Rules, refused: Refused) -> None:
    """Refuse citations that point to nothing, and changes of lists that leave citations on another item."""
    touched = {id for (kind, id), row in rules.touched.items() if kind == CITATIONS and not row.deleted}
    stray: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for citation, content in _with_subjects(rules.session, touched | {*rules.places}):
        place = place_of(layout(BY_NAME[citation.subject_kind]), content, citation.field)
        if citation.id in touched and place is None:
            _refuse_pointer(rules.touched[CITATIONS, citation.id].operation, citation, content, refused)
        elif citation.id not in touched and place != rules.places[citation.id]:
            member = pointers.tokens(citation.field)[0]
            stray[citation.subject_kind, citation.subject_id, member].append(citation.id)
    for (kind, id, member), citations in stray.items():
        _refuse_move(rules.touched[kind, id].operation, member, citations, refused)


def _with_subjects(session: Session, ids: AbstractSet[str]) -> Iterator[tuple[Any, Content]]:
    """Yield citations with the facts of their subjects as the tables have them."""
    columns = (Citation.id, Citation.subject_kind, Citation.subject_id, Citation.field)
    for chunk in chunks(ids):
        citations = session.execute(select(*columns).where(Citation.id.in_(chunk)).order_by(Citation.id)).all()
        for resource in RESOURCES:
            mine = [row for row in citations if row.subject_kind == resource.name]
            contents = rendered(session, resource, sorted({row.subject_id for row in mine})).contents if mine else {}
            for row in (row for row in mine if row.subject_id in contents):
                yield row, {name: contents[row.subject_id][name] for name in resource.facts}


def _refuse_pointer(operation: Operation, citation: Any, content: Content, refused: Refused) -> None:
    allowed = _pointers_near(content, citation.field)
    detail = f"The {BY_NAME[citation.subject_kind].singular} `{citation.subject_id}` has nothing at `{citation.field}`."
    suggestion = nearest(citation.field, allowed)
    refused.value(operation, "/field", "unknown-reference", detail, allowed=allowed, suggestion=suggestion)


def _pointers_near(content: Content, pointer: str) -> list[str]:
    """Return pointers to the members or items around the last value that a pointer leads to."""
    value, way = content, ""
    for token in pointers.tokens(pointer):
        try:
            below = pointers.step(value, token)
        except LookupError:
            break
        value, way = below, f"{way}/{token}"
    return [*([way] if way else []), *(f"{way}/{token}" for token in pointers.children(value)[:MAX_RECORDS])]


def _refuse_move(operation: Operation, member: str, citations: Sequence[str], refused: Refused) -> None:
    records = [{"kind": CITATIONS, "id": id} for id in citations[:MAX_RECORDS]]
    named = ", ".join(f"`{row['id']}`" for row in records) + (" and others" if len(citations) > len(records) else "")
    detail = (
        f"Citations point to items of `{member}` by their numbers, and would point to other ones or to none: {named}. "
        "Change or delete them in the same changeset; one that is still right can be named there with an empty patch."
    )
    refused.value(operation, f"/{member}", "cited", detail, problem="conflict", records=records)
