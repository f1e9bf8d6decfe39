"""Full text on SQLite (FTS5) and PostgreSQL (tsvector)."""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    and_,
    bindparam,
    cast,
    column,
    delete,
    false,
    insert,
    literal,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from api.ledger.index.words import (
    BODY_WORDS,
    GAP,
    IN_NAME,
    IN_TITLE,
    OCCURRENCES,
    TITLE_WORDS,
    Search,
    Term,
    _limit,
    names,
    stems,
)
from api.schema.canonical import Content
from api.schema.resource import Resource

TABLE = "search_index"


@dataclass(frozen=True)
class Wanted:
    """What an entry must have: all of some terms, and of some groups of terms none as a whole.

    A term is a phrase, and whether the title must have it.
    """

    all: tuple[Term, ...] = ()
    none: tuple[tuple[Term, ...], ...] = ()


def wanted(search: Search) -> Wanted | None:
    """Return what the entries have that a search finds; one without a word finds none."""
    if not search.positive and not search.negative:
        return None
    unwanted = tuple([((phrase, False),) for phrase in search.negative])
    return Wanted(tuple([(phrase, False) for phrase in search.positive]), unwanted)


def tiers(search: Search) -> Mapping[int, Wanted]:
    """Return what the entries have that a search finds, by how well they match: the smaller, the better.

    0: the whole query stands in the title, in order, side by side. 1: all of it is in the title. 2: the rest. It
    depends on the record alone, unlike bm25, so a cursor stays right while other records change. In a tier the newest come
    first: a record that changes while someone reads on page by page is before them again. No entry is in two
    of them, so a page is found by one after the other, and ends with the one that fills it.
    """
    found = wanted(search)
    if found is None or not found.all:
        return {} if found is None else {2: found}
    whole = tuple([word for phrase in search.positive for word in phrase])
    best, good = ((whole, True),), tuple([(phrase, True) for phrase in search.positive])
    return {
        0: Wanted(best, found.none),
        **({} if best == good else {1: Wanted(good, (best, *found.none))}),
        2: Wanted(found.all, (good, *found.none)),
    }


@dataclass(frozen=True)
class Nouns:
    """Those whose entries are looked at; as all but ``others``, where these are known and have fewer entries."""

    names: tuple[str, ...]
    others: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Lookup:
    """What an index is asked: texts that all hold of what is found, or none where nothing is, of entries of some nouns.

    Each text is a parameter whose name begins with ``mark``; so one statement serves all searches of a ``shape``.
    """

    texts: tuple[str, ...]
    kinds: tuple[str, ...]
    dialect: str
    mark: str

    @property
    def shape(self) -> Hashable:
        """All on which its condition depends, but for the texts."""
        return len(self.texts), self.kinds, self.mark

    @property
    def values(self) -> dict[str, str]:
        """The texts by the names of their parameters."""
        return {f"{self.mark}{n}": text for n, text in enumerate(self.texts)}

    def condition(self) -> ColumnElement[bool]:
        """Return the condition of an entry that is found."""
        holds = [bindparam(name, text, String) for name, text in self.values.items()]
        return ENGINES[self.dialect].condition(holds, self.kinds) if holds else false()


def matching(wanted: Wanted | None, kinds: Nouns, dialect: str, mark: str = "q") -> Lookup:
    """Return how entries of these nouns are found that have what is wanted."""
    return Lookup(() if wanted is None else ENGINES[dialect].matches(wanted, kinds), kinds.names, dialect, mark)


def prefixed(text: str, kinds: Nouns, dialect: str, mark: str = "q") -> Lookup:
    """Return how titles are found that have, for each word of a text, one that begins with it. Raises TooManyWords."""
    typed = names(text)
    _limit(typed)
    return Lookup(ENGINES[dialect].begins(typed, kinds) if typed else (), kinds.names, dialect, mark)


@dataclass(frozen=True)
class Entry:
    """What is indexed of a document: its noun, the stems of its title and of the rest, and the title's words."""

    kind: str
    title: Sequence[str]
    body: Sequence[str]
    name: Sequence[str]

    @property
    def words(self) -> AbstractSet[str]:
        """The stems that are in it anywhere."""
        return {*self.title, *self.body} - {GAP}

    @classmethod
    def of(cls, resource: Resource, content: Content) -> "Entry":
        """Read a document, or what is going to be one."""
        title, *rest = (content.get(field) or "" for field in resource.search)
        # So many characters that, at 4 bytes each, a tsvector has room for them.
        title, rest = title[: TITLE_WORDS * 10], [text[: BODY_WORDS * 10] for text in rest]
        body = [word for text in rest for word in (*stems(text), GAP)][:-1]
        return cls(resource.name, _kept(stems(title), TITLE_WORDS), _kept(body, BODY_WORDS), _kept(names(title), TITLE_WORDS))


