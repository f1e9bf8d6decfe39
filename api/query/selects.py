"""Writes the SQL of lists. Rows are found in a noun's table, and served as the documents that the ledger has published."""

import itertools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.orm import aliased

from api.db.statements import constant
from api.ledger.index import fulltext
from api.ledger.models import CURRENT, Dirty, Revision
from api.query import conditions
from api.query.language import Expression
from api.query.listing import Listing, is_of_ledger, lookup
from api.query.order import SortKey
from api.query.plan import ALL, Plan
from api.resources import BY_NAME
from api.schema import nulls
from api.schema.operators import WIDE
from api.schema.resource import Resource


def select_rows(listing: Listing, *columns: Any, plan: Plan, tier: int | None = None, needs_table: bool = False) -> Select[Any]:
    """Select columns from the rows of a list, or of a tier of its ranking, in no order.

    The ledger is joined if the list is ``joined``. The noun's table is joined if it finds rows, or if the caller says that it
    ``needs_table``.
    """
    statement = select(*columns)
    if listing.query.search is None:
        return _from_table(listing, statement, plan)
    if plan is Plan.SEARCH:
        return _from_search(listing, statement, tier, needs_table=needs_table)
    return _from_filter(listing, statement, plan, tier)


def _from_table(listing: Listing, statement: Select[Any], plan: Plan) -> Select[Any]:
    """Select from the noun's table, for a list without a search."""
    table = listing.query.resource.model
    statement = statement.select_from(table)
    if listing.joined:
        statement = statement.join(Revision, and_(Revision.id == table.id, *_current(listing)))
    else:
        statement = statement.where(published(listing, table.id))
    return statement.where(_condition(listing, plan))


def _from_filter(listing: Listing, statement: Select[Any], plan: Plan, tier: int | None) -> Select[Any]:
    """Select from the noun's table, and test the search on each row."""
    table, engine = listing.query.resource.model, fulltext.ENGINES[listing.dialect]
    entry = select(engine.version).select_from(engine.table).where(engine.version == Revision.version)
    entry = entry.where(lookup_of(listing, tier).condition()).correlate(Revision)
    revision = _current(listing)
    if plan is not Plan.ORDER or not is_of_ledger(listing.query.order[0]):
        # As a function of the row, the noun finds no revision without it. Else SQLite tests the search on all revisions.
        revision = (Revision.kind == func.coalesce(literal(listing.query.resource.name), table.id), *CURRENT)
    statement = statement.select_from(table).join(Revision, and_(Revision.id == table.id, *revision))
    return statement.where(entry.exists(), _condition(listing, plan))


def _from_search(listing: Listing, statement: Select[Any], tier: int | None, *, needs_table: bool) -> Select[Any]:
    """Select from the entries that the search finds, and test the filter on each."""
    table, engine = listing.query.resource.model, fulltext.ENGINES[listing.dialect]
    # A sum has no index, and neither has `is_of`, so SQLite begins with the entries.
    revision = (Revision.version == engine.version + 0, is_of(listing.query.resource))
    statement = statement.select_from(engine.table).join(Revision, and_(*revision))
    if needs_table or not listing.settled or listing.query.where != ALL:
        statement = statement.join(table, table.id == Revision.id)
    return statement.where(lookup_of(listing, tier).condition(), _condition(listing, Plan.SEARCH))


def _condition(listing: Listing, plan: Plan) -> ColumnElement[bool]:
    return conditions.where(
        listing.query.resource,
        listing.query.resource.model,
        where_of(listing),
        probing=plan.probing,
        unindexed=plan is Plan.RELATED,
    )


def _current(listing: Listing) -> tuple[ColumnElement[bool], ...]:
    return (Revision.kind == listing.query.resource.name, *CURRENT)


def where_of(listing: Listing) -> Expression:
    """Return the expression of a list, with parameters instead of values."""
    return conditions.parametrized(listing.query.where, itertools.count())


def lookup_of(listing: Listing, tier: int | None = None) -> fulltext.Lookup:
    """Return the full-text lookup for a list's search, or for one tier of its ranking."""
    return lookup(listing.session, listing.query, listing.planner, tier)


def tiers(listing: Listing) -> Sequence[int | None]:
    """Return the tiers of a ranked list, in the order of reading; the only tier of another list is None."""
    query = listing.query
    if not query.ranked or not query.search:
        return [None]
    return [*fulltext.tiers(query.search)][:: -1 if query.backward else 1]


def current(resource: Resource, column: Any, id: Any) -> ScalarSelect[Any]:
    """Return a column of the current revision of a record; null if it is not published.

    This is a subquery and not a join, so that no database begins with the ledger: an index of the noun gives the order, and a
    page costs one lookup per row.
    """
    revision = (Revision.kind == constant(resource.name), Revision.id == id, *CURRENT)
    return select(column).where(*revision).correlate_except(Revision).scalar_subquery()


def published(listing: Listing, id: Any) -> ColumnElement[bool]:
    """Return the condition that a row of the table is published."""
    if listing.settled:
        return true()
    # Only a row that is noted as changed can be unpublished, so only those are looked up.
    resource = listing.query.resource
    noted = select(Dirty.id).where(Dirty.kind == resource.name)
    return or_(id.not_in(noted), current(resource, Revision.version, id).is_not(None))


def id_of(listing: Listing) -> Any:
    """Return the column with the id."""
    return Revision.id if listing.query.search is not None else listing.query.resource.model.id


def document_of(listing: Listing) -> Any:
    """Return the column with the document."""
    resource = listing.query.resource
    return Revision.document if listing.joined else current(resource, Revision.document, resource.model.id)


def keys(listing: Listing, plan: Plan) -> tuple[ColumnElement[Any], ...]:
    """Return the columns that order a list, or the rows of one tier."""
    if listing.query.ranked and plan is Plan.SEARCH:
        return (type_coerce(fulltext.ENGINES[listing.dialect].version, BigInteger()),)
    return tuple([_key(key) for key in listing.query.order])


def _key(key: SortKey) -> Any:
    # The times in the ledger have the same order as its versions, which have no ties.
    column = Revision.version if is_of_ledger(key) else key.field.ordered
    if key.relation:
        target = aliased(BY_NAME[key.relation.to or ""].model)
        related = select(getattr(target, column.key)).where(target.id == conditions.target_of(key.relation))
        column = related.scalar_subquery()
    return type_coerce(column, WIDE[key.field.type.name]) if key.field.type.name in WIDE else column


def compared(listing: Listing, columns: Sequence[Any]) -> list[ColumnElement[Any]]:
    """Return the columns of the sort keys as the order compares them: filled if they can be."""
    pairs = zip(columns, listing.query.order, strict=True)
    return [column if key.filling is None else nulls.filled(column, key.filling) for column, key in pairs]


def ordered(listing: Listing, statement: Select[Any], columns: Sequence[Any]) -> Select[Any]:
    """Order a statement by the columns of the sort keys, with nulls at the end of the list in both directions."""
    terms = []
    for column, key in zip(compared(listing, columns), listing.query.order, strict=True):
        term = column.desc() if key.descending else column.asc()
        last = term.nulls_first if key.backward else term.nulls_last
        terms.append(last() if key.nullable else term)
    return statement.order_by(*terms)


def is_of(resource: Resource) -> ColumnElement[bool]:
    """Return the condition that a revision is of a noun, written so that no index serves it."""
    return Revision.kind + "" == literal(resource.name)


def limited(name: str = "limit") -> Any:
    """Return the parameter for the maximum number of rows."""
    return bindparam(name, type_=BigInteger())
