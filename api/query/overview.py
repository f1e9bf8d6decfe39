"""What the start page and the page of a survey show of the dataset: rankings, counts and the largest figures."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.ledger.models import CURRENT, Revision
from api.query import lists, parser
from api.query.language import MAX_LIMIT
from api.query.lists import Result
from api.query.plan import Planner
from api.resources import BY_NAME
from api.resources.metrics import InitiativeMetric, MetricKind

FIGURES = 5
AWARDS = "awards"
# A metric and the initiative that it is of.
Figure = tuple[Mapping[str, Any], Mapping[str, Any]]


def read(session: Session, planner: Planner, noun: str, **arguments: str) -> Result:
    """Return a page of a list; the arguments are parameters of its path."""
    return lists.read(session, parser.parse(BY_NAME[noun], [(name, [text]) for name, text in arguments.items()]), planner)


@dataclass(frozen=True)
class Ranking:
    """The awards of one category of a survey, the first places in front, and the cities that competed without a place."""

    category: str
    name: str
    awards: Sequence[Mapping[str, Any]]
    competing: Sequence[str]


def newest_survey(session: Session, planner: Planner) -> Mapping[str, Any] | None:
    """Return the newest edition of all surveys; None if there is none."""
    documents = read(session, planner, "surveys", sort="-year", limit="1", count="none").page.documents
    return json.loads(documents[0]) if documents else None


def rankings(session: Session, survey: Mapping[str, Any], planner: Planner) -> Sequence[Ranking]:
    """Return the rankings of a survey by category; of a long one, the first `MAX_LIMIT` awards."""
    sort = {"sort": "category,rank", "limit": str(MAX_LIMIT), "count": "none"}
    documents = read(session, planner, AWARDS, survey=survey["id"], **sort).page.documents
    awards = [json.loads(document) for document in documents]
    known = {row["category"]: row for row in survey["categories"]}
    order = dict.fromkeys([*known, *(award["category"] for award in awards)])
    return [
        Ranking(
            category,
            known.get(category, {}).get("name", category),
            [award for award in awards if award["category"] == category],
            known.get(category, {}).get("also_competing", []),
        )
        for category in order
    ]


def largest_figures(session: Session) -> Iterator[Figure]:
    """Yield the largest sums of money in the most frequent currency, each as a metric and the initiative that it is of."""
    is_sum = (InitiativeMetric.kind == MetricKind.MONEY, InitiativeMetric.value.is_not(None))
    # Sums of different currencies can't be compared.
    usual = select(InitiativeMetric.unit).where(*is_sum).group_by(InitiativeMetric.unit).order_by(func.count().desc()).limit(1)
    largest = select(InitiativeMetric.initiative_id, InitiativeMetric.position).where(
        *is_sum, InitiativeMetric.unit == usual.scalar_subquery()
    )
    rows = session.execute(largest.order_by(InitiativeMetric.value.desc(), InitiativeMetric.initiative_id).limit(FIGURES)).all()
    chosen = (Revision.kind == "initiatives", Revision.id.in_([row.initiative_id for row in rows]), *CURRENT)
    documents = {
        row.id: json.loads(row.document) for row in session.execute(select(Revision.id, Revision.document).where(*chosen))
    }
    for id, position in rows:
        # Raw SQL may have changed the table since the record was published.
        if id in documents and position < len(documents[id]["metrics"]):
            yield {**documents[id]["metrics"][position], "pointer": f"/metrics/{position}"}, documents[id]
