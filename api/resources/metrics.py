"""Metrics: the figures that a source gives for an initiative."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import validate
from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Base, choice, folded_index, given_index
from api.schema.choices import Choice
from api.schema.fields import MAX_INTEGER, Number, Part, Rule, edtf, named, one_of, titled


class MetricKind(Choice):
    """The kinds of figures."""

    COUNT = "count", "A number of things or people."
    MONEY = "money", "A sum of money; the unit is its currency."
    SHARE = "share", "A part of a whole."
    CHANGE = "change", "A difference from an earlier state; the direction says which way."
    RECORD = "record", "The highest or lowest number of a period; the source does not give the number itself."


class Qualifier(Choice):
    """How a source qualifies a figure."""

    EXACTLY = "exactly", "The source says that the number is exact."
    MORE_THAN = "more_than", "The source says that it is more."
    LESS_THAN = "less_than", "The source says that it is less."
    NEARLY = "nearly", "The source says that it is a little less."
    AT_LEAST = "at_least", "The source says that it is this number, or more."
    ABOUT = "about", "The source says that it is a little more or less."
    UP_TO = "up_to", "The source says that it is this number, or less."


class Direction(Choice):
    """The direction of a change, or the end of the scale of a record."""

    INCREASE = "increase", "It became more."
    DECREASE = "decrease", "It became less."
    HIGHEST = "highest", "No number of the period is higher."
    LOWEST = "lowest", "No number of the period is lower."


DIRECTIONS: Mapping[str, Sequence[str | None]] = {
    "change": (Direction.INCREASE, Direction.DECREASE),
    "record": (Direction.HIGHEST, Direction.LOWEST),
}


class InitiativeMetric(Base):
    """A figure that a source gives for the initiative."""

    __tablename__ = "initiative_metrics"
    initiative_id: Mapped[str] = mapped_column(ForeignKey("initiatives.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    kind: Mapped[MetricKind] = mapped_column(choice(MetricKind, "kind"))
    value: Mapped[float | None]
    unit: Mapped[str]
    qualifier: Mapped[Qualifier | None] = mapped_column(choice(Qualifier, "qualifier"))
    direction: Mapped[Direction | None] = mapped_column(choice(Direction, "direction"))
    period: Mapped[str | None]
    period_period: Mapped[str | None]
    period_month: Mapped[int | None]
    as_of: Mapped[str | None]
    as_of_period: Mapped[str | None]
    as_of_month: Mapped[int | None]
    __table_args__ = (
        UniqueConstraint("initiative_id", "name"),
        CheckConstraint(f"value between -{MAX_INTEGER} and {MAX_INTEGER}", name="value"),
        CheckConstraint("(kind = 'record') = (value is null)", name="record"),
        CheckConstraint("kind <> 'record' or period is not null", name="period"),
        CheckConstraint("kind <> 'money' or (length(unit) = 3 and unit = upper(unit))", name="unit"),
        CheckConstraint(
            "case kind when 'change' then direction is not null and direction in ('increase', 'decrease') "
            "when 'record' then direction is not null and direction in ('highest', 'lowest') else direction is null end",
            name="kind_direction",
        ),
        *(Index(None, column, "initiative_id") for column in ("name", "kind", "value", "unit", "qualifier")),
        *(
            given_index("initiative_metrics", column, "initiative_id")
            for column in (
                "direction",
                "period",
                "period_period",
                "period_month",
                "as_of",
                "as_of_period",
                "as_of_month",
            )
        ),
        # The largest sums of a currency.
        Index(None, "kind", "unit", "value", "initiative_id"),
    )


folded_index(InitiativeMetric.name)
folded_index(InitiativeMetric.unit)


def _has_currency(row: Mapping[str, Any]) -> bool:
    return row["kind"] != "money" or re.fullmatch("[A-Z]{3}", row["unit"]) is not None


def _has_direction(row: Mapping[str, Any]) -> bool:
    return row["direction"] in DIRECTIONS.get(row["kind"], (None,))


class MetricSchema(Part):
    """A figure as data: what is measured, its kind, value and unit, and how the source qualifies it."""

    rules = (
        Rule(
            "value",
            "is null if `kind` is `record`, and only then",
            lambda row: (row["kind"] == "record") == (row["value"] is None),
        ),
        Rule("unit", "is an ISO 4217 code if `kind` is `money`", _has_currency),
        Rule(
            "direction",
            "is `increase` or `decrease` if `kind` is `change`, `highest` or `lowest` if it is `record`, else null",
            _has_direction,
        ),
        Rule("period", "is required if `kind` is `record`", lambda row: row["kind"] != "record" or row["period"] is not None),
    )
    name = titled("What is measured.", "clicks in an exercise")
    kind = one_of(MetricKind, "The kind of figure.", "change")
    value = Number(
        required=True,
        allow_none=True,
        validate=validate.Range(min=-MAX_INTEGER, max=MAX_INTEGER),
        metadata={
            "description": "The number: a whole number up to 2^53 - 1, or one with at most 6 decimals; null for a record.",
            "example": 40,
        },
    )
    unit = named("The unit of the number; for money, the ISO 4217 code; for a record, the unit of its numbers.", "percent")
    qualifier = one_of(Qualifier, "How the source qualifies the number; null if it does not.", "nearly", allow_none=True)
    direction = one_of(
        Direction,
        "The direction of a change, or the end of the scale of a record; null for others.",
        "decrease",
        allow_none=True,
    )
    period = edtf("Period of a change or a record, in EDTF; null if the source gives none, which a record must have.", "2024")
    as_of = edtf("Date or period of the number, in EDTF; null if the source gives none.", "2025")
