"""The interface of the two full-text indexes: what a database stores for a document, and how it finds documents by words."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, column, select, table
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from api.ledger.index.entries import IndexEntry
from api.ledger.index.typos import Beginnings
from api.ledger.index.words import Term

TABLE = "search_index"


@dataclass(frozen=True)
class TermQuery:
    """What an entry must contain: every term of ``all``, and not all terms of any group of ``none``."""

    all: tuple[Term, ...] = ()
    none: tuple[tuple[Term, ...], ...] = ()


@dataclass(frozen=True)
class Nouns:
    """The nouns to search; ``others`` are all other nouns, if they are known and have fewer entries."""

    names: tuple[str, ...]
    others: tuple[str, ...] | None = None


class FullTextEngine(ABC):
    """How one kind of database holds the index.

    ``key`` names the column of the revision's version, ``columns`` are the other columns, and ``stored`` reads those back as
    `row` wrote them. ``exact``: a match is always of the nouns that were searched.
    """

    key: str
    exact: bool
    columns: Sequence[Any]
    stored: Sequence[ColumnElement[str]]

    def __init__(self) -> None:
        """Describe the table; it has no model, because its columns differ between the databases."""
        self.version = column(self.key, BigInteger)
        self.table = table(TABLE, self.version, *self.columns)

    def versions(self, condition: ColumnElement[bool]) -> Select[int]:
        """Return a SELECT of the versions of the entries that meet a condition."""
        return select(self.version).select_from(self.table).where(condition).correlate(None)

    @abstractmethod
    def row(self, entry: IndexEntry) -> dict[str, str]:
        """Return an entry as values of the columns, without its version."""

    @abstractmethod
    def matches(self, query: TermQuery, kinds: Nouns) -> tuple[str, ...]:
        """Return match expressions; the entries of these nouns that a query finds meet all of them."""

    @abstractmethod
    def begins(self, typed: Sequence[Beginnings], kinds: Nouns) -> tuple[str, ...]:
        """Return match expressions; entries of these nouns meet all of them if their names have all words of a phrase.

        A name has a word if one of its words has one of the word's beginnings.
        """

    @abstractmethod
    def condition(
        self, texts: Sequence[ColumnElement[str]], kinds: Sequence[str], *, by_words: bool = False
    ) -> ColumnElement[bool]:
        """Return the condition that an entry of these nouns meets all of these match expressions.

        With ``by_words``, no index but that of words can find the entries.
        """

    @abstractmethod
    def clear(self, session: Session) -> None:
        """Delete all entries, even from a damaged index."""

    @abstractmethod
    def torn(self, session: Session) -> bool:
        """Tell whether the index that searches read differs from the entries that it was made from."""
