"""Finds records by their names as people write them: all records with that name, and those with a similar one.

Names are the same if they differ only in case, accents, signs, spaces and abbreviations such as St. for Saint. A member of the
noun's key tells records of one name apart, such as the state of a city.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rapidfuzz import fuzz, process
from sqlalchemy import UniqueConstraint, select
from sqlalchemy.orm import Session

from api.ledger.index.abbreviations import written_out
from api.ledger.index.folding import fold
from api.ledger.index.states import split_city
from api.schema.resource import Resource

# A name that is less similar is no candidate; one that contradicts a hint is worth this much of its likeness. Only the same
# name has a likeness of 1, so the same words in another order have less.
LEAST, CONTRADICTED, MOST_LIKE = 0.7, 0.9, 0.99
MOST = 5


@dataclass(frozen=True)
class Candidate:
    """A record that a text can mean; ``exact``: it has that name, and contradicts no hint."""

    id: str
    name: str
    score: float
    exact: bool


@dataclass(frozen=True)
class Entry:
    """A record with its names, the one that is shown first, and the members that tell records of one name apart."""

    id: str
    names: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name with the values that tell it apart: Boston, US, MA."""
        return ", ".join([*self.names[:1], *(str(value) for value in self.values.values() if value is not None)])


def spelled(text: str) -> str:
    """Return a text that names have in common if people take them for the same."""
    return "".join(character for character in fold(written_out(text)) if character.isalnum())


def _named_alike(name: str) -> str:
    """Return what names have in common that are the same; those without a letter or a digit are compared as they are."""
    return spelled(name) or name.strip()


def worded(text: str) -> str:
    """Return the words of a text in alphabetical order: Clerk of San Diego is similar to San Diego Clerk."""
    letters = (character if character.isalnum() else " " for character in fold(written_out(text)))
    return " ".join(sorted("".join(letters).split()))


@cache
def key_of(noun: Resource) -> tuple[str, ...]:
    """Return the members that together tell the records of a noun apart: those of its table's unique constraint."""
    by_column = {row.column.property.columns[0].name: name for name, row in noun.fields.items() if "." not in name}
    constraints = (row for row in noun.model.__table__.constraints if isinstance(row, UniqueConstraint))  # type: ignore[attr-defined]
    columns = min(([column.name for column in row.columns] for row in constraints), default=[noun.label.key])
    return tuple(by_column[name] for name in columns if name in by_column)


class Directory:
    """The names of a noun's records."""

    def __init__(self, noun: Resource, entries: Iterable[Entry] = ()) -> None:
        """Begin with some entries."""
        self.noun = noun
        self.by_id: dict[str, Entry] = {}
        self.by_name: dict[str, list[Entry]] = defaultdict(list)
        self.by_words: dict[str, list[Entry]] = defaultdict(list)
        self.by_key: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        for entry in entries:
            self.add(entry)

    @classmethod
    def of(cls, session: Session, noun: Resource) -> "Directory":
        """Return the directory of the records of a noun in the database."""
        label = () if noun.label.key == "id" else (noun.label,)
        columns = {name: noun.fields[name].column for name in key_of(noun) if name != noun.label.key}
        names: dict[str, list[str]] = {}
        values: dict[str, dict[str, Any]] = {}
        for id, *row in session.execute(select(noun.model.id, *label, *columns.values()).order_by(noun.model.id)):
            names[id] = row[: len(label)]
            values[id] = dict(zip(columns, row[len(label) :], strict=True))
        aliases = noun.relation("aliases")
        if aliases is not None and aliases.target is not None:
            for id, alias in session.execute(select(aliases.owner, aliases.target)):
                names[id].append(alias)
        return cls(noun, (Entry(id, tuple(names[id]), values[id]) for id in names))

    def add(self, entry: Entry) -> None:
        """Add a record, such as one that a file will create."""
        self.by_id[entry.id] = entry
        self.by_key[_key(self.noun, entry.values)].append(entry)
        year = [f"{name} {entry.values['year']}" for name in entry.names[:1] if "year" in entry.values]
        for name in (*entry.names, *year):
            self.by_name[_named_alike(name)].append(entry)
            if words := worded(name):
                self.by_words[words].append(entry)

    def with_key(self, values: Mapping[str, Any]) -> list[Entry]:
        """Return the records with these members of the key; what the values lack, such as a country, is not compared."""
        label = self.noun.label.key
        if label == "id":
            return self.by_key.get(_key(self.noun, values), [])
        return [entry for entry in self._named(str(values.get(label))) if _agrees(entry, values)]

    def match(self, text: str, hints: Mapping[str, Any] | None = None) -> list[Candidate]:
        """Return the records that a text can mean, the best first: all with that name, or else at most `MOST` similar ones.

        ``hints`` are members of the key, such as the state of a city; a tuple has several values, and one of them is meant. A
        city is also found by `Boston, Mass.`.
        """
        return self.exact(text, hints) or self._similar(*self._told(text, hints))

    def agreeing(self, hints: Mapping[str, Any]) -> list[Entry]:
        """Return the records that have these members of the key, in the order of their names."""
        return sorted((entry for entry in self.by_id.values() if _agrees(entry, hints)), key=lambda entry: entry.label)

    def exact(self, text: str, hints: Mapping[str, Any] | None = None) -> list[Candidate]:
        """Return the records that have a text as a name, as `match` does, without looking for similar names.

        An id is a name, too, also behind its noun, as in `cities/boston-ma`.
        """
        if entry := self.by_id.get(text.removeprefix(f"{self.noun.name}/")):
            return [Candidate(entry.id, entry.label, 1.0, exact=True)]
        name, known = self._told(text, hints)
        return [Candidate(entry.id, entry.label, 1.0, exact=True) for entry in self._named(name) if _agrees(entry, known)]

    def _told(self, text: str, hints: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]]:
        """Return the name in a text, and the members of the key that it and the hints tell."""
        known = {name: value for name, value in (hints or {}).items() if value is not None}
        if "state" not in key_of(self.noun):
            return text, known
        name, state = split_city(text)
        return name, {**known, **({"state": state} if state else {})}

    def _similar(self, name: str, known: Mapping[str, Any]) -> list[Candidate]:
        scores: dict[str, float] = {}
        # Letters find a name with errors and with other spaces, sorted words one in another order.
        for wanted, names in ((_named_alike(name), self.by_name), (worded(name), self.by_words)):
            for spelling, likeness, _ in process.extract(
                wanted, list(names), scorer=fuzz.ratio, score_cutoff=100 * LEAST, limit=None
            ):
                ratio = min(likeness / 100, MOST_LIKE)
                for entry in names[spelling]:
                    score = ratio if _agrees(entry, known) else ratio * CONTRADICTED
                    scores[entry.id] = max(score, scores.get(entry.id, 0))
        best = sorted(scores, key=lambda key: (-scores[key], key))[:MOST]
        return [Candidate(id, self.by_id[id].label, round(scores[id], 2), exact=False) for id in best]

    def _named(self, name: str) -> list[Entry]:
        return [self.by_id[id] for id in dict.fromkeys(entry.id for entry in self.by_name.get(_named_alike(name), ()))]


def _key(noun: Resource, values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(values.get(name)) for name in key_of(noun))


def _agrees(entry: Entry, values: Mapping[str, Any]) -> bool:
    """Tell whether a record has these values of those members that tell its names apart."""
    return all(str(entry.values[name]) in _choices(value) for name, value in values.items() if name in entry.values)


def _choices(value: Any) -> list[str]:
    return list(map(str, value if isinstance(value, tuple) else (value,)))
