"""A second opinion on the query language: the meaning of a request, in plain Python over served documents.

It is written from the contract and the operators' descriptions, and shares no code with the application.
"""

import datetime as dt
import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from random import Random
from typing import Any

from sqlalchemy import Boolean, Column, Enum, Integer, PrimaryKeyConstraint, Table, UniqueConstraint, delete, text, update
from sqlalchemy.orm import Session

from api.db.database import Database
from api.db.types import Base
from api.ledger import models
from tests.support.databases import publishing

Document = dict[str, Any]
Conditions = Iterable[tuple[Sequence[str], str, Any]]

# The kind of each field, which decides how values compare. Fields of one name have one kind in every noun.
KINDS = {
    name: kind
    for kind, names in {
        "text": "name title label headline summary description unit alias licence attribution record column placement",
        "code": (
            "id survey city category subject_kind conducted_by parent publisher source subject_id "
            "state country field language "
            "text_sha256 sentence_sha256 status type role qualifier basis kind direction pointer scheme url value_sha256"
        ),
        "date": "started as_of period published retrieved",
        "instant": "updated_at",
        "number": (
            "latitude longitude year cities_recognized rank min_population max_population listed value part parts paragraph sentence version"
        ),
        "flag": "tied state_capital evolving",
    }.items()
    for name in names.split()
}
ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
CONNECTIVES = ("and", "or", "not")


class World:
    """All documents, by noun and id."""

    def __init__(self, documents: Mapping[str, Mapping[str, Document]]) -> None:
        """Take the documents; related records are looked up once."""
        self.documents = documents
        self._related: dict[tuple[str, str, str], list[Document]] = {}

    def all(self, noun: str) -> list[Document]:
        """Return the documents of a noun, by id."""
        return list(self.documents[noun].values())

    def related(self, noun: str, record: Document, prefix: str) -> list[Document]:
        """Return the records to which a relation leads."""
        key = (noun, record["id"], prefix)
        if key not in self._related:
            self._related[key] = WAYS[noun][prefix].find(self, record)
        return self._related[key]


# --- relations of the nouns, derived from their documents

Find = Callable[[World, Document], list[Document]]


@dataclass(frozen=True)
class Way:
    """A relation: its name in `include`, the noun (or the part) that it leads to, and the way there.

    ``many``: its name is a filter by this key of the related records.
    """

    name: str
    to: str
    find: Find
    many: bool = True
    key: str = "id"


def _one(name: str, to: str) -> Way:
    """Return the way to the one record that a member names, if it does."""
    return Way(name, to, lambda world, record: [world.documents[to][record[name]]] if record[name] else [], many=False)


def _back(name: str, to: str, member: str) -> Way:
    """Return the way to the records with a member that names this one."""
    return Way(name, to, lambda world, record: [other for other in world.all(to) if other[member] == record["id"]])


def _each(name: str, to: str) -> Way:
    """Return the way to the records that a list names."""
    return Way(name, to, lambda world, record: [world.documents[to][id] for id in record[name]])


def _listing(name: str, to: str, member: str) -> Way:
    """Return the way to the records with a list that names this one."""
    return Way(name, to, lambda world, record: [other for other in world.all(to) if record["id"] in other[member]])


def _texts(name: str, key: str) -> Way:
    """Return the way to the items of a list of texts, as rows with one member."""
    return Way(name, "", lambda _, record: [{key: item} for item in record[name]], key=key)


def _object(name: str, *members: str) -> Way:
    """Return the way to the values of an object, which are null without it."""
    return Way(name, "", lambda _, record: [record[name] or dict.fromkeys(members)], many=False)


def _part(name: str, key: str = "") -> Way:
    """Return the way to the rows of a part."""
    return Way(name, "", lambda _, record: record[name], many=bool(key), key=key)


def _warrants(noun: str) -> Way:
    """Return the way to the citations of a record."""
    return Way(
        "citations",
        "citations",
        lambda world, record: [
            other for other in world.all("citations") if (other["subject_kind"], other["subject_id"]) == (noun, record["id"])
        ],
    )


