"""Two keys decide on one proposal at the same time."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from api.settings import Settings
from api.web import keys
from tests.support.answers import read
from tests.support.applications import serving
from tests.support.processes import at_once

ROUNDS, PUBLISHERS = 3, 4
NUMBERS = itertools.count()


@pytest.fixture
def office(settings: Settings) -> Iterator[tuple[Flask, list[str]]]:
    """An application, and a key for each publisher, which may write, too."""
    with serving(replace(settings, write_limit="1000000/minute", pool_size=20)) as app:
        with app.extensions["database"].writing() as session:
            secrets = [keys.issue(session, f"publisher-{n}", ["publish", "write"]) for n in range(PUBLISHERS)]
        yield app, [f"Bearer {secret}" for secret in secrets]


def published(office: tuple[Flask, list[str]], *, as_proposal: bool) -> list[int]:
    """Let all publishers carry out the same operations at once, as one proposal or as changesets; return the statuses."""
    app, secrets = office
    operation = {
        "op": "patch",
        "kind": "cities",
        "id": "seattle-wa",
        "if_match": "*",
        "document": {"summary": f"{next(NUMBERS)}."},
    }
    body, path = {"operations": [operation]}, "/changesets"
    if as_proposal:
        made = app.test_client().post("/proposals", json=body, headers={"Authorization": secrets[0]})
        path, body = f"/proposals/{made.get_json()['data']['id']}/publish", {}

    def publish(number: int) -> int:
        headers = {"Authorization": secrets[number]}
        client = app.test_client()
        return (client.post(path, json=body, headers=headers) if body else client.post(path, headers=headers)).status_code

    return sorted(at_once(PUBLISHERS, publish))


def test_a_proposal_is_published_once(office: tuple[Flask, list[str]]) -> None:
    """Of four keys that publish one proposal at once, one does, and the others get a 409; it is one commit of its author."""
    client, secret = office[0].test_client(), office[1][0]
    before = len(read(client, "/changesets?limit=500")["data"])
    for _ in range(ROUNDS):
        assert published(office, as_proposal=True) == [200, 409, 409, 409]
    commits = read(client, "/changesets?limit=500")["data"]
    assert len(commits) == before + ROUNDS
    client.environ_base["HTTP_AUTHORIZATION"] = secret
    rows = read(client, "/proposals")["data"]
    assert [(row["state"], row["version"]) for row in rows] == [("published", row["version"]) for row in commits[:ROUNDS]]
    assert {row["author"] for row in commits[:ROUNDS]} == {"publisher-0"}


def test_control_changesets_are_all_carried_out(office: tuple[Flask, list[str]]) -> None:
    """The operations alone do not prevent that they are carried out by every key: the test above can fail."""
    assert published(office, as_proposal=False) == [200, 200, 200, 200]
