"""Reads `/search` and `/suggest`: the records of several nouns that a text finds."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, and_, bindparam, func, literal, select, type_coerce, union_all
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger import head
from api.ledger.index import fulltext, words
from api.ledger.index.engine import FullTextEngine, Nouns
from api.ledger.index.typos import one_error
from api.ledger.models import Revision
from api.query import bitmap_sets, cursors
from api.query.directories import NAMED, Directories
from api.query.labels import Hit, hits_of
from api.query.language import CAP, SEARCHABLE, SUGGESTED, Find
from api.query.plan import PLANNER, Planner
from api.query.selects import is_of, limited
from api.schema.fields import MAX_INTEGER

# Suggestions are chosen from at most this number of records.
CONSIDERED = 100


class HitPlace(NamedTuple):
    """The place of a record among all that a search finds: its tier, its noun's place in `SEARCHABLE`, and its version."""

    tier: int
    noun: int
    version: int


class HitRow(NamedTuple):
    """A row of a search."""

    kind: str
    id: str
    document: str | None
    tier: int
    noun: int
    version: int

    @property
    def hit(self) -> Hit:
        """The record."""
        return Hit(self.kind, self.id, self.document or "")

    @property
    def place(self) -> HitPlace:
        """Its place."""
        return HitPlace(self.tier, self.noun, self.version)


def find(session: Session, query: Find, planner: Planner = PLANNER) -> tuple[list[Hit], str | None]:
    """Return a page of the records that a search finds, the best first, and the cursor of the next page.

    Raises a 400 for a cursor of another search.
    """
    signature = cursors.digest(["search", repr(query.search), sorted(query.kinds)])
    place = HitPlace(*cursors.decode(query.cursor, signature, (int, int, int))) if query.cursor else None
    kinds, rows = _kinds(session, query, planner), list[HitRow]()
    for tier, term_query in fulltext.tiers(query.search).items():
        if place and tier < place.tier:
            continue
        behind = place if place and tier == place.tier else _start(tier)
        lookup = partial(fulltext.matching, term_query)
        rows += _newest(session, lookup, kinds, behind, query.limit + 1 - len(rows))
        if len(rows) > query.limit:
            break
    shown = rows[: query.limit]
    more = bool(shown) and len(rows) > query.limit
    return [row.hit for row in shown], cursors.encode(signature, shown[-1].place) if more else None


def _kinds(session: Session, query: Find, planner: Planner) -> Mapping[str, Nouns]:
    return {kind: planner.nouns(session, (kind,)) for kind in query.kinds}


def _start(tier: int) -> HitPlace:
    """Return the place before the newest record of the first noun."""
    return HitPlace(tier, 0, MAX_INTEGER)


def _newest(
    session: Session,
    lookup: Callable[[Nouns, str, str], fulltext.Lookup],
    kinds: Mapping[str, Nouns],
    behind: HitPlace,
    limit: int,
) -> list[HitRow]:
    """Return the newest entries behind a place, noun by noun, and up to this number of each noun."""
    statements.replan(session)
    dialect = session.get_bind().dialect.name
    lookups = {
        n: lookup(kinds[resource.name], dialect, f"q{n}_")
        for n, resource in enumerate(SEARCHABLE)
        if resource.name in kinds and n >= behind.noun
    }
    if not lookups:
        return []
    values: dict[str, Any] = {f"below{n}": behind.version if n == behind.noun else MAX_INTEGER for n in lookups}
    for entries in lookups.values():
        values |= entries.values
    values |= {"limit": limit, "tier": behind.tier}
    shape = ("newest", *[(n, entries.shape) for n, entries in lookups.items()])
    return [HitRow(*row) for row in statements.rows(session, shape, partial(_select_newest, lookups, dialect), values)]


def _select_newest(lookups: Mapping[int, fulltext.Lookup], dialect: str) -> Any:
    """Select the columns of `HitRow` from the newest entries of each noun."""
    every = union_all(*[_select_of(n, lookup, fulltext.ENGINES[dialect]) for n, lookup in lookups.items()]).subquery()
    return select(*every.c).order_by(every.c.noun, every.c.version.desc())


def _select_of(n: int, lookup: fulltext.Lookup, engine: FullTextEngine) -> Select[Any]:
    tier = bindparam("tier", type_=BigInteger()).label("tier")
    noun = type_coerce(literal(n), BigInteger()).label("noun")
    columns = (Revision.kind, Revision.id, Revision.document, tier, noun)
    below = engine.version < bindparam(f"below{n}", type_=BigInteger())
    entries = select(engine.version.label("version")).select_from(engine.table).where(lookup.condition(), below)
    entries = entries.order_by(engine.version.desc()).limit(limited())
    if engine.exact:
        newest = entries.subquery()
        return select(*columns, newest.c.version).join(newest, newest.c.version == Revision.version)
    # An entry can be of another noun that was not left out, so the limit applies to the revisions of this noun.
    revision = and_(Revision.version == engine.version + 0, is_of(SEARCHABLE[n]))
    revisions = entries.with_only_columns(*columns, engine.version.label("version")).join(Revision, revision)
    return select(*revisions.subquery().c)


