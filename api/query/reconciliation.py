"""Reconciliation: the records that names in a table of others mean, as the W3C protocol asks for them.

https://reconciliation-api.github.io/specs/0.2/
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy.orm import Session

from api.ledger.index.matching import Candidate, Directory, key_of
from api.ledger.index.states import code_of
from api.query.directories import NAMED, Directories
from api.resources import BY_NAME
from api.schema.resource import Field, Resource

DEFAULT_CANDIDATES = 5
# Records that have all values of a query without a name are as likely as each other.
UNNAMED = 0.5
# How values of a member are read as people write them.
READERS: Mapping[str, Callable[[str], str]] = {
    "state": lambda text: code_of(text) or text.upper(),
    "country": str.upper,
}


def properties(nouns: Sequence[Resource] = NAMED) -> Mapping[str, Field]:
    """Return the members that tell records of one name apart: those that can be given with a name."""
    return {name: noun.fields[name] for noun in nouns for name in key_of(noun) if name != noun.label.key}


@dataclass(frozen=True)
class Lookup:
    """A query: a name, values of properties, or both. A value is a text, or a record's ``id`` and ``name``."""

    text: str | None
    nouns: Sequence[Resource] = NAMED
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limit: int = DEFAULT_CANDIDATES


class Answer(NamedTuple):
    """A candidate of a noun, its name without what tells it apart, and whether it is certainly meant."""

    noun: Resource
    candidate: Candidate
    name: str
    details: str
    match: bool


def entity_id(noun: Resource, id: str) -> str:
    """Return what identifies a record among those of all nouns: its address without the host."""
    return f"{noun.name}/{id}"


def answer(session: Session, directories: Directories, lookup: Lookup) -> list[Answer]:
    """Return the candidates of a query, the best first; a match is the only record of all nouns that has the name."""
    found = [
        (noun, directory, candidate)
        for noun in lookup.nouns
        for directory in [directories.of(session, noun)]
        for candidate in _candidates(session, directories, directory, lookup)
    ]
    found.sort(key=lambda row: (-row[2].score, row[2].id))
    is_one = sum(candidate.exact for _, _, candidate in found) == 1
    return [_answer(noun, directory, candidate, match=candidate.exact and is_one) for noun, directory, candidate in found][
        : lookup.limit
    ]


def _answer(noun: Resource, directory: Directory, candidate: Candidate, *, match: bool) -> Answer:
    entry = directory.by_id[candidate.id]
    details = [str(value) for value in reversed([*entry.values.values()]) if value is not None]
    return Answer(noun, candidate, entry.names[0], ", ".join(details), match)


def _candidates(session: Session, directories: Directories, directory: Directory, lookup: Lookup) -> list[Candidate]:
    hints = {name: _hint(session, directories, directory.noun, name, values) for name, values in lookup.values.items()}
    if lookup.text is None:
        known = {name for name in hints if name in key_of(directory.noun)}
        agreeing = directory.agreeing(hints) if known == {*hints} else []
        return [Candidate(entry.id, entry.label, UNNAMED, exact=False) for entry in agreeing[: lookup.limit]]
    return directory.match(lookup.text, hints)


def _hint(session: Session, directories: Directories, noun: Resource, name: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a property as records have them; a reference can be written as a name."""
    relation = noun.relation(name)
    if relation is None or relation.to is None:
        return tuple(READERS.get(name, str)(value) for value in values)
    others = directories.of(session, BY_NAME[relation.to])
    return tuple(candidate.id for value in values for candidate in others.exact(value))
