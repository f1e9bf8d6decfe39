"""The start page, and what only the page of an edition of a survey shows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from api.html import figures, values
from api.html.addresses import Address
from api.html.values import Names, Reader
from api.ledger import feed, head
from api.ledger.cursors import Position
from api.query import labels, overview
from api.query.labels import Hit
from api.query.overview import Ranking
from api.query.plan import Planner
from api.query.profile import CITATIONS
from api.resources import RESOURCES
from api.web.frames import page
from api.web.openapi import SUMMARY, TITLE
from api.web.pages.changes import changes_in_words
from api.web.urls import root

# Changes that the start page shows. Those of citations come in hundreds, and tell a reader little.
LATEST = 5
# The nouns whose records it counts.
COUNTED = ("cities", "awards", "initiatives", "citations")


def start_page(session: Session, planner: Planner, version: int) -> Response:
    """Return the start page."""
    survey, sums = overview.newest_survey(session, planner), [*overview.largest_figures(session)]
    others = [("initiatives", initiative["id"]) for _, initiative in sums]
    names = labels.named(session, [*others, *([("surveys", survey["id"])] if survey else [])])
    # With a target, the reader is not one that began with nothing and needs no deletions.
    news = tuple(noun.name for noun in RESOURCES if noun.name != CITATIONS)
    changes = feed.newest(session, feed.Feed(Position(0, news, target=version), version), version + 1, LATEST)
    called = labels.labels(session, [Hit(row.row.kind, row.row.id, row.document or "{}") for row in changes])
    return page(
        "front.html",
        alternates=("json",),
        described=(TITLE, SUMMARY),
        title="City governments, their awards, and who says so",
        survey=survey,
        survey_name=names.get(("surveys", survey["id"]), "") if survey else "",
        rankings=[*_rankings(session, survey, planner)] if survey else [],
        priorities=[*_priorities(session, planner)],
        figures=[
            {
                "amount": figures.amount(metric),
                "name": metric["name"],
                "initiative": values.link(Reader(names, root()), "initiatives", initiative["id"]),
                "address": f"{root()}/initiatives/{initiative['id']}#{values.anchor(metric['pointer'])}",
            }
            for metric, initiative in sums
        ],
        totals={name: head.records(session, name) for name in COUNTED},
        latest=changes_in_words(session, changes, called),
        version=version,
    )


def edition(session: Session, survey: Mapping[str, Any], planner: Planner) -> Mapping[str, Any]:
    """Return the rankings of an edition of a survey, and the priorities of the initiatives that it recognized."""
    return {
        "rankings": [*_rankings(session, survey, planner)],
        "priorities": [*_priorities(session, planner, **{"award.survey": survey["id"]})],
    }


def _rankings(session: Session, survey: Mapping[str, Any], planner: Planner) -> Iterator[Mapping[str, Any]]:
    """Yield the rankings of a survey by category, with the names of the cities."""
    rankings = overview.rankings(session, survey, planner)
    names = labels.named(session, sorted({("cities", id) for ranking in rankings for id in _cities(ranking)}))
    for ranking in rankings:
        yield {
            "name": ranking.name,
            "rows": [*_places(ranking, names)],
            "competing": [_city(names, id) for id in ranking.competing],
        }


def _cities(ranking: Ranking) -> Iterable[str]:
    return (*(award["city"] for award in ranking.awards), *ranking.competing)


def _city(names: Names, id: str) -> str:
    return values.link(Reader(names, root()), "cities", id)


def _places(ranking: Ranking, names: Names) -> Iterator[Mapping[str, Any]]:
    """Yield the awards of a ranking; a tie is one that a source names."""
    for award in ranking.awards:
        place = award["placement"] if award["rank"] is None else f"{award['rank']}{' (tied)' if award['tied'] else ''}"
        address, reasons = f"{root()}/awards/{award['id']}", award["summary"] or ""
        yield {"place": place, "city": _city(names, award["city"]), "award": address, "summary": reasons}


def _priorities(session: Session, planner: Planner, **among: str) -> Iterator[Mapping[str, Any]]:
    """Yield the number of initiatives of each priority, with a bar in percent of the most frequent one, and their address."""
    facet = overview.read(session, planner, "initiatives", facets="priority", limit="0", **among).facets["priority"]
    top = max((row.count for row in facet.values), default=0) or 1
    for row in (row for row in facet.values if row.value is not None):
        address = Address(f"{root()}/initiatives", [("priority", row.value), *among.items()])
        width = round(100 * row.count / top, 1)
        yield {"label": row.label or row.value, "count": row.count, "width": width, "address": str(address)}
