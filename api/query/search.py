"""The SQL behind `/search` and `/suggest`: records of every noun, and those that an id was probably meant to be."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, func, literal, select, type_coerce, union_all
from sqlalchemy.orm import Session

from api.db import statements
from api.ledger import head
from api.ledger.index import fulltext, words
from api.ledger.models import Revision
from api.query import cursors, plan, sets
from api.query.language import CAP, SEARCHABLE, SUGGESTED, Find
from api.query.lists import counted, is_of, limited
from api.resources import BY_NAME
from api.schema.fields import MAX_INTEGER

CONSIDERED = 100


@dataclass(frozen=True)
class Hit:
    """A record that was found."""

    kind: str
    id: str
    document: str


def find(session: Session, asked: Find) -> tuple[list[Hit], str | None]:
    """Return a page of the records of every noun that a search finds, the best first, and the next page's cursor."""
    signature = cursors.digest(["search", repr(asked.search), sorted(asked.kinds)])
    places = cursors.decode(asked.cursor, signature, (int, int, int)) if asked.cursor else []
    rows: list[Any] = []
    for tier, wanted in fulltext.tiers(asked.search).items():
        if not places or tier >= places[0]:
            behind = places if places and tier == places[0] else (tier, *START)
            rows += _newest(session, partial(fulltext.matching, wanted), asked.kinds, asked.limit + 1 - len(rows), behind)
        if len(rows) > asked.limit:
            break
    hits = [Hit(row[0], row[1], row[2] or "") for row in rows[: asked.limit]]
    return hits, cursors.encode(signature, rows[asked.limit - 1][3:]) if len(rows) > asked.limit else None


# Before the first noun's newest record.
START = (0, MAX_INTEGER)


def _newest(
    session: Session, lookup: Callable[..., fulltext.Lookup], kinds: Sequence[str], limit: int, behind: Sequence[int]
) -> list[Any]:
    """Return so many entries of each noun that are found, noun by noun and the newest first, behind a place and a version.

    As kind, id and document, and then the tier, the place of the noun, and the version.
    """
    statements.replan(session)
    tier, place, version = behind
    dialect = session.get_bind().dialect.name
    lookups = {
        n: lookup(plan.nouns(session, (resource.name,)), dialect, mark=f"q{n}_")
        for n, resource in enumerate(SEARCHABLE)
        if resource.name in kinds and n >= place
    }
    if not lookups:
        return []
    values: dict[str, Any] = {f"below{n}": version if n == place else MAX_INTEGER for n in lookups}
    for found in lookups.values():
        values |= found.values
    shape = ("newest", *[(n, found.shape) for n, found in lookups.items()])
    return statements.rows(session, shape, partial(_first, lookups, dialect), values | {"limit": limit, "tier": tier})


def _first(lookups: Mapping[int, fulltext.Lookup], dialect: str) -> Any:
    engine = fulltext.ENGINES[dialect]
    parts = []
    for n, lookup in lookups.items():
        tier = bindparam("tier", type_=BigInteger()).label("tier")
        place = type_coerce(literal(n), BigInteger()).label("place")
        revision = (Revision.kind, Revision.id, Revision.document, tier, place)
        below = engine.version < bindparam(f"below{n}", type_=BigInteger())
        found = select(engine.version.label("version")).select_from(engine.table).where(lookup.condition(), below)
        found = found.order_by(engine.version.desc()).limit(limited())
        if engine.exact:
            entries = found.subquery()
            parts.append(select(*revision, entries.c.version).join(entries, entries.c.version == Revision.version))
        else:
            # An entry may be of a noun that was not left out: as many as are wanted are those whose record is of this one.
            own = and_(Revision.version == engine.version + 0, is_of(SEARCHABLE[n]))
            found_there = found.with_only_columns(*revision, engine.version.label("version")).join(Revision, own)
            parts.append(select(*found_there.subquery().c))
    every = union_all(*parts).subquery()
    return select(*every.c).order_by(every.c.place, every.c.version.desc())


def find_total(session: Session, asked: Find) -> tuple[int | None, str | None]:
    """Count what a search finds, as `total` does a list."""
    if asked.count == "none":
        return None, None
    if head.state(session).indexed:
        with suppress(sets.NotIndexedError):
            return counted(len(sets.found(session, sorted(asked.kinds), asked.search)), asked.count)
    statements.replan(session)
    most = CAP + 1 if asked.count == "capped" else None
    dialect = session.get_bind().dialect.name
    lookup = fulltext.matching(fulltext.term_query(asked.search), plan.nouns(session, asked.kinds), dialect)

    def build() -> Any:
        found = fulltext.ENGINES[dialect].versions(lookup.condition())
        return select(func.count()).select_from((found if most is None else found.limit(limited("most"))).subquery())

    shape = ("found", lookup.shape, most is None)
    ((number,),) = statements.rows(session, shape, build, lookup.values | {"most": most})
    return counted(number, asked.count)


def suggest(session: Session, asked: Find) -> list[Hit]:
    """Return the records whose names have words that begin as typed: names that begin so first, then by noun and name."""
    # A letter or two begin words without end: the newest of so many are good enough, until more is typed.
    rows = _newest(session, partial(fulltext.prefixed, asked.text), asked.kinds, CONSIDERED, (0, *START))
    hits = [Hit(row[0], row[1], row[2] or "") for row in rows]
    order = [resource.name for resource in SUGGESTED]
    typed = " ".join(words.words(asked.text))

    def key(hit: Hit) -> tuple[bool, int, str, str]:
        name = label(hit)
        return not " ".join(words.words(name)).startswith(typed), order.index(hit.kind), name, hit.id

    return sorted(hits, key=key)[: asked.limit]


def label(hit: Hit) -> str:
    """Return what a reader calls a record."""
    return str(json.loads(hit.document)[BY_NAME[hit.kind].label.key])
