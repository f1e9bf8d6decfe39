"""Check that every peer serves the product's data: ``python -m bench.peers.check``; `BENCH_DATA` is a folder for databases.

Each response is converted to one form and compared with the product's: the rows of a page in their order, with their cities
and, if the peer returns them, all their parts; counts; the number of rows of an export; a 304; a write, read back.
"""

import csv
import html
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from api.settings import Settings
from bench.dataset import DatasetStore
from bench.peers import PEERS, PRODUCT, WORKLOADS, Facts, Peer, running
from bench.peers.client import Response, send
from bench.peers.copies import writable
from bench.peers.facts import facts_of
from bench.peers.process import ServerError
from bench.peers.setup import ensure_peers
from bench.writes import initiative

SIZE, PAGE = 1_000, 20
Row = dict[str, Any]
METRIC = ("name", "kind", "unit", "qualifier", "as_of")
SAME = ("id", "title", "summary", "status", "started")


def city(document: Mapping[str, Any]) -> Row:
    """Return the members of a city that are compared."""
    return {"id": document["id"], "name": document["name"]}


def nested(row: Row) -> Row:
    """Read a row that contains its city and has its parts as the product has them."""
    return {name: row[name] for name in (*SAME, "parent", "awards", "priorities", "partners", "metrics")} | {
        "city": city(row["city"])
    }


def of_product(content: Any) -> Iterator[Row]:
    """Read the product's."""
    data = content["data"] if isinstance(content["data"], list) else [content["data"]]
    for row in data:
        # A single record comes without its city; the peers have no directions and periods.
        metrics = [{name: part[name] for name in (*METRIC, "value")} for part in row["metrics"]] if "metrics" in row else []
        yield nested(
            row
            | {
                "metrics": metrics,
                "city": content.get("included", {}).get("cities", {}).get(row["city"], {"id": row["city"], "name": None}),
            }
        )


def of_list(content: Any) -> Iterator[Row]:
    """Read FastAPI's, Flask-smorest's and Django REST framework's."""
    rows = content.get("results", [content]) if isinstance(content, dict) else content
    yield from map(nested, rows)


def of_datasette(content: Any) -> Iterator[Row]:
    """Read Datasette's: rows of a table with the names of cities, or of the query for one initiative."""
    for row in content["rows"]:
        if "city_id" in row:
            yield {name: row[name] for name in SAME} | {
                "parent": (row["parent_id"] or {}).get("value"),
                "city": {"id": row["city_id"]["value"], "name": row["city_id"]["label"]},
            }
        else:
            yield nested(row | {"city": {"id": row["city"], "name": row["city_name"]}})


def of_json_server(content: Any) -> Iterator[Row]:
    """Read json-server's."""
    for row in content if isinstance(content, list) else [content]:
        yield nested({"city": {"id": row["cityId"], "name": None}} | row)


def of_directus(content: Any) -> Iterator[Row]:
    """Read Directus's, in which parts are rows of the association tables."""
    for row in content["data"] if isinstance(content["data"], list) else [content["data"]]:
        parts = {
            "awards": [part["award_id"] for part in row["awards"]],
            "priorities": [part["priority_id"] for part in row["priorities"]],
            "partners": [{"organization": part["organization_id"], "role": part["role"]} for part in row["partners"]],
            "metrics": [{name: part[name] for name in METRIC} | {"value": float(part["value"])} for part in row["metrics"]],
        }
        yield nested(row | parts | {"parent": row["parent_id"], "city": row["city_id"]})


READERS: Mapping[str, Callable[[Any], Iterator[Row]]] = {
    "this API": of_product,
    "Datasette": of_datasette,
    "json-server": of_json_server,
    "Directus": of_directus,
}
COUNTS: Mapping[str, Callable[[Any], Mapping[str, int]]] = {
    "this API": lambda content: {row["value"]: row["count"] for row in content["facets"]["city"]["values"]},
    "Datasette": lambda content: {row["value"]: row["count"] for row in content["facet_results"]["city_id"]["results"]},
    "Directus": lambda content: {row["city_id"]: int(row["count"]) for row in content["data"]},
}


def counted(content: Any) -> Mapping[str, int]:
    """Read the counts of FastAPI, Flask-smorest and Django REST framework."""
    return {row["value"]: row["count"] for row in content}


class DifferentError(AssertionError):
    """A peer whose data differs from the product's."""


def same(mine: Any, theirs: Any) -> None:
    """Raise DifferentError if two values differ."""
    if mine != theirs:
        raise DifferentError(f"the product has {str(mine)[:300]}, the peer {str(theirs)[:300]}")


