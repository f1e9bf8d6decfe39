"""The query planner: it decides how the database finds the rows of a list, and holds every limit of that decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Protocol

from sqlalchemy.orm import Session

from api.ledger import head
from api.ledger.index.engine import Nouns
from api.ledger.models import Revision
from api.query.language import DEFAULT_LIMIT, SEARCHABLE, Condition, Conditions, Expression, Group, Query
from api.resources import BY_NAME

# No index finds the rows for which these operators hold: the database reads all rows.
SCANNING = {"not", "contains"}
ALL = Conditions(())


class Plan(Enum):
    """What finds the rows of a list; the database tests the rest of the query on each row."""

    # The database chooses.
    DATABASE = "database"
    # The conditions on the noun's table.
    DIRECT = "direct"
    # The conditions on a related table.
    RELATED = "related"
    # The search.
    SEARCH = "search"
    # The order of the list: rows are read in order until a page is full.
    ORDER = "order"

    @property
    def probing(self) -> bool:
        """Whether relations are tested row by row, and find no rows."""
        return self in {Plan.DIRECT, Plan.SEARCH, Plan.ORDER}


class Walk(NamedTuple):
    """A walk reads at most ``most`` rows in the list's order.

    It gives up after ``tried`` rows if none of these is in the list. If ``most`` is 0, only the bitmap index reads the
    page in order.
    """

    tried: int | None
    most: int


class Counts(Protocol):
    """Counts the records of parts of a query; ``size`` is the approximate number of the noun's records."""

    @property
    def size(self) -> int:
        """Return that number."""

    def known(self, part: Query) -> int | None:
        """Return the number of records if the bitmap index knows it."""

    def counted(self, part: Query, most: int) -> int:
        """Count the records, up to a limit."""


