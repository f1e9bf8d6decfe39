"""The labels of records: what a reader calls them."""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from cachetools import LRUCache, cached
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db import statements
from api.db.statements import Among, of_ids
from api.ledger import head, history
from api.ledger.models import CURRENT, Revision
from api.resources import BY_NAME
from api.schema.canonical import Content

# Captions of one facet are the same for each filter of a sidebar, and each is made of several documents.
FACETS = 100


@dataclass(frozen=True)
class Hit:
    """A record as it was published."""

    kind: str
    id: str
    document: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """The document, parsed."""
        content: dict[str, Any] = json.loads(self.document)
        return content

    @property
    def name(self) -> str:
        """The name or title; the id if the document has none, since it was erased or has the shape of an earlier release."""
        return str(self.record.get(BY_NAME[self.kind].label.key) or self.id)

    @property
    def names(self) -> Sequence[str]:
        """The name or title, and the aliases."""
        return self.name, *self.record.get("aliases", ())


def names_of(session: Session, noun: str, ids: Sequence[str]) -> dict[str, str]:
    """Return what records of a noun are called, by id."""
    resource = BY_NAME[noun]
    if resource.caption:
        return dict(_captions(session, noun, tuple(ids)))
    model: Any = resource.model
    rows = of_ids(
        session, ("labels", noun), ids, lambda among: select(model.id, resource.label).where(among.condition(model.id))
    )
    return {row[0]: row[1] for row in rows}


def _state_of(session: Session, noun: str, ids: Sequence[str]) -> object:
    state = head.state(session)
    return state.chain, state.cuts, noun, ids


@cached(LRUCache(FACETS), key=_state_of, lock=Lock())
def _captions(session: Session, noun: str, ids: Sequence[str]) -> Mapping[str, str]:
    hits = [Hit(noun, id, document) for id, document in _documents(session, noun, ids)]
    return {hit.id: label for hit, label in zip(hits, labels(session, hits), strict=True)}


def hits_of(session: Session, noun: str, ids: Sequence[str]) -> list[Hit]:
    """Return published records of a noun, in the order of the ids; those that do not exist are left out."""
    documents = dict(map(tuple, _documents(session, noun, ids))) if ids else {}
    return [Hit(noun, id, documents[id]) for id in ids if id in documents]


def named(session: Session, references: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the labels of published records by their nouns and ids; those that do not exist are left out."""
    by_noun = _by_noun(references)
    hits = [Hit(noun, id, document) for noun in by_noun for id, document in _documents(session, noun, by_noun[noun])]
    return {(hit.kind, hit.id): label for hit, label in zip(hits, labels(session, hits), strict=True)}


def called_last(session: Session, references: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the labels of deleted records by their nouns and ids: what they were called last, as far as that is known."""
    by_noun = _by_noun(references)
    hits = [
        Hit(noun, id, document) for noun in by_noun for id, document in history.last_documents(session, noun, by_noun[noun])
    ]
    return {(hit.kind, hit.id): label for hit, label in zip(hits, labels(session, hits), strict=True)}


def _by_noun(references: Iterable[tuple[str, str]]) -> Mapping[str, Sequence[str]]:
    ids: dict[str, set[str]] = defaultdict(set)
    for noun, id in references:
        ids[noun].add(id)
    return {noun: sorted(ids[noun]) for noun in sorted(ids)}


def labels(session: Session, hits: Sequence[Hit]) -> list[str]:
    """Return the caption of each record, or its name or title with the name of the city that it belongs to."""
    parts, ids = [_of(hit) for hit in hits], defaultdict[str, set[str]](set)
    for noun, id in itertools.chain.from_iterable(of.values() for of in parts):
        ids[noun].add(id)
    related = {
        (noun, id): json.loads(document) for noun in ids for id, document in _documents(session, noun, sorted(ids[noun]))
    }
    captions = [
        _captioned(hit, {member: related.get(reference) for member, reference in of.items()})
        for hit, of in zip(hits, parts, strict=True)
    ]
    others = [hit for hit, caption in zip(hits, captions, strict=True) if caption is None]
    cities = names_of(session, "cities", sorted({hit.record["city"] for hit in others if hit.record.get("city")}))
    return [caption or _with_city(hit, cities) for hit, caption in zip(hits, captions, strict=True)]


def _of(hit: Hit) -> Mapping[str, tuple[str, str]]:
    """Return the nouns and ids of the records that the caption of a record is made of, by the members that refer to them."""
    caption, record = BY_NAME[hit.kind].caption, hit.record
    return {member: (noun, record[member]) for member, noun in caption.of.items() if record.get(member)} if caption else {}


def _captioned(hit: Hit, others: Mapping[str, Content | None]) -> str | None:
    """Return the caption of a record; None if it has none, or if it or a record that it refers to is gone."""
    caption = BY_NAME[hit.kind].caption
    if caption is None or not hit.record or others.keys() != caption.of.keys() or not all(others.values()):
        return None
    return caption.text(hit.record, **others)


def _with_city(hit: Hit, cities: Mapping[str, str]) -> str:
    return f"{hit.name} ({city})" if (city := cities.get(hit.record.get("city", ""))) else hit.name


def _documents(session: Session, noun: str, ids: Sequence[str]) -> Sequence[Any]:
    """Return the ids and the published documents of records."""

    def build(among: Among) -> Any:
        current = (Revision.kind == statements.constant(noun), among.condition(Revision.id), *CURRENT)
        return select(Revision.id, Revision.document).where(*current)

    return of_ids(session, ("documents", noun), ids, build)
