"""Reads the bitmap index: the sets of current revisions that have a value in a dimension of a noun.

The index holds published revisions only, so a caller first checks, by `head.state`, that everything is published and indexed.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import and_, itemgetter, sub
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, literal, select
from sqlalchemy.orm import Session

from api.db import statements
from api.db.statements import Among
from api.ledger.index.bitmaps import Bitmap
from api.ledger.index.dimensions import WORDS, Dimension, dimension_of, encode
from api.ledger.index.versions import UnreadableError, Versions
from api.ledger.index.words import Search
from api.query.language import Filter
from api.resources import BY_NAME
from api.schema.resource import Relation, Resource

# No value in the index is an empty text, for each is JSON.
NO_VALUE = ""


class NotIndexedError(Exception):
    """The bitmap index has no answer, and SQL must find it."""


def dimension_at(resource: Resource, path: Sequence[Relation], filter: Filter) -> Dimension | None:
    """Return the dimension of a filter's field at the end of a path; None if the noun's documents do not contain the field."""
    return dimension_of(resource, filter.column) if not path or (len(path) == 1 and filter.linked) else None


def forward(resource: Resource, relation: Relation) -> Dimension | None:
    """Return the dimension that holds the ids of related records; None if the noun's documents do not contain them."""
    return None if relation.where or relation.target is None else dimension_of(resource, relation.target)


def reverse(relation: Relation) -> tuple[Resource, Dimension] | None:
    """Return the related noun and its dimension that refers back to the owner; None if its documents do not refer back."""
    noun = BY_NAME.get(relation.to or "")
    dimension = noun and not relation.where and dimension_of(noun, relation.owner)
    return (noun, dimension) if noun and dimension else None


def by_owner(session: Session, noun: Resource, dimension: Dimension) -> Mapping[str, Versions]:
    """Return the set of referring records for each id in a dimension. Raises NotIndexedError."""
    sets = {json.loads(value): referring for value, referring in bitmaps(session, noun, dimension).items()}
    return {id: referring for id, referring in sets.items() if id is not None}


def cardinalities(
    session: Session, resource: Resource, dimension: Dimension, values: Collection[Any] | None = None
) -> Mapping[Any, int]:
    """Return the number of records for each value, or for each of some values; values without a record are left out."""
    among = _among(session, values)

    def build() -> Any:
        return _select(among, Bitmap.value, func.sum(Bitmap.records)).group_by(Bitmap.value)

    shape = ("cardinalities", among and among.shape)
    rows = statements.rows(session, shape, build, _parameters(resource, dimension, among))
    return {json.loads(value): int(number) for value, number in rows}


def bitmaps(
    session: Session, resource: Resource, dimension: Dimension, values: Collection[Any] | None = None
) -> Mapping[str, Versions]:
    """Return the set for each value, or for each of some values, by its JSON; values without a record are left out.

    Raises NotIndexedError.
    """
    pieces = defaultdict(list)
    for row in _pieces(session, resource, dimension, values):
        pieces[row[0]].append(row)
    return {value: assembled(rows) for value, rows in pieces.items()}


def holding(session: Session, resource: Resource, dimension: Dimension, values: Collection[Any]) -> Versions:
    """Return the set of the records that have any of some values. Raises NotIndexedError."""
    return assembled(_pieces(session, resource, dimension, values))


def matching(session: Session, kinds: Sequence[str], search: Search) -> Mapping[str, Versions]:
    """Return the current revisions of each noun that match a search. Raises NotIndexedError if it is not of single words."""
    if not search.is_of_words:
        raise NotIndexedError
    positive, negative = ({word for ((word,),) in phrases} for phrases in (search.positive, search.negative))
    words = {encode(word): word for word in positive | negative}
    among = statements.among(session, sorted(words))

    def build() -> Any:
        pieces = select(Bitmap.kind, Bitmap.value, Bitmap.first, Bitmap.versions)
        nouns = Bitmap.kind.in_([literal(kind) for kind in kinds])
        return pieces.where(nouns, Bitmap.dimension == literal(WORDS), among.condition(Bitmap.value))

    pieces = defaultdict(list)
    for row in statements.rows(session, ("matching", tuple(kinds), among.shape), build, among.values):
        pieces[row[0], words[row[1]]].append(row)

    def of(kind: str) -> Versions:
        sets = {word: assembled(pieces.get((kind, word), ())) for word in words.values()}
        return reduce(sub, [sets[word] for word in negative], reduce(and_, [sets[word] for word in positive]))

    return {kind: of(kind) for kind in kinds}


@dataclass(frozen=True)
class Order:
    """The texts of a noun's dimension in a direction: all, or those behind one of them."""

    noun: Resource
    dimension: Dimension
    descending: bool
    behind: str | None


def first(session: Session, order: Order, chosen: Versions, least: int, pieces: int) -> Versions | None:
    """Return the members of a set that come first in an order: at least this number, with all that tie with the last.

    Returns None if the first pieces of the order do not have enough of them. Raises NotIndexedError.
    """

    def build() -> Any:
        statement = of_dimension(select(Bitmap.value, Bitmap.first, Bitmap.versions))
        if order.behind is not None:
            behind: Any = bindparam("behind")
            statement = statement.where(Bitmap.value < behind if order.descending else Bitmap.value > behind)
        # As JSON, null sorts behind all texts.
        statement = statement.where(Bitmap.value < encode(None)).limit(bindparam("pieces", type_=BigInteger()))
        return statement.order_by(Bitmap.value.desc() if order.descending else Bitmap.value)

    parameters = {"kind": order.noun.name, "dimension": order.dimension.name, "pieces": pieces}
    parameters |= {} if order.behind is None else {"behind": encode(order.behind)}
    rows = statements.rows(session, ("first", order.descending, order.behind is None), build, parameters)
    members = Versions()
    for _, same_value in itertools.groupby(rows, key=itemgetter(0)):
        if len(members) >= least:
            return members
        members |= assembled(same_value) & chosen
    # The last value that was read can have more pieces.
    return members if len(members) >= least and len(rows) < pieces else None


def assembled(rows: Iterable[Sequence[Any]]) -> Versions:
    """Join pieces as `Versions.read` does. Raises NotIndexedError."""
    try:
        return Versions.read(rows)
    except UnreadableError as error:
        raise NotIndexedError from error


def of_dimension(statement: Any) -> Any:
    """Restrict a statement to a noun's dimension, both of them parameters."""
    return statement.where(Bitmap.kind == bindparam("kind"), Bitmap.dimension == bindparam("dimension"))


def _pieces(
    session: Session, resource: Resource, dimension: Dimension, values: Collection[Any] | None
) -> Sequence[Sequence[Any]]:
    """Return the pieces of all values, or of some values: the value as JSON, the first version and the bytes."""
    among = _among(session, values)
    build = partial(_select, among, Bitmap.value, Bitmap.first, Bitmap.versions)
    shape = ("pieces", among and among.shape)
    return statements.rows(session, shape, build, _parameters(resource, dimension, among))


def _select(among: Among | None, *columns: Any) -> Any:
    statement = of_dimension(select(*columns))
    return statement.where(among.condition(Bitmap.value)) if among else statement


def _parameters(resource: Resource, dimension: Dimension, among: Among | None) -> dict[str, Any]:
    return {"kind": resource.name, "dimension": dimension.name, **(among.values if among else {})}


def _among(session: Session, values: Collection[Any] | None) -> Among | None:
    """Return how to ask for some values; None asks for all."""
    return None if values is None else statements.among(session, sorted({encode(value) for value in values}) or [NO_VALUE])
