"""For each operation that needs a key, a valid request, and others with one fault each."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.db.database import Database
from api.editing.inputs import example_of
from api.editing.staging import referrers
from api.resources import BY_NAME
from api.schema.fields import RESERVED
from api.schema.resource import Resource
from api.web import keys

ANY = {"If-Match": "*"}
READER = "reader"


@dataclass(frozen=True)
class Good:
    """A request; ``secret`` is its key's, if it has one."""

    method: str
    address: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    secret: str | None = None

    def send(self, client: FlaskClient, **changed: Any) -> TestResponse:
        """Send it, or one that differs from it."""
        good = replace(self, **changed)
        headers = dict(good.headers)
        if good.secret is not None:
            headers["Authorization"] = f"Bearer {good.secret}"
        data = good.body if good.body is None or isinstance(good.body, bytes) else json.dumps(good.body).encode()
        kind = headers.pop("Content-Type", "application/json" if data is not None else None)
        return client.open(good.address, method=good.method, data=data, content_type=kind, headers=headers)


def example(resource: Resource, id: str) -> dict[str, Any]:
    """Return a record to send, with this id."""
    return {**example_of(resource), "id": id}


def prepare(client: FlaskClient, database: Database, path: str, secret: str) -> Good:
    """Prepare the data that an operation needs, and return a valid request."""
    method, _, route = path.rpartition(" ")
    if route.startswith("/keys"):
        return _of_keys(client, database, method, route, secret)
    if route.startswith("/webhooks"):
        return _of_webhooks(client, method, route, secret)
    if route == "/imports":
        body = b"id,summary\nseattle-wa," + token_hex(4).encode()
        return Good(method, "/imports?noun=cities", body, {"Content-Type": "text/csv"}, secret)
    if route.startswith(("/changesets", "/proposals")):
        return _of_operations(client, method, route, secret)
    resource = BY_NAME[route.split("/")[1]]
    record = example_of(resource)
    there = Good("POST", f"/{resource.name}", record, {}, secret)
    gone = Good("DELETE", f"/{resource.name}/{record['id']}", None, ANY, secret)
    gone.send(client)
    if method == "POST":
        return there
    there.send(client)
    address, label = gone.address, next(name for name in ("title", "name", "summary", "field") if name in record)
    bodies = {"PUT": record, "PATCH": {label: "/title"}, "DELETE": None}
    return Good(method, address, bodies[method], ANY, secret)


def _of_keys(client: FlaskClient, database: Database, method: str, route: str, secret: str) -> Good:
    with database.writing() as session:
        for key in [key for key in keys.every(session) if key.name in {"made", "there"}]:
            session.delete(key)
        session.flush()
        keys.issue(session, "there", ["write"], None)
    body = {"name": "made", "scopes": ["write"]} if method == "POST" and route == "/keys" else None
    assert client
    return Good(method or "GET", route.replace("{name}", "there"), body, {}, secret)


def _of_operations(client: FlaskClient, method: str, route: str, secret: str) -> Good:
    # A commit needs a change.
    summary = token_hex(4)
    operation = {"op": "patch", "kind": "cities", "id": "seattle-wa", "if_match": "*", "document": {"summary": summary}}
    new = Good("POST", "/" + route.split("/")[1], {"operations": [operation]}, {}, secret)
    if route in {"/changesets", "/proposals"}:
        return new if method == "POST" else replace(new, method="GET", body=None)
    made = new.send(client).get_json()
    name = made["meta"]["commit"] if "meta" in made else made["data"]["id"]
    body = {"reason": "No."} if route.endswith("/refuse") else None
    return Good(method or "GET", re.sub(r"{\w+}", str(name), route), body, {}, secret)


