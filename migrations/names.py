"""Names as they are stored since revision 0010; imports nothing from `api`."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

JOINERS = "\u200c\u200d"
BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
REFUSED = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@dataclass(frozen=True)
class Names:
    """A column of names, the key of its table, and the columns within whose values a name is unique, None if it is not."""

    table: str
    column: str
    key: Sequence[str] = ("id",)
    within: Sequence[str] | None = None


COLUMNS = (
    Names("surveys", "name", within=["year"]),
    Names("survey_categories", "name", ["survey_id", "category"]),
    Names("cities", "name", within=["country", "state"]),
    Names("initiatives", "title", within=["city_id"]),
    Names("initiative_metrics", "name", ["initiative_id", "position"], within=["initiative_id"]),
    Names("initiative_metrics", "unit", ["initiative_id", "position"]),
    Names("priorities", "name", within=[]),
    Names("organizations", "name", within=["city_id"]),
    Names("sources", "title"),
)


def faults() -> Iterator[str]:
    """Yield a line for each name that is not in its one form or that another record has, with the SQL that mends it."""
    for names in COLUMNS:
        first: dict[Sequence[object], object] = {}
        columns = [names.column, *names.key, *(names.within or ())]
        table = sa.table(names.table, *map(sa.column, columns))
        for text, *values in op.get_bind().execute(sa.select(table).order_by(*map(sa.column, names.key))):
            key, within = values[: len(names.key)], values[len(names.key) :]
            where = " and ".join(f"{column} = {_quoted(value)}" for column, value in zip(names.key, key, strict=True))
            mend = f"update {names.table} set {names.column} = "  # noqa: S608 - a text for an operator
            if (clean := canonical(text)) != text:
                fault = f"{key[0]} has a {names.column} with odd spaces or characters"
                yield f"{fault}: {mend}{_quoted(clean or '...')} where {where};"
            if names.within is not None:
                other = first.setdefault((*within, folded(text)), where)
                if other != where:
                    yield f"{key[0]} has the {names.column} of another, with {other}: {mend}'...' where {where};"


def canonical(text: str) -> str:
    """Return a name in NFC with single spaces, and without what a reader cannot see; empty if nothing is left."""
    spaced = "".join(" " if unicodedata.category(c) == "Zs" or c.isspace() else c for c in unicodedata.normalize("NFC", text))
    seen = "".join(c for c in spaced if c in JOINERS or (c not in BLANKS and unicodedata.category(c) not in REFUSED))
    name = " ".join(word for part in seen.split(" ") if (word := part.strip(JOINERS)))
    return name if any(unicodedata.category(c)[0] in "LNPS" for c in name) else ""


def folded(name: str) -> str:
    """Return a text that names have in common if they differ only in case, spacing or normalization."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def _quoted(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
