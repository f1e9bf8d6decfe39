"""The SQL behind a list: a `Query` in; pages, counts, facets, included records and streams out.

Rows are found in the nouns' tables and served from the ledger, as the documents that were published.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.orm import Session, aliased

from api import search
from api.documents import MAX_INTEGER
from api.ledger import CURRENT, Dirty, Head, Revision
from api.operators import OPERATORS, WIDE, condition
from api.problems import ProblemError, mistake, nearest
from api.query import (
    CAP,
    DEFAULT_LIMIT,
    SEARCHABLE,
    SUGGESTED,
    Condition,
    Conditions,
    Expression,
    Filter,
    Find,
    Group,
    Key,
    Query,
    is_many,
)
from api.resource import Column, Relation, Resource
from api.resources import BY_NAME

MAX_INCLUDED = 500
MAX_VALUES = 100
STREAMED = 500
CONSIDERED = 200
# What JSON has for the value of a key, where it is no text.
KINDS: Mapping[str, type] = {"whole": int, "version": int, "instant": int, "flag": bool}


def dataset_version(session: Session) -> int:
    """Return the version that the whole dataset is at."""
    return session.execute(select(Head.version)).scalar_one()


# --- conditions


def _where(resource: Resource, model: Any, expression: Expression) -> ColumnElement[bool]:
    """Return the condition of a noun's row, ``model`` being its table or an alias of it."""
    if isinstance(expression, Conditions):
        return _all(resource.name, model, [(row.filter.path, row) for row in expression.all])
    children = [_where(resource, model, child) for child in expression.children]
    if expression.connective == "not":
        # What is neither true nor false, as of a null, does not hold: so its contrary does.
        return not_(func.coalesce(children[0], false()))
    return (or_ if expression.connective == "or" else and_)(*children)


def _all(kind: str, model: Any, rows: Sequence[tuple[tuple[Relation, ...], Condition]]) -> ColumnElement[bool]:
    """Join conditions, each with what is left of its path: those with the same next step are about one related row."""
    own = [_own(kind, model, row) for path, row in rows if not path]
    steps: dict[str, list[tuple[tuple[Relation, ...], Condition]]] = {}
    wholes = []
    for path, row in rows:
        if len(path) == 1 and row.filter.whole and row.filter.operator.name in {"not", "isnull"}:
            wholes.append(_whole(model, path[0], row))
        elif path:
            steps.setdefault(path[0].prefix, []).append((path, row))
    related = [_related(model, found[0][0][0], [(path[1:], row) for path, row in found]) for found in steps.values()]
    return and_(true(), *own, *wholes, *related)


def _own(kind: str, model: Any, row: Condition) -> ColumnElement[bool]:
    field, operator = row.filter.field, row.filter.operator
    if field.column.class_ is Revision:
        return _of_ledger(kind, model, row)
    return condition(field.type, operator, getattr(model, field.column.key), row.value)


def _of_ledger(kind: str, model: Any, row: Condition) -> ColumnElement[bool]:
    """Compare the version, or the time by way of the version: time never runs backwards in the ledger."""
    operator, value = row.filter.operator, row.value
    if row.filter.field.type.name == "instant":
        # The first version after those that are wanted, or not wanted; none is as great as the greatest.
        beyond = Revision.changed_at > value if operator.name in {"gt", "lte"} else Revision.changed_at >= value
        first = select(Revision.version).where(beyond).order_by(Revision.changed_at, Revision.version).limit(1)
        value = func.coalesce(first.scalar_subquery(), MAX_INTEGER)
        operator = OPERATORS["gte" if operator.name in {"gt", "gte"} else "lt"]
    found = select(Revision.id).where(Revision.kind == kind, *CURRENT, operator.build(Revision.version.expression, value))
    return model.id.in_(found)  # type: ignore[no-any-return]


def _whole(model: Any, relation: Relation, row: Condition) -> ColumnElement[bool]:
    """Return the condition that a relation leads to none of these, or to none (or any) at all."""
    if row.filter.operator.name == "not":
        return not_(_linked(model, relation, lambda link: getattr(link, _target(relation).key).in_(row.value)))
    found = _linked(model, relation, lambda _: true())
    return not_(found) if row.value else found


def _target(relation: Relation) -> Column:
    assert relation.target is not None
    return cast("Column", relation.target)


def _is_target(relation: Relation) -> bool:
    """Tell whether a relation's table is the one that it leads to: so it is where others refer back to a record."""
    return _target(relation).key == "id"