def _of_webhooks(client: FlaskClient, method: str, route: str, secret: str) -> Good:
    # A test message goes nowhere: this name has no address.
    body = {"url": "https://receiver.invalid/hook"}
    id = Good("POST", "/webhooks", body, {}, secret).send(client).get_json()["data"]["id"]
    is_new = method == "POST" and route == "/webhooks"
    return Good(method or "GET", route.replace("{id}", id), body if is_new else None, {}, secret)


def wrong(client: FlaskClient, good: Good, reader: str) -> Iterator[TestResponse]:
    """Yield the answers to requests with one fault each; ``reader`` is a key without the scope to write."""
    yield good.send(client, secret="dca_x")  # noqa: S106 - nobody's
    yield good.send(client, secret=reader)
    mark = "&" if "?" in good.address else "?"
    yield good.send(client, address=f"{good.address}{mark}limti=1")
    yield good.send(client, address=f"{good.address}{mark}limit={'9' * 40_000}")
    if good.method != "DELETE":
        yield good.send(client, headers={**good.headers, "Accept": "image/png"})
    if good.body is not None:
        yield good.send(client, body=b" " * 1_000_001)
        yield good.send(client, headers={**good.headers, "Content-Type": "text/plain"})
        yield good.send(client, body=[])
    noun = good.address.split("/")[1]
    if good.address.endswith("/revert"):
        yield good.send(client, address="/changesets/999999/revert")
        once = {"Idempotency-Key": good.address}
        yield from [good.send(client, address=f"{good.address}?message={n}", headers=once) for n in range(2)]
        yield good.send(client)
    elif noun == "changesets" or good.address == "/proposals":
        yield from _of_changesets(client, good) if good.body else ()
        if noun == "proposals":
            once = {"Idempotency-Key": "proposals"}
            yield from [good.send(client, address=f"/proposals?message={n}", headers=once) for n in range(2) if good.body]
            yield good.send(client, address="/proposals?cursor=x")
    elif noun.startswith("imports"):
        yield from _of_files(client, good)
    elif noun == "proposals":
        yield from _of_decisions(client, good)
    elif noun in {"keys", "webhooks"}:
        yield from _of_names(client, good)
    else:
        if good.method != "POST":
            yield good.send(client, address=f"/{noun}/{RESERVED}")
        yield from _of_records(client, good, BY_NAME[noun])


def _of_changesets(client: FlaskClient, good: Good) -> Iterator[TestResponse]:
    city = {"op": "patch", "kind": "cities", "id": "seattle-wa", "document": {}}
    gone = {"id": "gone-zz", "name": "Gone", "state": "ZZ", "country": "US"}
    client.post("/cities", json=gone, headers={"Authorization": f"Bearer {good.secret}"})
    client.delete("/cities/gone-zz", headers={"Authorization": f"Bearer {good.secret}", **ANY})
    for operation in (
        city,
        {**city, "if_match": 1},
        {**city, "id": "nowhere-wa"},
        {**city, "id": "gone-zz"},
        {"op": "create", "kind": "cities", "document": {**gone, "name": "Seattle", "state": "WA", "id": "a-wa"}},
    ):
        yield good.send(client, body={"operations": [operation]})


def _of_decisions(client: FlaskClient, good: Good) -> Iterator[TestResponse]:
    yield good.send(client, address=re.sub("pr-[0-9a-f]+", "pr-0", good.address))
    if good.method == "GET":
        return
    yield good.send(client, headers={"Idempotency-Key": ""})
    yield from [good.send(client), good.send(client)]
    once = {"Idempotency-Key": good.address}
    yield from [good.send(client, address=address, headers=once) for address in (good.address, f"{good.address}?message=A")]
    if good.address.endswith("/publish"):
        yield from _of_outdated(client, good)


def _of_files(client: FlaskClient, good: Good) -> Iterator[TestResponse]:
    yield good.send(client, headers={**good.headers, "Idempotency-Key": ""})
    yield good.send(client, body=b"id\nseattle-wa")
    yield good.send(client, body=b"id,summary\nseattle,A.")
    once = {**good.headers, "Idempotency-Key": "imports"}
    yield from [good.send(client, address=f"{good.address}&message={n}", headers=once) for n in range(2)]