def numbers(session: Session, query: Find, planner: Planner = PLANNER) -> Mapping[str, int]:
    """Return how many records of every noun a search finds, also of nouns that it leaves out; capped, of each one more."""
    every = [resource.name for resource in SEARCHABLE]
    if planner.bitmaps and head.state(session).indexed:
        with suppress(bitmap_sets.NotIndexedError):
            return {kind: len(found) for kind, found in bitmap_sets.matching(session, every, query.search).items()}
    statements.replan(session)
    most = CAP + 1 if query.count == "capped" else None
    dialect, term_query = session.get_bind().dialect.name, fulltext.term_query(query.search)
    lookups = {
        kind: fulltext.matching(term_query, planner.nouns(session, (kind,)), dialect, f"q{n}_") for n, kind in enumerate(every)
    }

    def count(kind: str) -> Any:
        entries = fulltext.ENGINES[dialect].versions(lookups[kind].condition())
        counted = (entries if most is None else entries.limit(limited("most"))).subquery()
        return select(literal(kind), func.count()).select_from(counted)

    def build() -> Any:
        return union_all(*map(count, every))

    values: dict[str, Any] = {name: text for lookup in lookups.values() for name, text in lookup.values.items()}
    shape = ("numbers", *[lookup.shape for lookup in lookups.values()], most is None)
    return dict(map(tuple, statements.rows(session, shape, build, values | {"most": most})))


def suggest(session: Session, query: Find, planner: Planner, directories: Directories) -> list[Hit]:
    """Return the records whose names have words that begin as typed, then those whose names do so but for a typing error.

    In each group, names that begin as typed come first; then the order is that of the nouns, and of the names. If no name has
    such words, the records that have the text as a name come first, such as Sacramento for `sacramento ca`, and those with a
    similar name last.
    """
    # One or two letters begin very many words; the newest records are good enough until more is typed.
    lookup = partial(fulltext.prefixed, query.text)
    rows = _newest(session, lookup, _kinds(session, query, planner), _start(0), CONSIDERED)
    hits, typed = [row.hit for row in rows], "".join(words.words(query.text))
    hits.sort(key=partial(_order, (typed,)))
    named, similar = ([], []) if hits else _meant(session, query, directories)
    if len(hits) < query.limit:
        tolerant = sorted(_tolerant(session, query, planner), key=partial(_order, one_error(typed)))
        hits = [*dict.fromkeys((*hits, *named, *tolerant, *similar))]
    return hits[: query.limit]


def _meant(session: Session, query: Find, directories: Directories) -> tuple[list[Hit], list[Hit]]:
    """Return the records that have a text as a name, and those with a similar one, in the order of nouns and likeness."""
    named, similar = list[Hit](), list[Hit]()
    for noun in NAMED:
        candidates = directories.of(session, noun).match(query.text) if noun.name in query.kinds and query.text else []
        group = named if candidates and candidates[0].exact else similar
        group += hits_of(session, noun.name, [row.id for row in candidates])
    return named, similar


def _order(starts: tuple[str, ...], hit: Hit) -> tuple[bool, int, str, str]:
    """Return the place of a record among suggestions; ``starts`` are the beginnings that were typed."""
    begins = any("".join(words.words(name)).startswith(starts) for name in hit.names)
    return not begins, [resource.name for resource in SUGGESTED].index(hit.kind), hit.name, hit.id


def _tolerant(session: Session, query: Find, planner: Planner) -> list[Hit]:
    """Return the newest records whose names have words that begin as typed but for an error.

    They are few, so one lookup finds those of all nouns: its hundreds of beginnings take longer than its rows. PostgreSQL takes
    hundreds for as cheap as one, so the index of words is the only way that it can find them: the offset hides the order.
    """
    statements.use_indexes(session)
    engine = fulltext.ENGINES[dialect := session.get_bind().dialect.name]
    lookup = fulltext.prefixed(query.text, planner.nouns(session, query.kinds), dialect, tolerant=True)

    def build() -> Any:
        entries = engine.versions(lookup.condition(by_words=True)).offset(0).subquery()
        newest = select(*entries.c).order_by(entries.c[0].desc()).limit(limited()).subquery()
        of_kinds = Revision.kind.in_([literal(kind) for kind in lookup.kinds])
        return select(Revision.kind, Revision.id, Revision.document).where(of_kinds, Revision.version.in_(select(*newest.c)))

    rows = statements.rows(session, ("tolerant", lookup.shape), build, lookup.values | {"limit": CONSIDERED})
    return [Hit(*row) for row in rows]