@dataclass(frozen=True)
class Checks:
    """The checks of one peer, by workload; each returns a short text about what it compared."""

    peer: Peer
    base: str
    facts: Facts
    size: int
    product: Mapping[str, Any]

    def response(self, workload: str) -> Response:
        """Return the response to a workload. Raises DifferentError if it is an error."""
        response = send(f"{self.base}{self.peer.path(workload, self.facts)}")
        if response.status != HTTPStatus.OK:
            raise DifferentError(f"responded with {response.status}: {response.body[:300].decode(errors='replace')}")
        return response

    def rows(self, workload: str) -> list[Row]:
        """Return the rows of a response."""
        return list(READERS.get(self.peer.name, of_list)(self.response(workload).content))

    def page(self, workload: str) -> str:
        """Compare rows with the product's, in the members that the peer returns."""
        mine, theirs = self.product[workload], self.rows(workload)
        same([{name: row[name] for name in theirs[0]} for row in mine] if theirs else mine, theirs)
        return f"{len(theirs)} {'whole' if 'metrics' in theirs[0] else 'with cities'}"

    def record(self) -> str:
        """Compare one record."""
        mine, theirs = self.product["record"], self.rows("record")
        same([row | {"city": None} for row in mine], [row | {"city": None} for row in theirs])
        return "whole"

    def search(self) -> str:
        """Look for the words in each row; servers split texts into words in different ways, so the rows may differ."""
        rows = self.rows("search")
        texts = [f"{row['title']} {row['summary']}".casefold() for row in rows]
        same([True] * max(1, len(texts)), [all(word in text for word in self.facts.words) for text in texts])
        return f"{len(rows)} rows"

    def facet(self) -> str:
        """Compare counts."""
        theirs = COUNTS.get(self.peer.name, counted)(self.response("facet").content)
        same(self.product["facet"], theirs)
        return f"{len(theirs)} values"

    def export(self) -> str:
        """Count the rows."""
        lines = list(csv.reader(self.response("export").body.decode().splitlines(keepends=True)))
        same(self.size, len(lines) - 1)
        return f"{self.size} rows"

    def conditional(self) -> str:
        """Send the ETag back."""
        tag = self.response("conditional").headers["etag"]
        same(
            HTTPStatus.NOT_MODIFIED,
            send(f"{self.base}{self.peer.path('conditional', self.facts)}", headers={"If-None-Match": tag}).status,
        )
        return "304"

    def html(self) -> str:
        """Look for the title of each row of the list in the page."""
        text = html.unescape(self.response("html").body.decode())
        titles = [row["title"] for row in self.product["list"]]
        same(titles, [title for title in titles if title in text])
        return f"{len(titles)} titles"

    def write(self) -> str:
        """Write a record and read it back; the same id, a wrong status and an unknown city are refused."""
        document, url = initiative(f"zz-{time.time_ns()}"), f"{self.base}{self.peer.path('write', self.facts)}"
        same(HTTPStatus.CREATED, send(url, document).status)
        other = document | {"id": "zz-other"}
        for refused in (document, other | {"status": "wrong"}, other | {"city": "nowhere-xx"}):
            same(HTTPStatus.BAD_REQUEST // 100, send(url, refused).status // 100)
        written = replace(self, facts=replace(self.facts, id=document["id"])).rows("record")
        metrics = [metric | {"as_of": None} for metric in document["metrics"]]
        expected = document | {"parent": None, "awards": [], "city": {"id": "boston-ma", "name": "Boston"}, "metrics": metrics}
        same([expected], written)
        return "201"

    def run(self, workload: str) -> str:
        """Run the check of a workload."""
        return self.page(workload) if workload in {"list", "deep"} else str(getattr(self, workload)())


def product_data(settings: Settings, folder: Path, facts: Facts) -> tuple[int, dict[str, Any]]:
    """Return the number of initiatives and the product's data by workload."""
    with running(PRODUCT, settings, folder) as base:
        checks = Checks(PRODUCT, base, facts, 0, {})
        size = send(f"{base}/initiatives?limit=1&count=exact").content["page"]["total"]
        product: dict[str, Any] = {workload: checks.rows(workload) for workload in ("list", "deep", "record")}
        product["facet"] = COUNTS[PRODUCT.name](checks.response("facet").content)
    if len(product["list"]) != PAGE:
        raise SystemExit("the product's page is short, so there is nothing to compare")
    return size, product


def checked(peer: Peer, settings: Settings, folder: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield a row for each workload of a peer: its name, a text about the comparison, and whether it is equal."""
    facts = facts_of(settings)
    size, product = product_data(settings, folder, facts)
    checks = Checks(peer, "", facts, size, product)
    offered = [workload for workload in WORKLOADS if peer.path(workload, facts)]
    with running(peer, settings, folder) as base:
        yield from outcomes(replace(checks, base=base), [workload for workload in offered if workload != "write"])
    if "write" in offered:
        with writable(settings, folder, "check", noted=False) as copy, running(peer, copy, folder) as base:
            yield from outcomes(replace(checks, base=base), ["write"])


def outcomes(checks: Checks, workloads: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Run checks; yield rows as `checked` does."""
    for workload in workloads:
        try:
            yield workload, checks.run(workload), True
        except (DifferentError, LookupError, TypeError, ValueError) as error:
            yield workload, f"{type(error).__name__}: {error}", False


def main() -> None:
    """Check the named peers, or all that can run here, on both databases; exits with status 1 if one differs."""
    peers = [peer for peer in PEERS if peer.name in sys.argv[1:] or not sys.argv[1:]]
    missing = ensure_peers(peers)
    for name, reason in missing.items():
        print(f"{name:24}is left out: {reason}")
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("BENCH_DATA", temporary))
        store = DatasetStore(folder)
        try:
            for peer in peers:
                for dialect in () if peer.name in missing else peer.dialects:
                    try:
                        for workload, text, equal in checked(peer, store.get(dialect, SIZE), folder):
                            print(f"{peer.name:24}{dialect:12}{workload:14}{text}", flush=True)
                            fine = fine and equal
                    except ServerError as error:
                        print(f"{peer.name:24}{dialect:12}{error}", flush=True)
                        fine = False
        finally:
            store.close()
    sys.exit(not fine)


if __name__ == "__main__":
    main()
