"""Check that every peer serves what the product serves: ``python -m bench.peers.check``, with `BENCH_DATA` to keep databases.

Each answer is brought to one form and compared with the product's: the rows of a page in their order, with their cities
and, where the peer answers with them, all their parts; counts; the number of rows of an export; a 304; a write, read back.
"""

import csv
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any

from api.settings import Settings
from bench.dataset import DatasetStore
from bench.peers import PEERS, PRODUCT, WORKLOADS, Facts, Peer, running
from bench.peers.copies import writable
from bench.peers.facts import facts_of
from bench.peers.process import ServerError
from bench.peers.setup import ensure_peers
from bench.writes import initiative

SIZE, PAGE = 1_000, 20
Row = dict[str, Any]
SAME = ("id", "title", "summary", "status", "started")


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """Return the JSON."""
        return json.loads(self.body)


def lowered(headers: Message) -> dict[str, str]:
    """Return headers by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()}


def ask(url: str, content: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Send a request: a POST when it has content."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return Answer(answer.status, lowered(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, lowered(error.headers), error.read())


def city(found: Mapping[str, Any]) -> Row:
    """Return what is compared of a city."""
    return {"id": found["id"], "name": found["name"]}


def nested(row: Row) -> Row:
    """Read a row whose city is in it, and whose parts are as the product's."""
    return {name: row[name] for name in (*SAME, "parent", "awards", "priorities", "partners", "metrics")} | {
        "city": city(row["city"])
    }


def of_product(content: Any) -> Iterator[Row]:
    """Read the product's answer."""
    data = content["data"] if isinstance(content["data"], list) else [content["data"]]
    for row in data:
        # One record alone has no city beside it.
        yield nested(
            row | {"city": content.get("included", {}).get("cities", {}).get(row["city"], {"id": row["city"], "name": None})}
        )


def of_list(content: Any) -> Iterator[Row]:
    """Read FastAPI's, Flask-smorest's and Django REST framework's."""
    rows = content.get("results", [content]) if isinstance(content, dict) else content
    yield from map(nested, rows)