def _bases() -> Way:
    """Return the way to the facts of a record that are not plainly stated."""
    return Way(
        "bases", "", lambda _, record: [{"field": key, "basis": basis} for key, basis in record["basis"].items()], key="basis"
    )


def _partners(world: World, initiative: Document) -> list[Document]:
    """Return an organization for each role that it has in an initiative."""
    return [{**world.documents["organizations"][row["organization"]], "role": row["role"]} for row in initiative["partners"]]


def _partnerships(world: World, organization: Document) -> list[Document]:
    """Return an initiative for each role that an organization has in it."""
    rows = ((initiative, row) for initiative in world.all("initiatives") for row in initiative["partners"])
    return [{**initiative, "role": row["role"]} for initiative, row in rows if row["organization"] == organization["id"]]


def _places(world: World, priority: Document) -> list[Document]:
    """Return the surveys that list a priority, with its number in each list."""
    return [{**world.documents["surveys"][row["survey"]], "listed": row["listed"]} for row in priority["surveys"]]


def _competitors(world: World, survey: Document) -> list[Document]:
    """Return the cities that compete in any category of a survey."""
    ids = {id for category in survey["categories"] for id in category["also_competing"]}
    return [world.documents["cities"][id] for id in sorted(ids)]


WAYS: Mapping[str, Mapping[str, Way]] = {
    "": {},
    "surveys": {
        "conducted_by": _one("conducted_by", "organizations"),
        "award": _back("awards", "awards", "survey"),
        "priority": _each("priorities", "priorities"),
        "competitor": Way("competitors", "cities", _competitors),
        "state": _part("states", "state"),
        "category": _part("categories", "category"),
        "incomplete": _texts("incomplete", "pointer"),
        "basis": _bases(),
        "citation": _warrants("surveys"),
    },
    "cities": {
        "award": _back("awards", "awards", "city"),
        "initiative": _back("initiatives", "initiatives", "city"),
        "organization": _back("organizations", "organizations", "city"),
        "location": _object("location", "latitude", "longitude"),
        "alias": _texts("aliases", "alias"),
        "identifier": _part("identifiers"),
        "basis": _bases(),
        "citation": _warrants("cities"),
    },
    "awards": {
        "survey": _one("survey", "surveys"),
        "city": _one("city", "cities"),
        "initiative": _listing("initiatives", "initiatives", "awards"),
        "basis": _bases(),
        "citation": _warrants("awards"),
    },
    "initiatives": {
        "city": _one("city", "cities"),
        "parent": _one("parent", "initiatives"),
        "child": _back("children", "initiatives", "parent"),
        "award": _each("awards", "awards"),
        "priority": _each("priorities", "priorities"),
        "partner": Way("partners", "organizations", _partners),
        "metric": _part("metrics"),
        "alias": _texts("aliases", "alias"),
        "incomplete": _texts("incomplete", "pointer"),
        "basis": _bases(),
        "citation": _warrants("initiatives"),
    },
    "priorities": {
        "survey": Way("surveys", "surveys", _places),
        "initiative": _listing("initiatives", "initiatives", "priorities"),
        "basis": _bases(),
        "citation": _warrants("priorities"),
    },
    "organizations": {
        "parent": _one("parent", "organizations"),
        "child": _back("children", "organizations", "parent"),
        "city": _one("city", "cities"),
        "initiative": Way("initiatives", "initiatives", _partnerships),
        "survey": _back("surveys", "surveys", "conducted_by"),
        "source": _back("sources", "sources", "publisher"),
        "alias": _texts("aliases", "alias"),
        "identifier": _part("identifiers"),
        "basis": _bases(),
        "citation": _warrants("organizations"),
    },
    "sources": {"publisher": _one("publisher", "organizations"), "basis": _bases(), "citation": _warrants("sources")},
    "citations": {"source": _one("source", "sources"), "locator": _object("locator", "record", "column")},
}


# --- meaning of a date

SEASONS = {"21": "03 04 05", "22": "06 07 08", "23": "09 10 11", "24": "12 01 02"}


