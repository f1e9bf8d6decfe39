"""Members whose cells tell more than their own value: a placing, a figure, and what places a city."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from api.editing.file_formats import value_of
from api.editing.sheets import figures, placings
from api.editing.sheets.cells import NOTHING
from api.editing.sheets.names import Names
from api.editing.sheets.questions import ask
from api.ledger.index.matching import spelled
from api.ledger.index.states import code_of, split_city
from api.schema.canonical import Content
from api.schema.fields import Number

COUNTRIES = dict.fromkeys(("usa", "us", "unitedstates", "unitedstatesofamerica"), "US")


@dataclass
class Record:
    """A row that was read: its values by member, its questions by member, and what was read as something else.

    ``noted`` has the member, the text of the cell and the value for each.
    """

    content: Content = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str, Any]] = field(default_factory=list)
    hints: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, member: str, text: object, value: Any) -> None:
        """Take note of a text that was read as something else."""
        self.noted.append((member, str(text), value))

    def fill(self, member: str, text: object, value: Any) -> None:
        """Set another member that a cell tells. Raises Question if its own cell says something else."""
        if self.content.get(member) not in (None, value):
            raise ask(text, [str(value), str(self.content[member])], f"The column of `{member}` says the second.")
        self.content[member] = value


# Reads the text of a cell into a record; the last argument tells whether the record was exported, so that it is as we wrote it.
Meaning = Callable[[Record, str, Names, bool], None]


def _rank(record: Record, text: str, _names: Names, _exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a placing: the rank, whether it is tied, or the words of the source."""
    if text.casefold() in NOTHING:
        record.content["rank"] = None
        record.note("rank", text, None)
        return
    number = value_of(text, Number())
    if isinstance(number, Decimal) and number == number.to_integral_value():
        text = str(int(number))
    placing = placings.read(text)
    if text != str(placing.rank):
        parts = [str(placing.rank or placing.placement), *(["tied"] if placing.tied else [])]
        record.note("rank", text, ", ".join(parts) + (" (placement)" if placing.placement else ""))
    record.content["rank"] = placing.rank
    if placing.placement:
        record.fill("placement", text, placing.placement)
    if placing.tied:
        record.fill("tied", text, True)  # noqa: FBT003 - a value


def _value(record: Record, text: str, _names: Names, _exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a figure: the value, and the unit, the qualifier and the kind that it tells."""
    plain = value_of(text, Number())
    if text.casefold() in NOTHING or not isinstance(plain, str):
        record.content["value"] = None if isinstance(plain, str) else plain
        return
    figure = figures.read(text)
    record.content["value"] = figure.value
    for member, value in (("unit", figure.unit), ("qualifier", figure.qualifier), ("kind", figure.kind)):
        if value is not None:
            record.fill(member, text, value)
    words = [str(value) for value in (figure.qualifier, figure.value, figure.unit) if value is not None]
    record.note("value", text, " ".join(words))


def _name(record: Record, text: str, _names: Names, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read the name of a city, with its state if that is behind it."""
    name, state = (text, None) if exported else split_city(text)
    record.content["name"] = name
    if state:
        record.fill("state", text, state)
        record.fill("country", text, "US")
        record.note("name", text, f"{name}, {state}, US")


def _state(record: Record, text: str, _names: Names, exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a state of the USA by its name or abbreviation."""
    code = None if exported else code_of(text)
    record.content["state"] = code or text
    if code and code != text:
        record.note("state", text, code)
        # Massachusetts is nowhere else, but MA is a region of other countries, too.
        record.content["country"] = record.content.get("country") or "US"


def _country(record: Record, text: str, _names: Names, _exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read the country."""
    record.content["country"] = COUNTRIES.get(spelled(text), text)
    if record.content["country"] != text:
        record.note("country", text, record.content["country"])


def _category(record: Record, text: str, names: Names, _exported: bool) -> None:  # noqa: FBT001 - the signature of the table
    """Read a category of the row's survey."""
    survey = record.content.get("survey")
    record.content["category"] = names.category(survey, text) if survey else text
    if record.content["category"] != text:
        record.note("category", text, record.content["category"])


def complete_kind(record: Record) -> None:
    """Complete the kind of a figure, if it is certain."""
    content = record.content
    if content.get("kind") is None and content.get("value") is not None:
        if content.get("unit") == "percent" or content.get("direction"):
            record.questions.append(("kind", "A percentage can be a `share` or a `change`: write which, in a column `kind`."))
        else:
            content["kind"] = "count"
            record.note("kind", "", "`count`")


def of_hint(member: str, text: str) -> str:
    """Return what a column says about a related record, such as the state of its city."""
    known = {"state": code_of(text), "country": COUNTRIES.get(spelled(text))}
    return known.get(member) or text


# By kind of table.
MEANINGS: Mapping[str, Mapping[str, Meaning]] = {
    "awards": {"rank": _rank, "category": _category},
    "cities": {"country": _country, "state": _state, "name": _name},
    "initiatives.metrics": {"value": _value},
}