def _related(model: Any, relation: Relation, rows: Sequence[tuple[tuple[Relation, ...], Condition]]) -> ColumnElement[bool]:
    """Return the condition that a relation leads to one row of which all of these hold."""
    # What the link's own table says is asked there; the rest of the record that it leads to.
    linked = [(path, row) for path, row in rows if not path and row.filter.linked]
    beyond = [found for found in rows if found not in linked]

    def holds(link: Any) -> ColumnElement[bool]:
        conditions = [_own(relation.to or "", link, row) for _, row in linked]
        if beyond:
            target = BY_NAME[relation.to or ""]
            if _is_target(relation):
                conditions.append(_all(target.name, link, beyond))
            else:
                other = aliased(target.model)
                found = select(other.id).where(_all(target.name, other, beyond))
                conditions.append(getattr(link, _target(relation).key).in_(found))
        return and_(true(), *conditions)

    return _linked(model, relation, holds)


def _linked(model: Any, relation: Relation, holds: Any) -> ColumnElement[bool]:
    """Return the condition that a row has a link of which ``holds`` is true."""
    if relation.owner.key == "id":
        return holds(model)  # type: ignore[no-any-return]
    link = aliased(relation.link)
    owner = getattr(link, relation.owner.key)
    # A null among the owners would make `not in` neither true nor false.
    found = select(owner).where(owner.is_not(None), *_fixed(link, relation), holds(link))
    return model.id.in_(found)  # type: ignore[no-any-return]


def _fixed(link: Any, relation: Relation) -> list[ColumnElement[bool]]:
    return [getattr(link, name) == value for name, value in relation.where.items()]


# --- lists


def published(resource: Resource, column: Any) -> ScalarSelect[Any]:
    """Return a column of a row's current revision, null when it is not published.

    A subquery and not a join, so that no planner begins with the ledger: the noun's own index gives the
    order, and a page costs as many look-ups as it has rows.
    """
    one = (Revision.kind == resource.name, Revision.id == resource.model.id, *CURRENT)
    return select(column).where(*one).correlate(resource.model).scalar_subquery()


@dataclass(frozen=True)
class _List:
    """A query with what its statements share: where the rows come from, and what orders them."""

    query: Query
    keys: tuple[tuple[ColumnElement[Any], Key | None], ...]
    joined: bool
    dialect: str

    def select(self, *columns: Any) -> Select[Any]:
        """Select from the rows of the list; documents of the ledger are there when joined, else by `published`."""
        resource, query = self.query.resource, self.query
        model = resource.model
        statement = select(*columns).select_from(model)
        if self.joined:
            statement = statement.join(Revision, and_(Revision.kind == resource.name, Revision.id == model.id, *CURRENT))
        else:
            # Only what is noted as changed can be in the table and not published: the rest is spared the look-up.
            noted = select(Dirty.id).where(Dirty.kind == resource.name)
            statement = statement.where(or_(model.id.not_in(noted), published(resource, Revision.version).is_not(None)))
        if query.search is not None:
            statement = statement.where(Revision.version.in_(search.matching(query.search, self.dialect)))
        return statement.where(_where(resource, model, query.where))

    @property
    def document(self) -> Any:
        """The column with the document."""
        return Revision.document if self.joined else published(self.query.resource, Revision.document)

    def ordered(self, statement: Select[Any]) -> Select[Any]:
        """Order a statement, nulls last both ways."""
        terms = []
        for column, key in self.keys:
            term = column.desc() if key and key.descending else column.asc()
            terms.append(term.nulls_last() if key and key.field.nullable else term)
        return statement.order_by(*terms)


def _list(session: Session, query: Query) -> _List:
    dialect = session.get_bind().dialect.name
    keys: list[tuple[Any, Key | None]] = []
    if query.search is not None and query.sort is None:
        keys.append((type_coerce(search.tier(query.search, dialect, Revision.version.expression), BigInteger()), None))
    for key in query.order:
        # The times of the ledger have the order of its versions, which have no ties.
        column = Revision.version if key.field.column.class_ is Revision else key.field.column
        keys.append((type_coerce(column, WIDE[key.field.type.name]) if key.field.type.name in WIDE else column, key))
    joined = query.search is not None or any(key.field.column.class_ is Revision for key in query.order)
    return _List(query, tuple(keys), joined, dialect)


@dataclass(frozen=True)
class Page:
    """One page: the ids of its records and their documents as stored, and where the next page begins."""

    ids: Sequence[str]
    documents: Sequence[str]
    cursor: str | None