def _of_years(years: Iterable[int]) -> list[dt.date]:
    known = [year for year in years if year <= dt.MAXYEAR]
    return [dt.date(year, 1, 1) + dt.timedelta(number) for year in known for number in range(365 + is_leap(year))]


def is_leap(year: int) -> bool:
    """Tell whether a year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def possible(date: str) -> list[dt.date]:
    """Return all days that a date of EDTF, without an interval, can mean; in the year 2000, if the year is not known."""
    written = re.sub("^XXXX", "2000", date.rstrip("?~%"))
    years = [year for year in range(1, 10_000) if fits(written[:4], f"{year:04}")]
    if (season := written[5:]) in SEASONS and "X" in date:
        return []
    if season in SEASONS:
        days = [day for day in _of_years([*years, years[0] + 1]) if f"{day:%m}" in SEASONS[season].split()]
        # Winter begins in December of its year.
        return [day for day in days if (day.year == years[0]) != (season == "24" and day.month < 12)]
    return [day for day in _of_years(years) if fits(written, day.isoformat()[: len(written)])]


def fits(digits: str, text: str) -> bool:
    """Tell whether a text has these digits, where `X` is any."""
    return all(digit in {"X", other} for digit, other in zip(digits, text, strict=True))


@cache
def period(date: str | None) -> tuple[dt.date, dt.date] | None:
    """Return the earliest and the latest day of a date; None if its year is not known."""
    if date is None or date.startswith("XXXX"):
        return None
    ends = [[] if end.rstrip("?~%") in {"", ".."} else possible(end) for end in date.split("/")]
    return min(ends[0], default=dt.date.min), max(ends[-1], default=dt.date.max)


@cache
def month(date: str | None) -> int | None:
    """Return the month of all days of a date; None if they are in several."""
    if date is None or (".." in date or date.startswith("/") or date.endswith("/")):
        return None
    if "/" in date:
        ends = {f"{day.year:04}-{day:%m}" for day in period(date) or ()}
        return int(ends.pop()[5:]) if len(ends) == 1 else None
    # A season has three months, even where the calendar ends in its first.
    months = {day.month for day in possible(date)} if date.rstrip("?~%")[5:] not in SEASONS else set()
    return months.pop() if len(months) == 1 else None


def _compares_dates(operator: str, have: str | None, value: Any) -> bool:
    """Compare periods: equal ones have the same ends, and the order is that of the earliest days."""
    held = period(have)
    if operator == "month":
        return month(have) in value
    if operator in {"", "not"}:
        return (held is not None and held in map(period, value)) == (operator == "")
    if held is None:
        return False
    if operator == "startswith":
        return all(f"{day.year:04}-{day:%m-%d}".startswith(value) for day in held)
    ends = period(value)
    assert ends
    first, last = ends
    return bool({"gt": held[0] > last, "gte": held[0] >= first, "lt": held[0] < first, "lte": held[0] <= last}[operator])


# --- meaning of a filter


def parsed(name: str) -> tuple[list[str], str]:
    """Split a filter's name into the path to its field, and its operator."""
    path, _, operator = name.partition("__")
    return path.split("."), operator


def member(record: Document, name: str) -> Any:
    """Return the value of a field."""
    name, _, below = name.partition(".")
    value = record[name]
    return (value or {}).get(below) if below else value


def _compares(name: str, operator: str, have: Any, value: Any) -> bool:
    # An id elsewhere has a `value`, too.
    kind = "text" if name == "value" and isinstance(have, str) else KINDS[name]
    if operator == "isnull":
        return (have is None) is value
    if kind == "date":
        return _compares_dates(operator, have, value)
    if operator in {"", "not"}:
        # Null equals no value.
        return bool(have in value) == (operator == "")
    if have is None:
        return False
    if operator in {"contains", "startswith"}:
        if kind == "text":
            have, value = have.translate(ASCII_LOWER), value.translate(ASCII_LOWER)
        return bool(value in have if operator == "contains" else have.startswith(value))
    if kind == "instant":
        have, value = dt.datetime.fromisoformat(have), dt.datetime.fromisoformat(value)
    return bool({"gt": have > value, "gte": have >= value, "lt": have < value, "lte": have <= value}[operator])