def _kept(found: Sequence[str], most: int) -> list[str]:
    """Return as many words as are indexed, and a gap for each occurrence of a word that is too many."""
    kept, seen = list(found[:most]), Counter(found[:most])
    if max(seen.values(), default=0) > OCCURRENCES:
        seen.clear()
        for position, word in enumerate(kept):
            seen[word] += 1
            kept[position] = word if seen[word] <= OCCURRENCES else GAP
    return kept


class Engine(ABC):
    """How one kind of database holds the index; ``stored`` reads back what ``row`` wrote, after the version.

    ``exact``: what is found is of the nouns that were asked for, whatever others there are.
    """

    key: str
    exact: bool
    stored: Sequence[ColumnElement[str]]
    columns: Sequence[Any]

    def __init__(self) -> None:
        """Describe the table; it has no model, since no schema could be the same on both databases."""
        self.version = column(self.key, BigInteger)
        self.table = table(TABLE, self.version, *self.columns)

    def versions(self, condition: ColumnElement[bool]) -> Select[int]:
        """Select the versions of some entries."""
        return select(self.version).select_from(self.table).where(condition).correlate(None)

    @abstractmethod
    def row(self, entry: Entry) -> dict[str, str]:
        """Return the columns of an entry."""

    @abstractmethod
    def matches(self, wanted: Wanted, kinds: Nouns) -> tuple[str, ...]:
        """Return the texts that hold of an entry of these nouns that has what is wanted."""

    @abstractmethod
    def begins(self, typed: Sequence[str], kinds: Nouns) -> tuple[str, ...]:
        """Return the texts that hold of a title that has words with these beginnings."""

    @abstractmethod
    def condition(self, texts: Sequence[ColumnElement[str]], kinds: Sequence[str]) -> ColumnElement[bool]:
        """Return the condition of an entry of these nouns of which such texts hold."""

    @abstractmethod
    def clear(self, session: Session) -> None:
        """Empty the index, whatever state it is in."""

    @abstractmethod
    def torn(self, session: Session) -> bool:
        """Tell whether searches would find something else than the entries say."""


class _FTS5(Engine):
    """SQLite: words are separated by spaces, and the ``ascii`` tokenizer takes each as it is.

    The noun is a word of its own column: so what is rare in a noun is found past all that is frequent in others. The one of
    most entries is better said by those that it is not, since FTS5 reads all that a word has there.
    """

    key, exact = "rowid", False
    columns = stored = (column("title", String), column("body", String), column("name", String), column("noun", String))

    def row(self, entry: Entry) -> dict[str, str]:
        name = [IN_NAME + word for word in entry.name]
        said = {"title": entry.title, "body": entry.body, "name": name, "noun": [entry.kind]}
        return {name: " ".join(words) for name, words in said.items()}

    def matches(self, wanted: Wanted, kinds: Nouns) -> tuple[str, ...]:
        groups = [f"({' AND '.join(map(self._written, group))})" for group in wanted.none]
        return self._query([*map(self._written, wanted.all)], groups, kinds)

    def begins(self, typed: Sequence[str], kinds: Nouns) -> tuple[str, ...]:
        return self._query([f'name : "{IN_NAME}{word}" *' for word in typed], [], kinds)

    def condition(self, texts: Sequence[ColumnElement[str]], kinds: Sequence[str]) -> ColumnElement[bool]:  # noqa: ARG002 - they are in the text
        return and_(*[literal_column(TABLE).bool_op("match")(text) for text in texts])

    def _query(self, positive: Sequence[str], negative: Sequence[str], kinds: Nouns) -> tuple[str, ...]:
        # A query of FTS5 can't begin with NOT.
        if kinds.others is None or not positive:
            positive = [self._of(kinds.names), *positive]
        elif kinds.others:
            negative = [*negative, self._of(kinds.others)]
        query = f"({' AND '.join(positive)})"
        return (f"{query} NOT ({' OR '.join(negative)})" if negative else query,)

    def _of(self, names: Sequence[str]) -> str:
        return "noun : ({})".format(" OR ".join(f'"{name}"' for name in names))

    def _written(self, term: Term) -> str:
        phrase, in_title = term
        return f'{"title" if in_title else "{title body}"} : "{" ".join(phrase)}"'

    def clear(self, session: Session) -> None:
        # Deleting the entries one by one would trust them to say what the index holds.
        session.execute(text("delete from search_index_content"))
        session.execute(text("insert into search_index(search_index) values ('rebuild')"))

    def torn(self, session: Session) -> bool:
        connection = session.connection()
        connection.exec_driver_sql("create virtual table temp.search_words using fts5vocab(main, search_index, instance)")
        try:
            there = sum(map(hash, connection.exec_driver_sql("select term, doc, col, offset from search_words")))
        except DatabaseError:
            return True
        finally:
            connection.exec_driver_sql("drop table temp.search_words")
        return there != sum(map(hash, self._occurrences(session)))

    def _occurrences(self, session: Session) -> Iterator[tuple[str, int, str, int]]:
        for version, *entry in session.connection().execute(select(self.version, *self.stored)):
            for name, said in zip(("title", "body", "name", "noun"), entry, strict=True):
                for offset, word in enumerate((said or "").split()):
                    yield word, version, name, offset