def page(session: Session, query: Query) -> Page:
    """Return a page of a list, in as many statements as its place in the order needs. Raises a 400 for a foreign cursor."""
    listed = _list(session, query)
    limit = query.limit or DEFAULT_LIMIT
    keys = [column.label(f"key_{n}") for n, (column, _) in enumerate(listed.keys)]
    statement = listed.ordered(listed.select(query.resource.model.id, listed.document.label("document"), *keys))
    rows: list[Any] = []
    for segment in _behind(listed, query) if query.cursor else [true()]:
        rows += session.execute(statement.where(segment).limit(limit + 1 - len(rows))).all()
        if len(rows) > limit:
            break
    shown = rows[:limit]
    cursor = _encode(_signature(query), rows[limit - 1][2:]) if len(rows) > limit else None
    return Page([row[0] for row in shown], [row[1] for row in shown], cursor)


def stream(session: Session, query: Query) -> Generator[str]:
    """Yield the documents of a whole list, or of its first `limit`, in its order and in constant memory."""
    listed = _list(session, query)
    statement = listed.ordered(listed.select(listed.document)).limit(query.limit)
    # A reader who goes away closes the generator, and this the database's cursor.
    with session.execute(statement.execution_options(yield_per=STREAMED)) as rows:
        yield from rows.scalars()


def total(session: Session, query: Query) -> tuple[int | None, str | None]:
    """Count a list as it was asked to be counted: the number, and whether it is exact (`eq`) or a lower bound (`gte`)."""
    return _count(session, _list(session, query).select(query.resource.model.id), query.count)


def _count(session: Session, rows: Select[Any], how: str) -> tuple[int | None, str | None]:
    if how == "none":
        return None, None
    limited = rows.limit(CAP + 1) if how == "capped" else rows
    count = session.execute(select(func.count()).select_from(limited.subquery())).scalar_one()
    return (CAP, "gte") if how == "capped" and count > CAP else (count, "eq")