def _all(world: World, noun: str, record: Document, conditions: Conditions) -> bool:
    """Tell whether conditions hold; those with the same first relation must hold for the same related record."""
    steps: dict[str, list[tuple[Sequence[str], str, Any]]] = defaultdict(list)
    for (first, *rest), operator, value in conditions:
        way = WAYS[noun].get(first)
        if rest:
            steps[first].append((rest, operator, value))
        elif way is None or not way.many:
            if not _compares(first, operator, member(record, first), value):
                return False
        elif operator == "isnull":
            if bool(world.related(noun, record, first)) == value:
                return False
        elif operator == "not":
            if any(other[way.key] in value for other in world.related(noun, record, first)):
                return False
        else:
            steps[first].append(([way.key], operator, value))
    return all(
        any(_all(world, WAYS[noun][first].to, other, below) for other in world.related(noun, record, first))
        for first, below in steps.items()
    )


def matches(world: World, noun: str, record: Document, expression: Mapping[str, Any]) -> bool:
    """Tell whether a record matches an expression of `filter=`. Flat filters are an object of it."""
    conditions = [(*parsed(name), value) for name, value in expression.items() if name not in CONNECTIVES]
    several = [(path, operator, _listed(operator, value)) for path, operator, value in conditions]
    return (
        _all(world, noun, record, several)
        and all(matches(world, noun, record, below) for below in expression.get("and", []))
        and ("or" not in expression or any(matches(world, noun, record, below) for below in expression["or"]))
        and ("not" not in expression or not matches(world, noun, record, expression["not"]))
    )


def _listed(operator: str, value: Any) -> Any:
    return value if operator not in {"", "not", "month"} or isinstance(value, list) else [value]


# --- other parts of a request


def ordered(records: Iterable[Document], keys: Sequence[str], at: tuple["World", str] | None = None) -> list[Document]:
    """Order records: nulls last both ways, then by id in the direction of the last key; times order by version.

    Dates order by their earliest day, then by their latest; those of an unknown year are last, with the nulls. ``at`` is the
    world and the noun of the records, for keys of related records that are not members of the records already.
    """
    rows = list(records)
    last = "-" if keys and keys[-1].startswith("-") else ""
    for key in reversed([*keys, f"{last}id"]):
        name = key.removeprefix("-")
        name = "version" if name == "updated_at" else name
        places = [(_place(record, name, at), record) for record in rows]
        there = sorted((row for row in places if row[0] is not None), key=itemgetter(0), reverse=key.startswith("-"))
        rows = [record for _, record in [*there, *(row for row in places if row[0] is None)]]
    return rows


def _place(record: Document, name: str, at: tuple["World", str] | None) -> Any:
    value = record[name] if name in record else selected(*at, record, name) if at and "." in name else member(record, name)
    return period(value) if KINDS[name.rpartition(".")[2]] == "date" else value


def values(world: World, noun: str, record: Document, path: Sequence[str]) -> list[Any]:
    """Return the values that a record has at the end of a path, nulls too, each once."""
    first, *rest = path
    way = WAYS[noun].get(first)
    if not rest and (way is None or not way.many):
        return [member(record, first)]
    assert way is not None
    below = rest or [way.key]
    return list(dict.fromkeys(v for other in world.related(noun, record, first) for v in values(world, way.to, other, below)))


def facet(world: World, noun: str, records: Iterable[Document], name: str) -> list[tuple[Any, int]]:
    """Count records by their values, the most frequent first, then by value, null last."""
    counts = Counter(value for record in records for value in values(world, noun, record, name.split(".")))
    null = counts.pop(None, 0)
    alike = sorted(counts.items())
    return sorted([*alike, *([(None, null)] if null else [])], key=lambda row: -row[1])


def pruned(
    expression: Mapping[str, Any], name: str, chosen: list[Any], *, nulls: bool, new: list[Document] | None = None
) -> dict[str, Any]:
    """Return an expression without the values of a facet that it requires, and add these to ``chosen``.

    The first of its conditions becomes a new one, if there is one.
    """
    left: dict[str, Any] = {}
    for key, value in expression.items():
        if key == name or (key == f"{name}__isnull" and value and nulls):
            chosen += [None] if key != name else value if isinstance(value, list) else [value]
            left |= new.pop() if new else {}
        else:
            left[key] = [pruned(below, name, chosen, nulls=nulls, new=new) for below in value] if key == "and" else value
    return left