def _of_outdated(client: FlaskClient, good: Good) -> Iterator[TestResponse]:
    """Yield the answers to the publication of proposals that others' changes are in the way of."""
    city = {"id": "old-zz", "name": "Old", "state": "ZZ", "country": "US"}
    patch = {"op": "patch", "kind": "cities", "id": "old-zz", "if_match": "*", "document": {"summary": "B."}}
    put = {"op": "put", "kind": "cities", "id": "new-zz", "document": {**city, "id": "new-zz", "name": "New"}}
    rename = {"op": "rename", "kind": "cities", "id": "old-zz", "to": "other-zz"}
    create = Good("POST", "/cities", city, {}, good.secret)
    version = create.send(client).get_json()["data"]["version"]
    proposed = [
        replace(create, address="/proposals", body={"operations": [operation]}).send(client).get_json()["data"]["id"]
        for operation in ({**patch, "if_match": version}, put, patch)
    ]
    replace(create, address="/changesets", body={"operations": [patch, {**put, "op": "create"}]}).send(client)
    for number, id in enumerate(proposed):
        if number == len(proposed) - 1:
            replace(create, address="/changesets", body={"operations": [rename]}).send(client)
        yield good.send(client, address=f"/proposals/{id}/publish")


def _of_names(client: FlaskClient, good: Good) -> Iterator[TestResponse]:
    if good.body is not None:
        yield good.send(client, body={**good.body, "name": "there"})
    elif good.address not in {"/keys", "/webhooks"}:
        yield good.send(client, address=re.sub("there|wh-[0-9a-f]+", "nobody", good.address))


def _of_records(client: FlaskClient, good: Good, resource: Resource) -> Iterator[TestResponse]:
    first = client.get(f"/{resource.name}?limit=1&sort=id").get_json()["data"][0]
    if good.method == "POST":
        yield good.send(client, body={**good.body, "id": first["id"]})
        return
    yield good.send(client, headers={})
    yield good.send(client, headers={"If-Match": '"x-1"'})
    once = {"If-Match": '"x-1"', "Idempotency-Key": good.address}
    yield from [good.send(client, address=f"{good.address}?message={n}", headers=once) for n in range(2)][1:]
    if good.method == "PUT":
        yield good.send(
            client, address=f"/{resource.name}/a-ca", body={**good.body, "id": "a-ca", **_apart(resource)}, headers={}
        )
        yield good.send(client, address=f"/{resource.name}/b-ca", body={**good.body, "id": "b-ca"}, headers={})
        moved = {**good.body, "id": "zz-moved", **_apart(resource)}
        yield good.send(client, address=f"/{resource.name}/zz-moved", body=moved, headers={})
        yield good.send(client, headers={**good.headers, "Prefer": "return=minimal"})
        return
    yield good.send(client, address=f"/{resource.name}/nowhere", headers={})
    if good.method == "PATCH":
        others = {name: value for name, value in first.items() if name in example_of(resource) and name != "id"}
        yield good.send(client, body=others)
        yield good.send(client, headers={**good.headers, "Prefer": "return=minimal"})
    elif referrers(resource):
        for record in client.get(f"/{resource.name}?limit=500").get_json()["data"]:
            answer = good.send(client, address=f"/{resource.name}/{record['id']}")
            yield answer
            if answer.status_code == 409:
                break
    good.send(client, method="DELETE", body=None, headers=ANY)
    yield good.send(client, headers={})


def _apart(resource: Resource) -> dict[str, Any]:
    """Return members that make a second example unique."""
    members: dict[str, dict[str, Any]] = {
        "awards": {"city": "seattle-wa", "rank": 11},
        "citations": {"sentence": 77},
        "sources": {},
    }
    return members.get(resource.name, {resource.label.key: "Apart"})
