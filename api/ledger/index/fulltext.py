"""Full text: the queries that find documents by their words, and the index's upkeep.

It holds the current revisions, by version; `publish` updates it in the transaction that changes them.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Delete, String, bindparam, delete, false, select
from sqlalchemy.orm import Session

from api.db import inserts, statements
from api.ledger.index.engine import FullTextEngine, Nouns, TermQuery
from api.ledger.index.entries import IndexEntry
from api.ledger.index.postgresql_tsvector import PostgresqlTsvector
from api.ledger.index.sqlite_fts5 import SqliteFts5
from api.ledger.index.typos import misspelled
from api.ledger.index.words import Forms, Search, limit_words, plain, searched_forms
from api.schema.canonical import Content
from api.schema.resource import Resource

ENGINES: Mapping[str, FullTextEngine] = {"sqlite": SqliteFts5(), "postgresql": PostgresqlTsvector()}


def engine_of(session: Session) -> FullTextEngine:
    """Return the engine of a session's database."""
    return ENGINES[session.get_bind().dialect.name]


# --- queries


def term_query(search: Search) -> TermQuery | None:
    """Return the query of a search; None for a search without words, which finds nothing."""
    if not search.positive and not search.negative:
        return None
    unwanted = tuple([((phrase, False),) for phrase in search.negative])
    return TermQuery(tuple([(phrase, False) for phrase in search.positive]), unwanted)


def tiers(search: Search) -> Mapping[int, TermQuery]:
    """Return a query for each tier of a search's results; tier 0 matches best.

    0: the title contains the whole search as one phrase. 1: the title contains all of it. 2: the rest. A tier depends on the
    record alone, unlike bm25, so a cursor stays valid while other records change. Within a tier the newest come first, so a
    record that changes while someone pages through the results moves before them. No entry is in two tiers, so a page
    reads one tier after the other and stops when it is full.
    """
    query = term_query(search)
    if query is None or not query.all:
        return {} if query is None else {2: query}
    best, good = ((_whole(search), True),), tuple([(phrase, True) for phrase in search.positive])
    return {
        0: TermQuery(best, query.none),
        **({} if best == good else {1: TermQuery(good, (best, *query.none))}),
        2: TermQuery(query.all, (good, *query.none)),
    }


def _whole(search: Search) -> Forms:
    """Return the whole search as one phrase."""
    most = max(map(len, search.positive))
    each = [[word for forms in search.positive for word in forms[min(n, len(forms) - 1)]] for n in range(most)]
    return tuple(dict.fromkeys(map(tuple, each)))


@dataclass(frozen=True)
class Lookup:
    """A query of the index: match expressions that an entry of some nouns must meet; without any, no entry does.

    Each expression is a parameter whose name begins with ``mark``, so one statement serves all lookups of a ``shape``.
    """

    texts: tuple[str, ...]
    kinds: tuple[str, ...]
    dialect: str
    mark: str

    @property
    def shape(self) -> Hashable:
        """The parts of the condition that are not parameters."""
        return len(self.texts), self.kinds, self.mark

    @property
    def values(self) -> dict[str, str]:
        """The match expressions by the names of their parameters."""
        return {f"{self.mark}{n}": text for n, text in enumerate(self.texts)}

    def condition(self, *, by_words: bool = False) -> ColumnElement[bool]:
        """Return the condition of the entries that match; with ``by_words``, only the index of words can find them."""
        texts = [bindparam(name, text, String) for name, text in self.values.items()]
        return ENGINES[self.dialect].condition(texts, self.kinds, by_words=by_words) if texts else false()


def matching(query: TermQuery | None, kinds: Nouns, dialect: str, mark: str = "q") -> Lookup:
    """Return the lookup of the entries of these nouns that a query finds; None finds nothing."""
    return Lookup(() if query is None else ENGINES[dialect].matches(query, kinds), kinds.names, dialect, mark)


def prefixed(text: str, kinds: Nouns, dialect: str, mark: str = "q", *, tolerant: bool = False) -> Lookup:
    """Return the lookup of the entries whose names have, for each word of a text, a word that begins with it.

    With ``tolerant``, one of the words has a typing error. Raises TooManyWords.
    """
    typed = searched_forms(text, plain)
    limit_words(typed[0])
    phrases = misspelled(typed) if tolerant else [[(word,) for word in phrase] for phrase in typed if phrase]
    return Lookup(ENGINES[dialect].begins(phrases, kinds) if phrases else (), kinds.names, dialect, mark)


# --- upkeep


def replace(session: Session, resource: Resource, old: Sequence[int], new: Mapping[int, Content]) -> None:
    """Delete the entries of old versions, and insert entries for the documents of new versions."""
    if not resource.search:
        return
    engine = engine_of(session)
    if old:
        versions = [{"old": version} for version in old]
        statements.change(session, "delete entries", partial(_deletion, engine), versions, awaited=False)
    rows = [{engine.key: version, **engine.row(IndexEntry.of(resource, content))} for version, content in new.items()]
    inserts.add(session, engine.table, rows, awaited=False)


def _deletion(engine: FullTextEngine) -> Delete:
    return delete(engine.table).where(engine.version == bindparam("old"))


def faults(session: Session, resource: Resource, contents: Mapping[int, Content]) -> dict[int, str]:
    """Return the versions whose entry is missing or differs from their document, each with a text that says so."""
    if not resource.search:
        return {}
    engine = engine_of(session)
    rows = session.execute(select(engine.version, *engine.stored).where(engine.version.in_(contents)))
    stored = {version: tuple(values) for version, *values in rows}
    expected = {version: tuple(engine.row(IndexEntry.of(resource, content)).values()) for version, content in contents.items()}
    return {
        version: "its words in the search index are not its document's" if version in stored else "not in the search index"
        for version, values in expected.items()
        if stored.get(version) != values
    }
