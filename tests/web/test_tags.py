"""Entity tags in all codings and states: one that is good stays good, and none misleads after a restore or a new release."""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import text

from api.db.database import Database
from api.settings import Settings
from api.web.negotiation import CODINGS
from api.web.tags import matches
from tests.support.answers import brief
from tests.support.applications import curating, serving
from tests.support.databases import ON_SQLITE, Store, opened, publishing
from tests.support.editions import SEEDED
from tests.support.lengths import Sample, examples, few

RECORD = "/cities/boston-ma"
PATHS = (
    *(
        RECORD,
        f"{RECORD}?include=awards",
        f"{RECORD}?fields=id",
        f"{RECORD}/history",
        f"{RECORD}?as_of={SEEDED + 1}",
        "/cities",
    ),
    *("/cities?limit=1&fields=id", "/cities.csv", "/cities.ndjson", "/search?q=boston", "/suggest?q=bos", "/changes?since=600"),
    *(
        "/digest",
        f"/digest?at={SEEDED + 1}",
        "/digest/cities",
        "/snapshot",
        f"/snapshot?as_of={SEEDED + 1}",
        f"/changesets/{SEEDED + 1}",
    ),
)
UNCHANGING = ("/openapi.json", "/enums", "/docs", "/", "/problems", "/problems/conflict", "/static/style.css")
ACCEPTED = (None, "identity", *CODINGS)


def accepting(coding: str | None, **headers: str) -> dict[str, str]:
    """Return the headers of a request that accepts one coding; None sends no `Accept-Encoding`."""
    return headers if coding is None else {"Accept-Encoding": coding, **headers}


def status(client: FlaskClient, path: str, headers: dict[str, str], method: str = "GET") -> int:
    """Return the status of a read."""
    return client.open(path, method=method, headers=headers, buffered=True).status_code


def tag_of(client: FlaskClient, path: str, coding: str | None = None) -> str:
    """Return the tag of an answer."""
    return client.get(path, headers=accepting(coding), buffered=True).headers["ETag"]


def change(database: Database, summary: str) -> None:
    """Publish another summary of Boston."""
    with publishing(database) as session:
        session.execute(text("update cities set summary = :summary where id = 'boston-ma'"), {"summary": summary})


@pytest.fixture
def futures(store: Store, settings: Settings) -> Iterator[tuple[FlaskClient, FlaskClient]]:
    """Curators of two databases with one past and different futures of the same length: one of them was lost in a restore."""
    with ExitStack() as stack:
        other = store.copy(settings)
        stack.callback(store.drop, other)
        clients = []
        for place, summary in ((settings, "Lost."), (other, "Kept.")):
            with opened(place) as database:
                change(database, summary)
            app = stack.enter_context(serving(replace(place, cache_mb=1, write_limit="1000000/minute")))
            client = app.test_client()
            with opened(place) as database:
                client.secret = curating(app.test_client(), database).environ_base["HTTP_AUTHORIZATION"]  # type: ignore[attr-defined]
            clients.append(client)
        yield clients[0], clients[1]


@ON_SQLITE
def test_only_what_would_be_sent(futures: tuple[FlaskClient, FlaskClient], sample: Sample) -> None:
    """A tag gets a 304, and passes `If-Match`, only where the answer would be the same bytes: by coding and by future."""
    lost, kept = futures
    for path in sample((*PATHS, *UNCHANGING), 4):
        tags = {coding: tag_of(kept, path, coding) for coding in ACCEPTED}
        for (mine, tag), coding in itertools.product(tags.items(), ACCEPTED):
            is_same = (mine or "identity") == (coding or "identity")
            for method in ("GET", "HEAD"):
                expected = (304, 200) if is_same else (200, 412)
                assert conditions(kept, path, coding, tag, method) == expected, (path, mine, coding)
        for coding in ACCEPTED:
            expected = (304, 200) if path in UNCHANGING else (200, 412)
            assert conditions(kept, path, coding, tag_of(lost, path, coding)) == expected, (path, coding)


def conditions(client: FlaskClient, path: str, coding: str | None, tag: str, method: str = "GET") -> tuple[int, int]:
    """Return the statuses of a read with `If-None-Match` and of one with `If-Match`."""
    none, match = (status(client, path, accepting(coding, **{name: tag}), method) for name in ("If-None-Match", "If-Match"))
    return none, match