def _behind(listed: _List, query: Query) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of the rows behind a cursor, in the order of the list; each is a range of an index.

    Behind a row are first those that are equal to it in all keys but the last, then those in all but the
    last two, and so on; of these, first those with a greater value and then those with null.
    """
    values = _decode(query.cursor or "", _signature(query), [key or int for _, key in listed.keys])
    keys = [(column, bool(key and key.descending), bool(key and key.field.nullable)) for column, key in listed.keys]
    if len({descending for _, descending, _ in keys}) == 1 and not any(nullable for *_, nullable in keys):
        # One direction and no nulls: one comparison of rows says the same as all the segments.
        row = tuple_(*[column for column, *_ in keys])
        bound = tuple_(*[literal(value, column.type) for (column, *_), value in zip(keys, values, strict=True)])
        yield row < bound if keys[0][1] else row > bound
        return
    for length in range(len(keys), 0, -1):
        *before, (column, descending, nullable) = keys[:length]
        equal = [
            (found == literal(value, found.type) if value is not None else found.is_(None))
            for (found, *_), value in zip(before, values, strict=False)
        ]
        value = values[length - 1]
        if value is not None:
            limit = literal(value, column.type)
            yield and_(*equal, column < limit if descending else column > limit)
            if nullable:
                yield and_(*equal, column.is_(None))


def _signature(query: Query) -> str:
    """Name the list that a cursor belongs to: its noun, its filters and its order."""
    asked = [query.resource.name, _canonical(query.where), [[key.field.name, key.descending] for key in query.order]]
    if query.search is not None:
        asked += [repr(query.search), query.sort is None]
    return _hash(asked)


def _hash(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _canonical(expression: Expression) -> Any:
    if isinstance(expression, Group):
        return [expression.connective, *map(_canonical, expression.children)]
    return [[row.filter.name, str(row.value)] for row in expression.all]


def _encode(signature: str, values: Sequence[Any]) -> str:
    text = json.dumps([signature, *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, signature: str, keys: Sequence[Key | type]) -> list[Any]:
    """Read a cursor; what it holds is checked like any other input, since anyone can write one."""
    try:
        found = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        values: list[Any] = found[1:]
        if found[0] == signature and len(values) == len(keys):
            for value, key in zip(values, keys, strict=True):
                _check(value, key)
            return values
    except (ValueError, KeyError, TypeError, RecursionError, IndexError, binascii.Error):
        pass
    item = mistake("cursor", "invalid-cursor", "Take it from `links.next` or `page.cursor` of this list.")
    raise ProblemError("invalid-cursor", "The cursor was not made by this list.", item)


def _check(value: Any, key: Key | type) -> None:
    """Raise a TypeError or ValueError unless a key could have this value."""
    if isinstance(key, Key):
        if value is None and key.field.nullable:
            return
        if value not in key.field.schema.get("enum", [value]):
            raise ValueError
    kind = KINDS.get(key.field.type.name, str) if isinstance(key, Key) else key
    if type(value) is not kind or (isinstance(value, int) and abs(value) > MAX_INTEGER):
        raise TypeError
    # A lone surrogate is a string to JSON, but to no database; nor is a null character to PostgreSQL.
    if b"\0" in str(value).encode():
        raise ValueError


# --- facets


@dataclass(frozen=True)
class FacetValue:
    """One value of a facet: what it is called, and how many records of the list have it."""

    value: Any
    label: str | None
    count: int


def facet(session: Session, query: Query, filter: Filter) -> tuple[list[FacetValue], bool]:
    """Count a list by the values of a field, the most frequent first; tells also whether there are more values."""
    listed = _list(session, query)
    row: Any = query.resource.model
    joins: list[tuple[Any, ColumnElement[bool]]] = []
    for relation in filter.path:
        link = row
        if relation.owner.key != "id":
            link = aliased(relation.link)
            joins.append((link, and_(getattr(link, relation.owner.key) == row.id, *_fixed(link, relation))))
        if (filter.linked and relation is filter.path[-1]) or _is_target(relation):
            row = link
        else:
            row = aliased(BY_NAME[relation.to or ""].model)
            joins.append((row, getattr(link, _target(relation).key) == row.id))
    value = getattr(row, filter.field.column.key)
    # A record can be reached more than once, and counts once.
    count = func.count(query.resource.model.id.distinct()) if any(map(is_many, filter.path)) else func.count()
    statement = listed.select(value, count)
    for joined, condition_of_join in joins:
        statement = statement.join(joined, condition_of_join)
    statement = statement.group_by(value).order_by(count.desc(), value.asc().nulls_last())
    rows = session.execute(statement.limit(MAX_VALUES + 1)).all()
    labels = _labels(session, filter, [found for found, _ in rows if found is not None])
    values = [FacetValue(found, labels.get(found), number) for found, number in rows[:MAX_VALUES]]
    return values, len(rows) > MAX_VALUES


def _labels(session: Session, filter: Filter, values: Sequence[Any]) -> dict[Any, str]:
    """Return what values are called: the name of the record for an id, the words for a code."""
    noun = refers_to(filter)
    if noun:
        resource = BY_NAME[noun]
        rows = session.execute(select(resource.model.id, resource.label).where(resource.model.id.in_(values)))
        return {row.id: row[1] for row in rows}
    if filter.field.type.name == "choice":
        return {value: str(value).replace("_", " ").capitalize() for value in values}
    return {value: json.dumps(value) if isinstance(value, bool) else str(value) for value in values}


def refers_to(filter: Filter) -> str | None:
    """Return the noun whose ids a filter's values are, if they are."""
    column = filter.field.column
    for key in column.property.columns[0].foreign_keys:
        table = key.column.table.name
        if table in BY_NAME and key.column.name == "id":
            return str(table)
    return str(column.class_.__tablename__) if column.key == "id" else None


# --- included records


def included(
    session: Session, resource: Resource, ids: Sequence[str], paths: Sequence[tuple[Relation, ...]]
) -> dict[str, dict[str, str]]:
    """Return the documents of the records that these are related to, by noun and id.

    As many statements as there are steps and nouns, whatever the number of records. Raises a 400 above
    `MAX_INCLUDED` of a noun.
    """
    reached: dict[tuple[Relation, ...], list[str]] = {(): list(ids)}
    steps = dict.fromkeys(path[:length] for path in paths for length in range(1, len(path) + 1))
    wanted: dict[str, set[str]] = {}
    for path in steps:
        relation = path[-1]
        link = aliased(relation.link)
        owner, target = getattr(link, relation.owner.key), getattr(link, _target(relation).key)
        found = select(target).distinct().where(owner.in_(reached[path[:-1]]), target.is_not(None), *_fixed(link, relation))
        reached[path] = list(session.scalars(found.limit(MAX_INCLUDED + 1)))
        noun = wanted.setdefault(relation.to or "", set())
        noun.update(reached[path])
        if len(noun) > MAX_INCLUDED:
            raise _too_many(resource, path)
    return {noun: _documents(session, noun, sorted(found)) for noun, found in sorted(wanted.items())}


