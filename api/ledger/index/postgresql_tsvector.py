"""Full text on PostgreSQL: a column of type tsvector with a GIN index."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, String, and_, cast, column, delete, literal
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.orm import Session

from api.ledger.index.engine import FullTextEngine, Nouns, TermQuery
from api.ledger.index.entries import IndexEntry
from api.ledger.index.typos import Beginnings
from api.ledger.index.words import GAP, IN_NAME, IN_TITLE, Term


class PostgresqlTsvector(FullTextEngine):
    """The index on PostgreSQL: vectors and queries are written as literals, so no dictionary changes their words."""

    key, exact = "version", True
    columns = (column("kind", String), column("vector", TSVECTOR))
    stored = (columns[0], cast(columns[1], String))
    # The positions of the first word of the title and of the body, far enough apart that no phrase matches across both. Words
    # have no weights, because a search by weight has to read the vectors themselves and not only the GIN index.
    title, body = 1, 2_000

    def row(self, entry: IndexEntry) -> dict[str, str]:
        """Return the noun, and a tsvector as a literal."""
        positions = defaultdict(list)
        for prefix, start, words in (
            ("", self.title, entry.title),
            (IN_TITLE, self.title, entry.title),
            ("", self.body, entry.body),
            (IN_NAME, self.title, entry.name),
        ):
            for position, word in enumerate(words, start):
                if word != GAP:
                    positions[prefix + word].append(str(position))
        # In the order of PostgreSQL's own output, by code point, so that a stored vector reads as it was written.
        vector = " ".join(f"'{word}':{','.join(places)}" for word, places in sorted(positions.items()))
        return {"kind": entry.kind, "vector": vector}

    def matches(self, query: TermQuery, kinds: Nouns) -> tuple[str, ...]:  # noqa: ARG002 - `condition` compares the column
        """Return a tsquery for each required term; the first also has the excluded groups."""
        terms = [*map(self._expression, query.all)]
        groups = [f"!({' & '.join(map(self._expression, group))})" for group in query.none]
        # A GIN index intersects the results of several conditions faster than it evaluates one compound query.
        return (" & ".join([*terms[:1], *groups]), *terms[1:])

    def begins(self, typed: Sequence[Beginnings], kinds: Nouns) -> tuple[str, ...]:  # noqa: ARG002 - `condition` compares the column
        """Return one tsquery, with a prefix for each beginning."""
        return (_any([" & ".join(_any([f"'{IN_NAME}{start}':*" for start in word]) for word in phrase) for phrase in typed]),)

    def condition(
        self, texts: Sequence[ColumnElement[str]], kinds: Sequence[str], *, by_words: bool = False
    ) -> ColumnElement[bool]:
        """Compare the noun, as an expression if its index must not be used, and match the vector with each tsquery."""
        column, vector = self.columns
        kind = column + "" if by_words else column
        one, *more = [literal(name) for name in kinds]
        is_of_kinds = kind.in_([one, *more]) if more else kind == one
        return and_(is_of_kinds, *[vector.bool_op("@@")(cast(text, TSQUERY)) for text in texts])

    def _expression(self, term: Term) -> str:
        forms, in_title = term
        prefix = IN_TITLE if in_title else ""
        return _any([" <-> ".join(f"'{prefix}{word}'" for word in phrase) for phrase in forms])

    def clear(self, session: Session) -> None:
        """Delete every entry."""
        # Not TRUNCATE: readers with an older snapshot would see an empty table.
        session.execute(delete(self.table))

    def torn(self, session: Session) -> bool:  # noqa: ARG002 - FTS5 alone can be damaged in this way
        """Return False: a GIN index is part of the database, which keeps it in step with its table."""
        return False


def _any(expressions: Sequence[str]) -> str:
    """Return the tsquery that any of these matches."""
    return "(" + " | ".join(f"({one})" if len(expressions) > 1 else one for one in expressions) + ")"