def of_datasette(content: Any) -> Iterator[Row]:
    """Read Datasette's: rows of a table with the names of cities, or of the query for one."""
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
    """Read Directus's, whose parts are rows of the tables between."""
    for row in content["data"] if isinstance(content["data"], list) else [content["data"]]:
        parts = {
            "awards": [part["award_id"] for part in row["awards"]],
            "priorities": [part["priority_id"] for part in row["priorities"]],
            "partners": [{"organization": part["organization_id"], "role": part["role"]} for part in row["partners"]],
            "metrics": [
                {name: part[name] for name in ("name", "unit", "qualifier", "as_of")} | {"value": float(part["value"])}
                for part in row["metrics"]
            ],
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
    """A peer that does not serve what the product serves."""


def same(mine: Any, theirs: Any) -> None:
    """Compare. Raises DifferentError."""
    if mine != theirs:
        raise DifferentError(f"the product says {str(mine)[:300]}, the peer {str(theirs)[:300]}")


@dataclass(frozen=True)
class Checks:
    """The checks of one peer, by workload; each returns what it saw."""

    peer: Peer
    base: str
    facts: Facts
    size: int
    product: Mapping[str, Any]

    def answer(self, workload: str) -> Answer:
        """Ask for a workload."""
        answer = ask(f"{self.base}{self.peer.path(workload, self.facts)}")
        if answer.status != HTTPStatus.OK:
            raise DifferentError(f"answered with {answer.status}: {answer.body[:300].decode(errors='replace')}")
        return answer

    def rows(self, workload: str) -> list[Row]:
        """Return the rows of an answer."""
        return list(READERS.get(self.peer.name, of_list)(self.answer(workload).content))

    def page(self, workload: str) -> str:
        """Compare rows with the product's, in what the peer answers with."""
        mine, theirs = self.product[workload], self.rows(workload)
        same([{name: row[name] for name in theirs[0]} for row in mine] if theirs else mine, theirs)
        return f"{len(theirs)} {'whole' if 'metrics' in theirs[0] else 'with cities'}"

    def record(self) -> str:
        """Compare one."""
        mine, theirs = self.product["record"], self.rows("record")
        same([row | {"city": None} for row in mine], [row | {"city": None} for row in theirs])
        return "whole"

    def search(self) -> str:
        """Look for the words in what is found; products differ in what a word is, so the rows may, too."""
        found = self.rows("search")
        texts = [f"{row['title']} {row['summary']}".casefold() for row in found]
        same([True] * max(1, len(texts)), [all(word in text for word in self.facts.words) for text in texts])
        return f"{len(found)} rows"

    def facet(self) -> str:
        """Compare counts."""
        theirs = COUNTS.get(self.peer.name, counted)(self.answer("facet").content)
        same(self.product["facet"], theirs)
        return f"{len(theirs)} values"

    def export(self) -> str:
        """Count the rows."""
        lines = list(csv.reader(self.answer("export").body.decode().splitlines(keepends=True)))
        same(self.size, len(lines) - 1)
        return f"{self.size} rows"

    def conditional(self) -> str:
        """Poll with the ETag."""
        tag = self.answer("conditional").headers["etag"]
        same(
            HTTPStatus.NOT_MODIFIED,
            ask(f"{self.base}{self.peer.path('conditional', self.facts)}", headers={"If-None-Match": tag}).status,
        )
        return "304"

    def write(self) -> str:
        """Write one, which can't be written again, read it back, and have a wrong one refused."""
        sent, url = initiative(f"zz-{time.time_ns()}"), f"{self.base}{self.peer.path('write', self.facts)}"
        same(HTTPStatus.CREATED, ask(url, sent).status)
        for refused in (sent, sent | {"id": "zz-other", "status": "wrong"}, sent | {"id": "zz-other", "city": "nowhere-xx"}):
            same(HTTPStatus.BAD_REQUEST // 100, ask(url, refused).status // 100)
        written = replace(self, facts=replace(self.facts, id=sent["id"])).rows("record")
        metrics = [metric | {"as_of": None} for metric in sent["metrics"]]
        expected = sent | {"parent": None, "awards": [], "city": {"id": "boston-ma", "name": "Boston"}, "metrics": metrics}
        same([expected], written)
        return "201"

    def run(self, workload: str) -> str:
        """Return what was seen."""
        return self.page(workload) if workload in {"list", "deep"} else str(getattr(self, workload)())


def of_ours(settings: Settings, folder: Path, facts: Facts) -> tuple[int, dict[str, Any]]:
    """Return how many initiatives there are, and the product's answers."""
    with running(PRODUCT, settings, folder) as base:
        checks = Checks(PRODUCT, base, facts, 0, {})
        size = ask(f"{base}/initiatives?limit=1&count=exact").content["page"]["total"]
        product: dict[str, Any] = {workload: checks.rows(workload) for workload in ("list", "deep", "record")}
        product["facet"] = COUNTS[PRODUCT.name](checks.answer("facet").content)
    if len(product["list"]) != PAGE:
        raise SystemExit("the product's page is short: there is nothing to compare")
    return size, product


def checked(peer: Peer, settings: Settings, folder: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield workload, what was seen, and whether that is fine."""
    facts = facts_of(settings)
    size, product = of_ours(settings, folder, facts)
    checks = Checks(peer, "", facts, size, product)
    offered = [workload for workload in WORKLOADS if peer.path(workload, facts)]
    with running(peer, settings, folder) as base:
        yield from seen(replace(checks, base=base), [workload for workload in offered if workload != "write"])
    if "write" in offered:
        with writable(settings, folder, "check", noted=False) as copy, running(peer, copy, folder) as base:
            yield from seen(replace(checks, base=base), ["write"])


def seen(checks: Checks, workloads: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Run checks."""
    for workload in workloads:
        try:
            yield workload, checks.run(workload), True
        except (DifferentError, LookupError, TypeError, ValueError) as error:
            yield workload, f"{type(error).__name__}: {error}", False


def main() -> None:
    """Check all that run here, or those that are named, on both databases; ends with status 1 when one differs."""
    peers = [peer for peer in PEERS if peer.name in sys.argv[1:] or not sys.argv[1:]]
    missing = ensure_peers(peers)
    for name, why in missing.items():
        print(f"{name:24}is left out: {why}")
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.environ.get("BENCH_DATA", temporary))
        store = DatasetStore(folder)
        try:
            for peer in peers:
                for dialect in () if peer.name in missing else peer.dialects:
                    try:
                        for workload, what, good in checked(peer, store.get(dialect, SIZE), folder):
                            print(f"{peer.name:24}{dialect:12}{workload:14}{what}", flush=True)
                            fine = fine and good
                    except ServerError as error:
                        print(f"{peer.name:24}{dialect:12}{error}", flush=True)
                        fine = False
        finally:
            store.close()
    sys.exit(not fine)


if __name__ == "__main__":
    main()
