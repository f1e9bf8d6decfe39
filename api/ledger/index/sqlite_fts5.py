"""Full text on SQLite: a virtual table of FTS5."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, String, and_, column, literal_column, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from api.ledger.index.engine import TABLE, FullTextEngine, Nouns, TermQuery
from api.ledger.index.entries import IndexEntry
from api.ledger.index.typos import Beginnings
from api.ledger.index.words import IN_NAME, Term


class SqliteFts5(FullTextEngine):
    """The index on SQLite: words separated by spaces, which the ``ascii`` tokenizer takes as they are.

    The noun is a word of a column of its own, so a word that is rare in one noun is found quickly even if it is frequent in
    others. FTS5 reads the whole posting list of that word, so the largest noun is better expressed as "not the others".
    """

    key, exact = "rowid", False
    columns = stored = (column("title", String), column("body", String), column("name", String), column("noun", String))

    def row(self, entry: IndexEntry) -> dict[str, str]:
        """Return the words of each column, separated by spaces."""
        name = [IN_NAME + word for word in entry.name]
        words_by_column = {"title": entry.title, "body": entry.body, "name": name, "noun": [entry.kind]}
        return {column: " ".join(words) for column, words in words_by_column.items()}

    def matches(self, query: TermQuery, kinds: Nouns) -> tuple[str, ...]:
        """Return one query of FTS5."""
        groups = [f"({' AND '.join(map(self._expression, group))})" for group in query.none]
        return self._query_text([*map(self._expression, query.all)], groups, kinds)

    def begins(self, typed: Sequence[Beginnings], kinds: Nouns) -> tuple[str, ...]:
        """Return one query of FTS5, with a prefix for each beginning."""
        phrases = [" AND ".join(_any([f'"{IN_NAME}{start}" *' for start in word]) for word in phrase) for phrase in typed]
        return self._query_text([f"name : {_any(phrases)}"], [], kinds)

    def condition(
        self,
        texts: Sequence[ColumnElement[str]],
        kinds: Sequence[str],  # noqa: ARG002 - the expressions have them
        *,
        by_words: bool = False,  # noqa: ARG002 - there is no other index
    ) -> ColumnElement[bool]:
        """Return a MATCH for each query."""
        return and_(*[literal_column(TABLE).bool_op("match")(text) for text in texts])

    def _query_text(self, positive: Sequence[str], negative: Sequence[str], kinds: Nouns) -> tuple[str, ...]:
        # FTS5's NOT is binary, so a query cannot begin with it.
        if kinds.others is None or not positive:
            positive = [self._noun_in(kinds.names), *positive]
        elif kinds.others:
            negative = [*negative, self._noun_in(kinds.others)]
        query = f"({' AND '.join(positive)})"
        return (f"{query} NOT ({' OR '.join(negative)})" if negative else query,)

    def _noun_in(self, names: Sequence[str]) -> str:
        return "noun : ({})".format(" OR ".join(f'"{name}"' for name in names))

    def _expression(self, term: Term) -> str:
        forms, in_title = term
        phrases = _any([f'"{" ".join(phrase)}"' for phrase in forms])
        return f"{'title' if in_title else '{title body}'} : {phrases}"

    def clear(self, session: Session) -> None:
        """Empty the table of the entries, and rebuild the index from it."""
        # Deleting entry by entry would rely on each entry to say which words the index holds for it.
        session.execute(text("delete from search_index_content"))
        session.execute(text("insert into search_index(search_index) values ('rebuild')"))

    def torn(self, session: Session) -> bool:
        """Compare the words in the index, as fts5vocab lists them, with those of the entries."""
        connection = session.connection()
        connection.exec_driver_sql("create virtual table temp.search_words using fts5vocab(main, search_index, instance)")
        try:
            indexed = sum(map(hash, connection.exec_driver_sql("select term, doc, col, offset from search_words")))
        except DatabaseError:
            return True
        finally:
            connection.exec_driver_sql("drop table temp.search_words")
        return indexed != sum(map(hash, self._occurrences(session)))

    def _occurrences(self, session: Session) -> Iterator[tuple[str, int, str, int]]:
        """Yield each word of each entry as FTS5 indexes it: the word, the version, the column and the position."""
        for version, *texts in session.connection().execute(select(self.version, *self.stored)):
            for name, joined in zip(("title", "body", "name", "noun"), texts, strict=True):
                for offset, word in enumerate((joined or "").split()):
                    yield word, version, name, offset


def _any(expressions: Sequence[str]) -> str:
    """Return the expression that any of these matches."""
    return "(" + " OR ".join(f"({one})" if len(expressions) > 1 else one for one in expressions) + ")"
