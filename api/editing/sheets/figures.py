"""Figures as people write them: numbers with their unit, and how they are qualified."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from api.editing.sheets.questions import ask

QUALIFIERS: Mapping[str, str] = {
    **dict.fromkeys(("more than", "over", "greater than", "above", ">"), "more_than"),
    **dict.fromkeys(("less than", "fewer than", "under", "below", "<"), "less_than"),
    **dict.fromkeys(("nearly", "almost"), "nearly"),
    **dict.fromkeys(("at least", "≥", ">="), "at_least"),
    **dict.fromkeys(("about", "around", "approximately", "approx.", "roughly", "some", "circa", "ca.", "~"), "about"),
    **dict.fromkeys(("up to", "as many as", "as much as", "≤", "<="), "up_to"),
    "exactly": "exactly",
}
SCALES: Mapping[str, int] = {
    **dict.fromkeys(("thousand", "k"), 10**3),
    **dict.fromkeys(("million", "mn", "m", "mio."), 10**6),
    **dict.fromkeys(("billion", "bn", "b"), 10**9),
    "trillion": 10**12,
}
CURRENCIES: Mapping[str, str] = {"$": "USD", "US$": "USD", "C$": "CAD", "CA$": "CAD", "A$": "AUD", "€": "EUR", "£": "GBP"}
NUMBER = r"[-−]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"  # noqa: RUF001 - the sign of typesetters


def _any(words: Mapping[str, object]) -> str:
    return "|".join(map(re.escape, sorted(words, key=len, reverse=True)))


FIGURE = re.compile(
    rf"(?:(?P<qualifier>{_any(QUALIFIERS)})\s*)?(?:(?P<code>[A-Z]{{3}})\s+|(?P<sign>{_any(CURRENCIES)})\s*)?(?P<number>{NUMBER})"
    rf"(?:\s*(?P<scale>{_any(SCALES)})(?![a-z]))?(?:\s*(?P<percent>%|percent\b))?(?P<rest>\s+\S.*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Figure:
    """A number with what a text says about it; None stands for what it does not say."""

    value: Decimal
    unit: str | None = None
    qualifier: str | None = None
    kind: str | None = None


def read(text: str) -> Figure:
    """Return the figure that a text gives. Raises Question for one that gives none, or several."""
    match = FIGURE.fullmatch(text.strip())
    if match is None or (match["code"] and not match["code"].isupper()):
        raise ask(text, (), "Write a number such as `38700000`, `$38.7 million`, `45%` or `more than 2.4 million`.")
    value = Decimal(match["number"].replace(",", "").replace("−", "-")) * SCALES.get((match["scale"] or "").lower(), 1)  # noqa: RUF001
    currency = match["code"] or CURRENCIES.get((match["sign"] or "").upper())
    rest = (match["rest"] or "").strip() or None
    if re.search("[0-9%]", rest or "") or (currency and (rest or match["percent"])):
        raise ask(text, (), "Give one figure, and its unit in the column `unit`.")
    unit = currency or ("percent" if match["percent"] else None)
    if match["scale"] == "m" and not currency:
        raise ask(text, (), "Write `million`, if it is not a unit.")
    if rest and unit:
        raise ask(text, (), "Give one unit: the other words belong in the name of the metric.")
    return Figure(
        value=value.to_integral_value() if value == value.to_integral_value() else value,
        unit=unit or rest,
        qualifier=QUALIFIERS[match["qualifier"].lower()] if match["qualifier"] else None,
        kind="money" if currency else None,
    )


def plain(text: str) -> int | Decimal:
    """Return a bare number, with commas between its thousands. Raises Question for anything else."""
    figure = read(text)
    if figure != Figure(figure.value):
        raise ask(text, (), "Write the number alone.")
    return int(figure.value) if figure.value == figure.value.to_integral_value() else figure.value