@ON_SQLITE
@pytest.mark.parametrize("path", [RECORD, "/cities", "/cities?limit=1&fields=id", "/openapi.json"])
def test_tags_of_proxies(client: FlaskClient, path: str) -> None:
    """A tag that Apache, Caddy or nginx changed is known, and never to a client that cannot decode the copy."""
    for coding in ACCEPTED:
        tag = tag_of(client, path, coding)
        weak, suffixed = f"W/{tag}", f'{tag[:-1]}-gzip"'
        assert status(client, path, accepting(coding, **{"If-None-Match": weak})) == 304
        assert status(client, path, accepting(coding, **{"If-Match": weak})) == 200
        decodes = coding in {None, "gzip"}
        assert status(client, path, accepting(coding, **{"If-None-Match": suffixed})) == (304 if decodes else 200), coding
        assert status(client, path, accepting(coding, **{"If-Match": suffixed})) == (200 if decodes else 412), coding
    plain = tag_of(client, path)
    answer = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": f'{plain[:-1]}-gzip"'})
    assert (answer.status_code, answer.headers["ETag"]) == (304, tag_of(client, path, "gzip"))


def test_only_the_beginning_is_read() -> None:
    """A tag behind the first 1,000 characters of a header has no effect, and none is cut to another tag."""
    tag = "5f1c0d7a-618-3c59dc04"
    assert matches(f'"{"x" * 900}", "{tag}"', tag, None)
    assert not matches(f'"{"x" * 1_000}", "{tag}"', tag, None)
    assert not matches(f"{'x' * (999 - len(tag))},{tag}:gzip", tag, None)


@ON_SQLITE
@pytest.mark.parametrize("path", [RECORD, "/cities", "/cities.csv", "/openapi.json", "/changes"])
def test_if_match_of_reads(client: FlaskClient, path: str) -> None:
    """On a read, `If-Match` with another tag is a 412, even with a matching `If-None-Match`; the control passes."""
    tag = tag_of(client, path)
    for written in ('"nope"', "", "nope", f'"{tag[1:-1]}0"'):
        refused = client.get(path, headers={"If-Match": written, "If-None-Match": tag})
        code, name, items = brief(refused)
        assert (code, name, items[0]["parameter"]) == (412, "precondition-failed", "If-Match")
        assert status(client, path, {"If-Match": written}, "HEAD") == 412
    for written in (tag, "*", f'"nope", {tag}'):
        assert status(client, path, {"If-Match": written}) == status(client, path, {"If-Match": written}, "HEAD") == 200
        assert status(client, path, {"If-Match": written, "If-None-Match": tag}) == 304
    assert status(client, "/cities/nowhere", {"If-Match": "*"}) == 404


@ON_SQLITE
def test_another_address_or_release(settings: Settings) -> None:
    """With another `PUBLIC_URL` or another release, an old tag gets a 200; the control, under neither, a 304."""
    with ExitStack() as stack:
        urls = ("https://a.example", "https://a.example", "https://b.example", "https://a.example")
        apps = [stack.enter_context(serving(replace(settings, public_url=url))) for url in urls]
        apps[3].extensions["release"] = "another"
        here, same, moved, newer = (app.test_client() for app in apps)
        for path in (path.replace(f"{SEEDED + 1}", f"{SEEDED}") for path in PATHS if "changesets" not in path):
            old = {"If-None-Match": tag_of(here, path)}
            assert [status(client, path, old) for client in (same, moved, newer)] == [304, 200, 200], path
        # A page that stays the same keeps its tag.
        for path, expected in (("/", [304, 200, 304]), ("/docs", [304, 304, 304])):
            old = {"If-None-Match": tag_of(here, path)}
            assert [status(client, path, old) for client in (same, moved, newer)] == expected, path


