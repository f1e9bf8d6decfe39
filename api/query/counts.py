"""Counts lists: by the bitmap index if it knows the number, else by SQL."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Select, func, literal_column, select

from api.db import statements
from api.ledger import head
from api.ledger.index import fulltext
from api.ledger.index.versions import Versions
from api.query import bitmap_sets, conditions, selects, sets
from api.query.bitmap_sets import NotIndexedError
from api.query.conditions import links_of
from api.query.language import CAP, Conditions, Query
from api.query.listing import Listing, once, part_of
from api.query.plan import ALL, Plan


def total(listing: Listing) -> tuple[int | None, str | None]:
    """Return the total that a query asks for, and whether it is exact (`eq`) or a lower bound (`gte`)."""
    how = listing.query.count
    if how == "none":
        return None, None
    return capped(count(listing, CAP + 1 if how == "capped" else None), how)


def capped(number: int, how: str) -> tuple[int, str]:
    """Return a total as the parameter `count` asks for it, and whether it is exact or a lower bound."""
    return (CAP, "gte") if how == "capped" and number > CAP else (number, "eq")


def count(listing: Listing, most: int | None) -> int:
    """Count the rows of a list, up to a limit."""
    with suppress(NotIndexedError):
        number = known(listing)
        return number if most is None else min(number, most)
    return _counted(listing, most)


def _counted(listing: Listing, most: int | None, *, distinct: bool = True) -> int:
    """Count the rows of a list by SQL, up to a limit; records with several links count once if ``distinct``."""
    plan = plan_of(listing)

    def build() -> Select[Any]:
        rows = _rows(listing, plan, distinct=distinct)
        return select(func.count()).select_from((rows if most is None else rows.limit(selects.limited("most"))).subquery())

    ((number,),) = listing.rows(("count", most is None, plan, distinct), build, most=most)
    return int(number)


def known(listing: Listing) -> int:
    """Return the number of rows by the digest or the bitmap index. Raises NotIndexedError if SQL is faster, too."""
    query, planner = listing.query, listing.planner
    if query.search is not None:
        # To test a search of phrases on the few rows that a filter leaves is faster than to read all of its matches.
        rare = query.where != ALL and planner.few < len(filtered(listing) or ()) < listing.size / planner.rare
        if not rare and not query.search.is_of_words:
            raise NotIndexedError
    elif listing.settled and query.where == ALL:
        return head.records(listing.session, query.resource.name)
    elif _is_indexed(listing) and (number := sets.cardinality(listing.session, query.resource, query.where)) is not None:
        return number
    return len(versions(listing) or ())


@once
def plan_of(listing: Listing) -> Plan:
    """Return the plan for all rows of a list."""
    return listing.planner.rows(listing.query, listing.dialect, PartCounts(listing))


@dataclass(frozen=True)
class PartCounts:
    """Counts the records of parts of a list's query, for the planner."""

    listing: Listing

    @property
    def size(self) -> int:
        """The approximate number of the noun's records."""
        return self.listing.size

    def known(self, part: Query) -> int | None:
        """Return the number of records if the bitmap index knows it."""
        with suppress(NotIndexedError):
            return known(part_of(self.listing, part))
        return None

    def counted(self, part: Query, most: int) -> int:
        """Count the records, or the links to related records, up to a limit."""
        listing = part_of(self.listing, part)
        with suppress(NotIndexedError):
            return min(known(listing), most)
        # SQLite would read all links in the order of their owners to count distinct ones.
        return _counted(listing, most, distinct=False)


@once
def filtered(listing: Listing) -> Versions | None:
    """Return the current revisions that a list's filter leaves; None without a filter. Raises NotIndexedError."""
    if not _is_indexed(listing):
        raise NotIndexedError
    query = listing.query
    return None if query.where == ALL else sets.versions(listing.session, query.resource, query.where)


@once
def versions(listing: Listing) -> Versions | None:
    """Return the current revisions of a list's records; None for all of the noun. Raises NotIndexedError."""
    left = filtered(listing)
    if listing.query.search is None or (left is not None and not left):
        return left
    return _matches(listing) if left is None else _matches(listing) & left


def _matches(listing: Listing) -> Versions:
    """Return the current revisions that match a list's search, by the bitmap index or by full text."""
    query = listing.query
    assert query.search is not None
    with suppress(NotIndexedError):
        return bitmap_sets.matching(listing.session, (query.resource.name,), query.search)[query.resource.name]
    shape = (listing.shape, "versions")
    return statements.taken(listing.session, shape, partial(_entries, listing), listing.values, Versions.taken)


def _is_indexed(listing: Listing) -> bool:
    return listing.planner.bitmaps and head.state(listing.session).indexed


def _entries(listing: Listing) -> Select[Any]:
    return fulltext.ENGINES[listing.dialect].versions(selects.lookup_of(listing).condition())


def _rows(listing: Listing, plan: Plan, *, distinct: bool) -> Select[Any]:
    """Select something for each row of a list, in no order, to be counted."""
    links = _links(listing, distinct=distinct)
    if links is not None:
        return links
    if plan is Plan.SEARCH and listing.settled and listing.query.where == ALL:
        return _entries(listing)
    return selects.select_rows(listing, literal_column("1"), plan=plan)


def _links(listing: Listing, *, distinct: bool) -> Select[Any] | None:
    """Select the owners of a relation's links; None unless all conditions are about one relation whose table has an index.

    So the rows of the noun's own table need not be read.
    """
    where = selects.where_of(listing)
    rows = where.all if isinstance(where, Conditions) else ()
    relation = rows[0].filter.path[0] if rows and rows[0].filter.path else None
    if listing.joined or relation is None or relation.owner.key == "id":
        return None
    # Links that are records themselves have no index for this.
    if relation.target is not None and conditions.is_target(relation):
        return None
    if any(conditions.is_other(row, relation) for row in rows):
        return None
    owner, links = links_of(relation, partial(conditions.holding, relation, [(row.filter.path[1:], row) for row in rows]))
    owners: Select[Any] = links.where(selects.published(listing, owner))
    is_single = len(rows) == 1 and conditions.is_single(rows[0], relation)
    return owners.distinct() if distinct and not is_single else owners