def _too_many(resource: Resource, path: tuple[Relation, ...]) -> ProblemError:
    name, noun = ".".join(step.name for step in path), path[-1].to
    detail = f"`include={name}` would add more than {MAX_INCLUDED} {noun} to this page."
    cure = f"Ask for fewer {resource.name} with `limit`, or for the {noun} themselves at `/{noun}`, filtered."
    item = mistake("include", "too-many-included", f"{detail} {cure}", allowed={"maximum": MAX_INCLUDED})
    return ProblemError("too-many-included", f"{detail} {cure}", item)


def _documents(session: Session, kind: str, ids: Sequence[str]) -> dict[str, str]:
    rows = session.execute(
        select(Revision.id, Revision.document)
        .where(Revision.kind == kind, Revision.id.in_(ids), *CURRENT)
        .order_by(Revision.id)
    )
    return {id: document or "" for id, document in rows}


# --- every noun at once


@dataclass(frozen=True)
class Hit:
    """A record that was found."""

    kind: str
    id: str
    document: str


def find(session: Session, asked: Find) -> tuple[list[Hit], str | None]:
    """Return a page of the records of every noun that a search finds, the best first, and the next page's cursor."""
    dialect = session.get_bind().dialect.name
    tier = search.tier(asked.search, dialect, Revision.version.expression)
    keys: tuple[ColumnElement[Any], ...] = (
        type_coerce(tier, BigInteger()),
        _noun(SEARCHABLE),
        Revision.id.expression,
    )
    statement = select(Revision.kind, Revision.id, Revision.document, *keys).where(*_found(asked, dialect)).order_by(*keys)
    signature = _hash(["search", repr(asked.search), sorted(asked.kinds)])
    if asked.cursor:
        values = zip(_decode(asked.cursor, signature, (int, int, str)), keys, strict=True)
        statement = statement.where(tuple_(*keys) > tuple_(*[literal(value, key.type) for value, key in values]))
    rows = session.execute(statement.limit(asked.limit + 1)).all()
    hits = [Hit(row[0], row[1], row[2] or "") for row in rows[: asked.limit]]
    return hits, _encode(signature, rows[asked.limit - 1][3:]) if len(rows) > asked.limit else None


def _noun(nouns: Sequence[Resource]) -> ColumnElement[int]:
    """Return the place of a revision's noun among these."""
    return type_coerce(case({resource.name: n for n, resource in enumerate(nouns)}, value=Revision.kind), BigInteger())


def find_total(session: Session, asked: Find) -> tuple[int | None, str | None]:
    """Count what a search finds, as `total` does a list."""
    found = select(Revision.version).where(*_found(asked, session.get_bind().dialect.name))
    return _count(session, found, asked.count)


def _found(asked: Find, dialect: str) -> tuple[ColumnElement[bool], ...]:
    return (Revision.version.in_(search.matching(asked.search, dialect)), Revision.kind.in_(asked.kinds), *CURRENT)


def suggest(session: Session, asked: Find) -> list[Hit]:
    """Return the records whose names have words that begin as typed: names that begin so first, then by noun and name."""
    matching = search.prefixed(asked.text, session.get_bind().dialect.name)
    found = select(Revision.kind, Revision.id, Revision.document).where(
        Revision.version.in_(matching), Revision.kind.in_(asked.kinds), *CURRENT
    )
    # A letter or two begin words without end: the best of so many are good enough, until more is typed.
    hits = [
        Hit(row.kind, row.id, row.document or "")
        for row in session.execute(found.order_by(_noun(SUGGESTED), Revision.version).limit(CONSIDERED))
    ]
    order = [resource.name for resource in SUGGESTED]
    typed = " ".join(search.words(asked.text))

    def key(hit: Hit) -> tuple[bool, int, str, str]:
        name = label(hit)
        return not " ".join(search.words(name)).startswith(typed), order.index(hit.kind), name, hit.id

    return sorted(hits, key=key)[: asked.limit]


def label(hit: Hit) -> str:
    """Return what a reader calls a record."""
    return str(json.loads(hit.document)[BY_NAME[hit.kind].label.key])


def near_id(session: Session, kind: str, id: str) -> str | None:
    """Return the published id that was probably meant by one that is none, if any."""
    word = "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in id.lower()).split())[:200]
    # Those that begin alike: a range of an index, whatever the size of the table.
    alike = (Revision.kind == kind, Revision.id >= word[:2], Revision.id < word[:2] + "~")
    near = select(Revision.id).where(*alike, *CURRENT).order_by(Revision.id).limit(500)
    candidates = session.scalars(near).all() if word else []
    return next((found for found in candidates if found.startswith(word)), None) or nearest(word, candidates)
