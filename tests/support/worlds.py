"""Random worlds in databases of both kinds, and one answer from both."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.resources import RESOURCES
from api.schema.resource import Resource
from tests.support import oracle
from tests.support.lengths import is_long
from tests.support.oracle import Document, World

WORLDS = 4 if is_long() else 1
BASE = "http://localhost"
# Digits of a chain or of a record in a tag.
DIGITS = re.compile(r"-[0-9a-f]{8}\b")
Arguments = list[tuple[str, str]]


class Place:
    """A world, served from SQLite and from PostgreSQL."""

    def __init__(self, world: World, clients: Sequence[FlaskClient]) -> None:
        """Join them."""
        self.world, self.clients = world, clients

    def get(self, path: str) -> TestResponse:
        """Send a request to both; they answer the same bytes. Tags are compared without digits: chains contain times."""
        first, second = (client.get(path) for client in self.clients)
        tags = [DIGITS.sub("", response.headers.get("ETag", "")) for response in (first, second)]
        assert (first.status_code, tags[0]) == (second.status_code, tags[1]), path
        if first.status_code == 200:
            assert first.get_data() == second.get_data()
        return first

    def ask(self, address: str) -> dict[str, Any]:
        """Return the answer to a request for an existing path."""
        response = self.get(address.removeprefix(BASE))
        body: dict[str, Any] = response.get_json()
        assert response.status_code == 200, body
        return body


def served(clients: Sequence[FlaskClient]) -> World:
    """Read the world that is served."""
    answers = [
        {noun.name: client.get(f"/{noun.name}?limit=500").get_json()["data"] for noun in RESOURCES} for client in clients
    ]
    assert all(answer == answers[0] for answer in answers)
    return World({noun: {record["id"]: record for record in records} for noun, records in answers[0].items()})


def escaped(value: str) -> str:
    """Write a text as one value of a list."""
    return re.sub(r"([\\,])", r"\\\1", value)


def written(value: Any) -> str:
    """Write a value as a query has it."""
    if isinstance(value, float):
        return f"{value:.6f}"
    return value if isinstance(value, str) else json.dumps(value)


def flat(filters: Mapping[str, Any], *, repeated: bool = False) -> Arguments:
    """Write filters as parameters, lists by comma or by repetition."""
    arguments: Arguments = []
    for name, value in filters.items():
        values = [escaped(written(one)) for one in value] if isinstance(value, list) else [written(value)]
        arguments += [(name, one) for one in (values if repeated else [",".join(values)])]
    return arguments


def compare(place: Place, noun: Resource, arguments: Arguments, expected: Sequence[Document], limit: int) -> None:
    """Request a list in pages and compare each of them."""
    parameters = dict(arguments)
    counted = (None, None) if parameters.get("count") == "none" else (len(expected), "eq")
    paths = parameters["include"].split(",") if "include" in parameters else []
    address: str | None = f"/{noun.name}?{urlencode([*arguments, ('limit', str(limit))])}"
    pages: list[list[Document]] = []
    for start in range(0, len(expected) or 1, limit):
        assert address
        answer = place.ask(address)
        assert [record["id"] for record in answer["data"]] == [record["id"] for record in expected[start : start + limit]]
        assert answer["data"] == expected[start : start + limit]
        assert (answer["page"]["total"], answer["page"]["total_relation"]) == counted
        assert answer["included"] == oracle.included(place.world, noun.name, expected[start : start + limit], paths)
        address = answer["links"]["next"]
        pages.append(answer["data"])
    assert address is None
    check_way_back(place, pages, answer)


def check_way_back(place: Place, pages: list[list[Document]], answer: dict[str, Any]) -> None:
    """Follow the links to the page before, from the last page to the first: each page comes again, with a link to the next."""
    for before, after in reversed([*pairwise(pages)]):
        answer = place.ask(address := answer["links"]["prev"])
        assert (address, answer["data"]) == (address, before)
        assert place.ask(answer["links"]["next"])["data"] == after
    assert answer["links"]["prev"] is None