def test_unpublished_changes(own_client: FlaskClient, database: Database) -> None:
    """A list that shows an unpublished change by raw SQL has a different tag for each state."""
    path = "/cities?state=ZZ&fields=id"
    before = tag_of(own_client, path)
    tags = {before}
    for state in ("ZZ", "YY", "ZZ"):
        with database.writing() as session:
            session.execute(text("update cities set state = :state where id = 'boston-ma'"), {"state": state})
        answer = own_client.get(path, headers={"If-None-Match": ", ".join(tags)})
        assert (answer.status_code, len(answer.get_json()["data"])) == (200, int(state == "ZZ"))
        tags.add(answer.headers["ETag"])
    assert len(tags) == 4


@ON_SQLITE
@pytest.mark.parametrize("coding", few(ACCEPTED, None, "gzip"))
def test_every_tag_of_a_record_may_write(own_client: FlaskClient, database: Database, coding: str | None) -> None:
    """The tag of any read of a record is good for `If-Match` of a write, once, and of an operation in a changeset."""
    curator = curating(own_client, database)
    numbers = itertools.count()
    forms = ("{}", "W/{}", '"x", {}', "{gzip}")
    for path, form in itertools.product((RECORD, f"{RECORD}?fields=name", f"{RECORD}?include=awards"), forms):
        tag = tag_of(curator, path, coding)
        header = {"If-Match": form.replace("{gzip}", f'{tag[:-1]}-gzip"').replace("{}", tag)}
        for expected in (200, 412):
            answer = curator.patch(RECORD, json={"summary": f"{next(numbers)}"}, headers=header)
            assert answer.status_code == expected, (path, form)
        for if_match, expected in ((tag_of(curator, path, coding), 200), (tag, 412)):
            document = {"summary": f"{next(numbers)}"}
            operation = {"op": "patch", "kind": "cities", "id": "boston-ma", "if_match": if_match, "document": document}
            answer = curator.post("/changesets", json={"operations": [operation]})
            assert answer.status_code == expected, (path, if_match, answer.get_json())


def test_writers_of_a_lost_future(futures: tuple[FlaskClient, FlaskClient]) -> None:
    """A tag of a lost version changes nothing, even if the version's number is the same; the current tag works."""
    lost, kept = futures
    tags = [client.get(RECORD).headers["ETag"] for client in (lost, kept)]
    versions = {client.get(RECORD).get_json()["data"]["version"] for client in (lost, kept)}
    assert len(versions) == 1
    for tag, expected in zip(tags, (412, 200), strict=True):
        headers = {"If-Match": tag, "Authorization": kept.secret}  # type: ignore[attr-defined]
        assert kept.patch(RECORD, json={"summary": "Mine."}, headers=headers).status_code == expected
        assert (kept.get(RECORD).get_json()["data"]["summary"] == "Mine.") == (expected == 200)


LISTED = (RECORD, "/cities", "/cities?limit=1&fields=id", "/digest")
OTHER = "/surveys/digital-cities-2024"


@pytest.fixture
def tags(client: FlaskClient) -> dict[str, dict[str | None, str]]:
    """The tag of each answer, by path and coding."""
    return {path: {coding: tag_of(client, path, coding) for coding in ACCEPTED} for path in (*LISTED, OTHER)}


@ON_SQLITE
@limits(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_list_of_tags_misleads(client: FlaskClient, tags: dict[str, dict[str | None, str]], data: st.DataObject) -> None:
    """Any list of tags, changed by proxies or not, gets a 304 only if one names the answer; its tag is that of a 200."""
    path = data.draw(st.sampled_from(LISTED))
    coding = data.draw(st.sampled_from(ACCEPTED))
    known: dict[str, tuple[str, str | None]] = {}
    for other, mine in itertools.product([path, OTHER], ACCEPTED):
        tag = tags[other][mine]
        known |= {tag: (other, mine), f"W/{tag}": (other, mine)}
    sent = data.draw(st.lists(st.sampled_from([*known, '"x"', 'W/""', "junk"]), min_size=1, max_size=4))
    answer = client.get(path, headers=accepting(coding, **{"If-None-Match": ", ".join(sent)}), buffered=True)
    names: Any = (known.get(tag) for tag in sent)
    is_known = any(name and name[0] == path and (name[1] or "identity") == (coding or "identity") for name in names)
    assert (answer.status_code, answer.headers["ETag"]) == (304 if is_known else 200, tags[path][coding])