@dataclass(frozen=True)
class Planner:
    """The planner's limits and its decisions.

    A test or an experiment passes another instance; the application keeps its own in `app.extensions["planner"]`.
    """

    # Whether the bitmap index is read at all.
    bitmaps: bool = True
    # Conditions that the bitmap index does not know are counted up to one limit after the other, until one of them has fewer
    # rows. So counting costs about as much as reading the rows of the smaller condition.
    weighed: tuple[int, ...] = (60, 480, 3_840)
    # Testing a relation on one row costs this multiple of reading one row in a scan.
    probe: int = 4
    # On PostgreSQL, the most rows of a walk cost this multiple of finding and sorting as many by a relation.
    walked: int = 2
    # A walk in the list's order gives up if it has met none of the list's records where it should have met this number. By
    # chance alone, one page in 20 gives up. Pages of at most this number of records never give up.
    tried: int = 3
    # On PostgreSQL, finding at most this number of records by a relation reads fewer pages than a walk that gives up.
    hashed: int = 1_500
    # Without a total, a page's list is counted up to this limit.
    sampled: int = 10_000
    # Next to a search, a filter finds the rows only if it leaves at most this number.
    few: int = 1_000
    # Testing a search on one row costs this multiple of finding one row by it.
    lookup: int = 16
    # The bitmap index counts a search of phrases only if the filter leaves at least one record in this number.
    rare: float = 10
    # Sort at most this number of versions that the bitmap index has found.
    ordered: int = 256
    # Read this number of pieces from the bitmap index to find the next values of an order.
    pieces: int = 8
    # Look up at most this number of values in a dimension; for more, read the whole dimension.
    values: int = 500
    # Compare at most this number of pairs of sets for a facet, which takes some tenths of a second.
    pairs: int = 100_000
    # Keep the numbers of records per noun for this number of versions.
    stale: int = 1_000

    def rows(self, query: Query, dialect: str, counts: Counts) -> Plan:
        """Choose what finds all rows of a list."""
        if query.search is not None and query.where == ALL:
            return Plan.SEARCH
        # PostgreSQL has statistics for this choice. SQLite chooses worse on related filters, even after ANALYZE.
        if dialect != "sqlite":
            return Plan.DATABASE
        if query.search is not None:
            return Plan.SEARCH if self._search_leads(query, counts) else Plan.DATABASE
        direct, related = _parts(query.where)
        if not direct or not related:
            return Plan.DATABASE
        return self._related_plan(_part(query, direct), _part(query, related), counts)

    def walk(self, query: Query, number: int, size: int, dialect: str) -> Walk | None:
        """Return the walk for a page of a list with this number of records; None if all of them are found first.

        If the records are many, the next ones in order come soon; if they are few, to find and sort all of them costs less. A
        page reads about `limit * size / number` rows; twice this number allows for chance. PostgreSQL reads several pages to
        test the relations of one row, and one to find several rows by them; a search costs it as much either way.
        """
        limit = query.most
        most = 2 * limit * size // max(number, 1)
        is_dear = dialect == "postgresql" and query.search is None
        if most * (self.walked if is_dear else 1) >= number:
            return None
        if is_dear and number <= self.hashed and size > number * self.probe:
            return Walk(None, 0)
        return Walk(self.tried * size // number if limit > self.tried else None, most)

    def nouns(self, session: Session, kinds: Sequence[str]) -> Nouns:
        """Return the nouns for a search, or those to leave out if these have fewer records."""
        names = tuple(sorted(kinds))
        if session.get_bind().dialect.name != "sqlite":
            return Nouns(names)
        sizes = self.sizes(session)
        others = tuple([resource.name for resource in SEARCHABLE if resource.name not in names])
        fewer = sum(sizes.get(kind, 0) for kind in others) < sum(sizes.get(kind, 0) for kind in names)
        # The nouns of a newer release have unknown names, so they cannot be left out.
        return Nouns(names, others if fewer and sizes.keys() <= BY_NAME.keys() else None)

    def sizes(self, session: Session) -> Mapping[str, int]:
        """Return the approximate number of records per noun."""
        return head.sizes(session, self.stale)

    def _search_leads(self, query: Query, counts: Counts) -> bool:
        """Tell whether the search finds the rows: unless the filter leaves few, and much fewer than the search."""
        if _is_scanning(query.where):
            return True
        filtered = counts.counted(replace(query, search=None), self.few + 1)
        beyond = filtered * self.lookup
        return filtered > self.few or counts.counted(replace(query, where=ALL), beyond + 1) <= beyond

    def _related_plan(self, direct: Query, related: Query, counts: Counts) -> Plan:
        """Choose between two conditions: the one that surely has fewer rows, or else the database."""
        if _is_scanning(direct.where):
            return Plan.DATABASE
        if _is_scanning(related.where):
            # To test a relation on a row takes a few times as long as to read a row of a scan.
            scanned = counts.size // self.probe
            return Plan.DIRECT if counts.counted(direct, scanned + 1) <= scanned else Plan.DATABASE
        left, right = self._sizes(direct, related, counts)
        if left == right:
            return Plan.DATABASE
        if left < right:
            return Plan.DIRECT
        # An index on the noun's condition can have the order of the list; a page of many records is then read from it.
        return Plan.RELATED if right * right < DEFAULT_LIMIT * counts.size else Plan.DATABASE

    def _sizes(self, direct: Query, related: Query, counts: Counts) -> tuple[int, int]:
        """Return the sizes of two conditions; counts stop where it is clear which one is smaller."""
        known = counts.known(direct), counts.known(related)
        if known[0] is not None and known[1] is not None:
            return known[0], known[1]
        for most in self.weighed:
            right = counts.counted(related, most) if known[1] is None else min(known[1], most)
            left = counts.counted(direct, right + 1) if known[0] is None else min(known[0], right + 1)
            if min(left, right) < most:
                return left, right
        return most, most


PLANNER = Planner()


def is_walkable(query: Query) -> bool:
    """Tell whether an index can have the order of a list that has a search or a condition on another table."""
    return not query.ranked and not query.order[0].relation and (query.search is not None or is_linked(query.where))


def is_linked(expression: Expression) -> bool:
    """Tell whether an expression has a condition on another table than the noun's."""
    if isinstance(expression, Group):
        return any(map(is_linked, expression.children))
    return any(row.filter.path and row.filter.path[0].owner.key != "id" for row in expression.all)


def _part(query: Query, rows: tuple[Condition, ...]) -> Query:
    return replace(query, where=Conditions(rows))


def _parts(where: Expression) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
    """Return the conditions on the noun's table, and those on the first relation to another table."""
    rows = where.all if isinstance(where, Conditions) else ()
    direct = tuple([row for row in rows if not row.filter.path or row.filter.path[0].owner.key == "id"])
    linked = [row for row in rows if row not in direct]
    return direct, tuple([row for row in linked if row.filter.path[0] is linked[0].filter.path[0]])


def _is_scanning(where: Expression) -> bool:
    """Tell whether conditions are expensive to count: no index finds their rows, or they read the ledger."""
    return isinstance(where, Conditions) and all(
        row.filter.operator.name in SCANNING or row.filter.field.column.class_ is Revision for row in where.all
    )