def included(world: World, noun: str, records: Iterable[Document], paths: Iterable[str]) -> dict[str, dict[str, Document]]:
    """Return the related records and those on the way to them, by noun and id."""
    by_noun: dict[str, dict[str, Document]] = {}
    for path in paths:
        kind, reached = noun, list(records)
        for name in path.split("."):
            prefix, way = next((prefix, way) for prefix, way in WAYS[kind].items() if way.name == name)
            ids = {other["id"] for record in reached for other in world.related(kind, record, prefix)}
            reached = [world.documents[way.to][id] for id in sorted(ids)]
            by_noun.setdefault(way.to, {}).update({record["id"]: record for record in reached})
            kind = way.to
    return by_noun


def trimmed(
    included: Mapping[str, Mapping[str, Document]], members: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Document]]:
    """Return the included records with only these members, by noun; those of other nouns are whole."""
    return {
        noun: {id: {name: record[name] for name in members.get(noun, record)} for id, record in records.items()}
        for noun, records in included.items()
    }


def selected(world: World, noun: str, record: Document, name: str) -> Any:
    """Return a member of a record, of the one related record, or the number of related records."""
    relation, _, below = name.partition(".")
    if not below:
        return record[name]
    prefix, way = next((prefix, way) for prefix, way in WAYS[noun].items() if way.name == relation)
    others = world.related(noun, record, prefix)
    if way.many:
        return len({other["id"] for other in others})
    return member(others[0], below) if others else None


# --- a world to ask about

# Texts that break SQL, LIKE, lists by comma, comparisons of text, and assumptions about letters.
ODD = [
    "' or '1'='1",
    "'; drop table cities; --",
    '" or ""="',
    "1; select pg_sleep(9)--",
    ") union select document from revision --",
    "${7*7}{{7*7}}",
    "%",
    "_",
    "100%_",
    "\\",
    "\\%",
    "\\\\_\\",
    "a,b",
    "\\,",
    ",",
    "*",
    "[a-z]",
    ":id %s ? $1",
    "José",
    "Jose\u0301",
    "JOSÉ",
    "ß ﬁ İ \u0131 \u212a",
    "שלום \u202eabc",
    "مرحبا",
    "🏙️\U0010ffff",
    "\ud7ff\ue000\uffff",
    "z\u0301\u0327\u0489",
    "\t\r\n",
    "=1+1",
    "NULL",
    "\ufeffTrue",
]
WORDS = ["San", "san", "SAN Diego", "diego", "Zz", "@", "[", "`", "{", "~", " ", "0", "10", "9"]
SLUGS = ["a", "b", "0", "10", "9", "z", "a0", "zz"]
# Columns with narrower bounds than their types.
COLUMNS: Mapping[str, Sequence[Any]] = {
    "state": ["CA", "WA", "ZZ"],
    "country": ["MX", "US", "US"],
    "language": ["de", "en", "en-US"],
    "field": ["/name", "/name/0", "/a b\\", "/metrics/~0~1", "/Name", "/"],
    "text_sha256": [letter * 64 for letter in "0af"],
    "sentence_sha256": [letter * 64 for letter in "0af"],
    "value_sha256": [letter * 64 for letter in "0af"],
    "url": ["https://a.example/", "http://b.example/c"],
    "scheme": ["geonames", "wikidata"],
    "location_latitude": [-90, 0, 32.71571],
    "location_longitude": [-117.16472, 0, 180],
    "alias": ["L.A.", "CPUC", "San José", "100%_", "a,b"],
    **{name: ["2023", "2024-07", "XXXX-07", "2024/.."] for name in ("published", "retrieved")},
    "started": [
        *(
            "0999",
            "2023-12",
            "2024",
            "2024-07",
            "2024-07-31",
            "2024-07-30",
            "2024-12",
            "2025",
            "2024-01-01",
            "2024?",
            "2023-12~",
        ),
        *(
            "XXXX-12",
            "XXXX-12-25%",
            "XXXX",
            "202X",
            "2024-XX-31",
            "2024-12-XX",
            "202X-02-29",
            "2024-21",
            "2024-24",
            "2023/2024",
        ),
        *("2024/..", "2024-07/", "../2023", "/2024-07-31", "2024-12-01/2024-12-31", "2023-12-31/2024-01-01"),
    ],
    "period": ["2005/..", "2023", "2024-07", "XXXX-07"],
    "pointer": ["/priorities"],
    "as_of": ["2023", "2024", "2024-07", "2024-07-31", "2024~", "2023/2024", "XXXX-07", "2024/..", "2024-23"],
    # Publication puts these right.
    **{
        f"{name}_period": ["1999-01-01/1999-01-01", "2024"] for name in ("started", "as_of", "period", "published", "retrieved")
    },
    **{f"{name}_month": [0, 12] for name in ("started", "as_of", "period", "published", "retrieved")},
    "value": [-1.5, 0, 0.1, 0.000001, 1, 2.5, 2400000, 123456789.123456],
    "year": [1000, 2023, 2024, 2024, 9999],
    "min_population": [0, 100],
    "max_population": [100, 500000],
    "part": [1, 2],
    "parts": [2, 3],
}
COUNTS = {"surveys": 5, "priorities": 8, "sources": 6, "awards": 24, "initiatives": 24, "citations": 100}
TOUCHES = (
    "update initiatives set summary = 'Touched.' where status = 'draft'",
    "delete from citations where basis = 'inferred' and sentence = 1",
    "update cities set summary = 'Touched %_' where state = 'ZZ' and state_capital is null",
    "update citations set sentence = sentence + 100 where basis = 'editorial'",
)
Row = dict[str, Any]
Made = Mapping[str, Sequence[Row]]