class _TSVector(Engine):
    """PostgreSQL: vectors and queries are written as literals, which no dictionary reads."""

    key, exact = "version", True
    columns = (column("kind", String), column("vector", TSVECTOR))
    stored = (columns[0], cast(columns[1], String))
    # Where a title's words are counted from, and those of the rest, so that no phrase reaches from one into the other. There
    # are no weights, for which the vectors themselves would have to be read.
    title, body = 1, 2_000

    def row(self, entry: Entry) -> dict[str, str]:
        positions = defaultdict(list)
        for mark, start, words in (
            ("", self.title, entry.title),
            (IN_TITLE, self.title, entry.title),
            ("", self.body, entry.body),
            (IN_NAME, self.title, entry.name),
        ):
            for position, word in enumerate(words, start):
                if word != GAP:
                    positions[mark + word].append(str(position))
        # Sorted as PostgreSQL does, by code point, so that it reads as it was written.
        vector = " ".join(f"'{word}':{','.join(there)}" for word, there in sorted(positions.items()))
        return {"kind": entry.kind, "vector": vector}

    def matches(self, wanted: Wanted, kinds: Nouns) -> tuple[str, ...]:  # noqa: ARG002 - they are a column's
        terms = [*map(self._written, wanted.all)]
        groups = [f"!({' & '.join(map(self._written, group))})" for group in wanted.none]
        # A GIN index intersects what several conditions find faster than it works out one compound query.
        return (" & ".join([*terms[:1], *groups]), *terms[1:])

    def begins(self, typed: Sequence[str], kinds: Nouns) -> tuple[str, ...]:  # noqa: ARG002 - they are a column's
        return (" & ".join(f"'{IN_NAME}{word}':*" for word in typed),)

    def condition(self, texts: Sequence[ColumnElement[str]], kinds: Sequence[str]) -> ColumnElement[bool]:
        kind, vector = self.columns
        one, *more = [literal(name) for name in kinds]
        own = kind.in_([one, *more]) if more else kind == one
        return and_(own, *[vector.bool_op("@@")(cast(text, TSQUERY)) for text in texts])

    def _written(self, term: Term) -> str:
        phrase, in_title = term
        mark = IN_TITLE if in_title else ""
        return "(" + " <-> ".join(f"'{mark}{word}'" for word in phrase) + ")"

    def clear(self, session: Session) -> None:
        # Not TRUNCATE, which readers with an older snapshot would see.
        session.execute(delete(self.table))

    def torn(self, session: Session) -> bool:  # noqa: ARG002 - the interface's
        return False


ENGINES: Mapping[str, Engine] = {"sqlite": _FTS5(), "postgresql": _TSVector()}


def engine_of(session: Session) -> Engine:
    """Return the index of a session's database."""
    return ENGINES[session.connection().dialect.name]


def replace(session: Session, resource: Resource, old: Sequence[int], new: Mapping[int, Content]) -> None:
    """Take versions out of the index, and put others, with what they say, into it."""
    if not resource.search:
        return
    engine = engine_of(session)
    if old:
        leaving = delete(engine.table).where(engine.version == bindparam("old"))
        session.connection().execute(leaving, [{"old": version} for version in old])
    if new:
        rows = [{engine.key: version, **engine.row(Entry.of(resource, content))} for version, content in new.items()]
        session.connection().execute(insert(engine.table), rows)


def faults(session: Session, resource: Resource, contents: Mapping[int, Content]) -> dict[int, str]:
    """Return what is wrong with the entries of versions, of which these are the contents."""
    if not resource.search:
        return {}
    engine = engine_of(session)
    rows = session.execute(select(engine.version, *engine.stored).where(engine.version.in_(contents)))
    held = {version: tuple(said) for version, *said in rows}
    expected = {version: tuple(engine.row(Entry.of(resource, content)).values()) for version, content in contents.items()}
    return {
        version: "its words in the search index are not its document's" if version in held else "not in the search index"
        for version, said in expected.items()
        if held.get(version) != said
    }