def tables() -> list[Table]:
    """Return the tables of nouns and their parts, in an order in which they can be filled."""
    ordered: list[Table] = []
    for table in Base.metadata.sorted_tables:
        if table.name in WAYS or any(key.column.table in ordered for key in table.foreign_keys):
            ordered.append(table)
    # Citations point to records of every noun.
    return sorted(ordered, key=lambda table: table.name == "citations")


def make_rows(seed: int) -> dict[str, list[Row]]:
    """Return rows of every table: with nulls, ties, odd texts, and references to existing rows."""
    random = Random(seed)  # noqa: S311 - nothing is secret
    made: dict[str, list[Row]] = {"records": []}
    for table in tables():
        rows = made[table.name] = []
        taken: set[Any] = set()
        for _ in range(COUNTS.get(table.name, 14 if table.name in WAYS else 36)):
            row = _row(random, table, made)
            uniques = [one for one in table.constraints if isinstance(one, UniqueConstraint | PrimaryKeyConstraint)]
            keys = {(one.name, *(row.get(column.name) for column in one.columns)) for one in uniques}
            if row and not keys & taken:
                taken |= keys
                rows.append(row)
        made["records"] += [{"kind": table.name, "id": row["id"]} for row in rows if table.name in WAYS]
    return made


def _row(random: Random, table: Table, made: Mapping[str, Sequence[Row]]) -> Row:
    """Return a row of a table, or nothing if it must refer to a table without rows."""
    row: Row = {}
    for reference in table.foreign_key_constraints:
        others = made[reference.referred_table.name]
        nullable = all(column.nullable for column in reference.columns)
        if not others and not nullable:
            return {}
        other = random.choice(others) if others and not (nullable and random.random() < 0.3) else {}
        row |= {key.parent.name: other.get(key.column.name) for key in reference.elements}
    for column in table.columns:
        if column.name not in row:
            row[column.name] = None if column.nullable and random.random() < 0.3 else _cell(random, column)
    return RULED[table.name](random, row, made) if table.name in RULED else row


def _metric(random: Random, row: Row, _: Made) -> Row:
    """Return a metric whose members go with its kind."""
    kind = random.choice(["count", "money", "share", "change", "record"])
    directions = {"change": ["increase", "decrease"], "record": ["highest", "lowest"]}.get(kind, [None])
    row |= {"kind": kind, "direction": random.choice(directions)}
    row["value"] = None if kind == "record" else row["value"] or 0
    row["period"] = row["period"] or ("2005/.." if kind == "record" else None)
    row["unit"] = random.choice(["USD", "EUR"]) if kind == "money" else row["unit"]
    return row


def _cell(random: Random, column: Column[Any]) -> Any:
    if column.name in COLUMNS:
        return random.choice(COLUMNS[column.name])
    if column.name in {"id", "category"}:
        return "-".join(random.choices(SLUGS, k=random.randint(1, 3)))
    if isinstance(column.type, Enum):
        return random.choice(column.type.enums[:3])
    if isinstance(column.type, Boolean):
        return random.choice([False, True])
    if isinstance(column.type, Integer):
        return random.randint(1, 4)
    return "".join(random.choices([*ODD, *WORDS, *WORDS], k=random.choice([0, 1, 1, 1, 2, 3])))


def _source(random: Random, row: Row, _: Made) -> Row:
    """Return a source whose text has a fingerprint, unless it is a data set."""
    row["type"] = random.choice(["article", "list", "dataset"])
    row["text_sha256"] = None if row["type"] == "dataset" else row["text_sha256"] or "0" * 64
    return row


def _citation(_: Random, row: Row, made: Made) -> Row:
    """Return a citation of a value, if its source is a data set, or of a sentence."""
    of_sentence = ["paragraph", "sentence", "sentence_sha256"]
    of_value = ["locator_record", "locator_column", "value_sha256"]
    is_value = {"id": row["source_id"], "type": "dataset"}.items() <= next(
        source.items() for source in made["sources"] if source["id"] == row["source_id"]
    )
    row |= dict.fromkeys(of_sentence if is_value else of_value)
    given = {"locator_record": "r", "locator_column": "c", "value_sha256": "a" * 64, "sentence_sha256": "a" * 64}
    needed = of_value if is_value else of_sentence
    return row | {name: given.get(name, 1) for name in needed if row[name] is None}


def _city(random: Random, row: Row, _: Made) -> Row:
    """Return a city with a whole location, or with none."""
    coordinates = ("location_latitude", "location_longitude")
    is_known = random.random() < 0.5
    return row | {name: row[name] or 0 if is_known else None for name in coordinates}


def _award(_random: Random, row: Row, _: Made) -> Row:
    """Return an award with a placing."""
    return row | ({"placement": "finalist"} if row["rank"] is None else {})


def _identifier(random: Random, row: Row, _: Made) -> Row:
    """Return an id elsewhere."""
    return row | {"value": random.choice(["5391811", "Q65", "q65", "a b"])}


RULED = {
    "initiative_metrics": _metric,
    "sources": _source,
    "citations": _citation,
    "cities": _city,
    "awards": _award,
    **dict.fromkeys(["city_identifiers", "organization_identifiers"], _identifier),
}


def clear(session: Session) -> None:
    """Delete every record."""
    for table in reversed(tables()):
        session.execute(delete(table))


def fill(database: Database, seed: int) -> None:
    """Publish a world in many commits, some at the same time; every database gets the same one."""
    statements: list[tuple[str, list[Row]]] = []
    made = make_rows(seed)
    for table in tables():
        rows = made[table.name]
        names = ", ".join(column.name for column in table.columns)
        values = ", ".join(f":{column.name}" for column in table.columns)
        statements += [(f"insert into {table.name} ({names}) values ({values})", part) for part in (rows[:9], rows[9:])]
    touches: list[tuple[str, list[Row]]] = [(touch, [{}]) for touch in TOUCHES]
    for number, (statement, part) in enumerate([*statements, *touches]):
        # The ledger's time never runs backwards, so until then it stands where it is put.
        now = dt.datetime(2100, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=number // 3 * 1500)
        with publishing(database) as session:
            session.execute(update(models.Head).values(changed_at=now))
            if part:
                session.execute(text(statement), part)
