"""What the OpenAPI document says is what the application does, for thousands of requests made from it."""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import schemathesis
from flask import Flask
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.run import TESTING_PHASES

from api.endpoints.records import OF_PAGES
from api.settings import Settings
from api.web import keys
from tests.support.applications import serving
from tests.support.databases import Store, upgrade

MANY = "^(list_(?!problems)|export_|search_|create_|put_|patch_|delete_)"
# An expression is a parameter, or a body, of which the errors name no parameter.
EXPRESSIONS = {"filter", None}
CHOICES = {"Schema-valid request rejected", "Schema-violating request accepted"}
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass
class Campaign:
    """What a run did and found."""

    failures: list[str] = field(default_factory=list)
    phases: dict[str, Status] = field(default_factory=dict)
    checks: set[str] = field(default_factory=set)
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_context: Any, value: Any) -> bytes:
    """Send lines of JSON as they are."""
    return str(value).encode(errors="replace")


def keep_failure(
    _context: schemathesis.HookContext, failure: Failure, _case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Drop one kind of failure: that what no schema can tell is refused.

    A schema can say what a cursor is made of, but not which list made it; what an expression's members are called, but not
    in what type of value each is asked for; not that a stream has no pages, that the past includes nothing, how long all of a
    query may be, nor what the lines of NDJSON are; and how many values a list has, but not that a comma makes two of one.
    """
    # A version that is still to come is waited for, and so are changes.
    if response.status_code == 414 or (response.status_code == 503 and {"min_version", "wait"} & {*(_case.query or {})}):
        return False
    # Who prefers little gets no body.
    if response.headers.get("preference-applied") and response.status_code == 201:
        return False
    # Nor which versions there are, and which a record is at: that is looked at before the rest of a request.
    if failure.title in CHOICES and response.status_code in {410, 412, 428}:
        return False
    if failure.title != "Schema-valid request rejected" or response.status_code not in {400, 422}:
        return True
    if _case.operation.method.upper() != "GET" and not _case.path.endswith("/search"):
        lines = _case.media_type == "application/x-ndjson"
        return not (lines or all(is_untold(item) for item in response.json()["errors"]))
    codes = {(item.get("parameter"), item["code"]) for item in response.json()["errors"]}
    untold = {("cursor", "invalid-cursor"), ("sort", "named-twice"), ("highlights", "needs-q")} | {
        (parameter, "not-in-this-format") for parameter in OF_PAGES
    }
    words = {"too-many-values", "not-together"}
    return not all(row in untold or row[0] in EXPRESSIONS or row[1] in words for row in codes)


def is_untold(item: dict[str, Any]) -> bool:
    """Tell whether something is wrong with what is sent to be written of which no schema can tell.

    What there is, and at which version; what a key was used for; how members go together; what is in a calendar, and to
    come; and how exact a decimal is.
    """
    pointer = item.get("pointer", "")
    if item.get("parameter") in {"If-Match", "Idempotency-Key"}:
        return True
    if item["code"] in {"unknown-reference", "named-twice", "unknown-id", "precondition-required", "precondition-failed"}:
        return True
    together = ("/id", "/parts", "/parent", "/url", "/max_population", "/started", "/as_of", "/value", "/expires_at")
    if item["code"] in {"invalid-value", "read-only", "missing"} and pointer.endswith(together):
        return True
    # The members of an operation's record are those of its noun; and null is no member to be without.
    return pointer.startswith(("/operations/", "/0")) or (item["code"] == "missing" and bool(pointer))


def schema_of(app: Flask, examples: int, *, every: bool = False) -> schemathesis.BaseSchema:
    """Read the served document; the same requests are made from it in every run.

    Unless ``every``, the many parameters of lists, and members of records, are not each tried out one by one.
    """
    lists = {"include-operation-id-regex": MANY, "phases": {"coverage": {"enabled": False}}}
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
            # It can't ask again without a process of its own; `test_auth` asks every operation with every kind of key.
            "checks": {"ignored_auth": {"enabled": False}},
            # It asks for what is compressed, and can't read it where there is no network.
            "headers": {"Authorization": f"Bearer {key_of(app)}", "Accept-Encoding": "identity"},
            "operations": [] if every else [lists],
            "generation": {"deterministic": True, "database": "none", "max-examples": examples},
        }
    )
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
    # The operation at its own location would be left out.
    schema.location = None
    schema.hooks.register_hook_with_name(keep_failure, "filter_failure")
    return schema


def run(schema: schemathesis.BaseSchema) -> Campaign:
    """Send the requests of every phase, and make every check on every answer."""
    campaign = Campaign()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            for id, interaction in recorder.interactions.items():
                if interaction.response is not None:
                    label = recorder.cases[id].value.operation.label
                    campaign.statuses[label].add(interaction.response.status_code)
            for check in (check for checks in recorder.checks.values() for check in checks):
                campaign.checks.add(check.name)
                if check.failure_info:
                    failure = check.failure_info.failure
                    campaign.failures.append(f"{failure.title}: {failure.message}\n{check.failure_info.code_sample}")
        elif isinstance(event, events.PhaseFinished) and event.phase.name in TESTING_PHASES:
            campaign.phases[event.phase.name.value] = event.status
        elif isinstance(event, events.NonFatalError | events.FatalError):
            campaign.failures.append(str(event))
    return campaign


def key_of(app: Flask) -> str:
    """Make a key that may do everything."""
    with app.extensions["database"].writing() as session:
        return keys.issue(session, uuid.uuid4().hex, ["admin"], None)


def check_campaign(app: Flask, examples: int, *, every: bool = False) -> None:
    """Assert that a campaign finds nothing, and that it did what it should have."""
    schema = schema_of(app, examples, every=every)
    campaign = run(schema)
    if campaign.failures:
        pytest.fail("\n\n".join(campaign.failures), pytrace=False)
    assert campaign.phases == {phase.value: Status.SUCCESS for phase in TESTING_PHASES}
    load_all_checks()
    assert campaign.checks == set(CHECKS.get_all_names()) - {"ignored_auth"}
    paths = schema.raw_schema["paths"]
    operations = {f"{method.upper()} {path}" for path, item in paths.items() for method in METHODS if method in item}
    assert set(campaign.statuses) == operations
    # What must know a version, or a key that is there, works by chance.
    by_chance = {label for label in operations if label.startswith(("PUT", "PATCH", "DELETE")) or "{name}/rotate" in label}
    assert {label for label, statuses in campaign.statuses.items() if statuses & {200, 201}} >= operations - by_chance


@contextmanager
def campaigned(settings: Settings) -> Iterator[Flask]:
    """Make an application on a database of its own, to be written to."""
    changed = replace(settings, write_limit="1000000/minute", public_url="https://api.example.org", cache_mb=8, waiters=0)
    with pytest.MonkeyPatch.context() as patch, serving(changed) as app:
        patch.setattr("api.web.consistency.PATIENCE", 0.0)
        yield app


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A migrated SQLite file: the long campaign asks both kinds of database."""
    settings = Store("sqlite", tmp_path_factory.mktemp("campaign"), "").empty()
    upgrade(settings)
    return settings


def test_document_is_true(file: Settings) -> None:
    """No request made from the document, in any phase, fails any check; and every operation gets to answer 200."""
    with campaigned(file) as app:
        check_campaign(app, 3)


@pytest.mark.slow
@pytest.mark.campaign
def test_document_is_true_for_long(settings: Settings) -> None:
    """The same for many more requests."""
    with campaigned(settings) as app:
        check_campaign(app, 20, every=True)


def test_lie_is_found(file: Settings) -> None:
    """The control: when the document promises pages of 501, and what is found a mayor, the campaign says so."""
    with campaigned(file) as app:
        lie(app)
        campaign = run(schema_of(app, 1))
    assert {failure.partition(":")[0] for failure in campaign.failures} == {
        "Schema-valid request rejected",
        "Response violates schema",
    }


def lie(app: Flask) -> None:
    """Let the document say what is not true."""
    document = json.loads(app.extensions["openapi"])
    document["paths"] = {"/search": document["paths"]["/search"]}
    operation = document["paths"]["/search"]["get"]
    (limit,) = (parameter for parameter in operation["parameters"] if parameter["name"] == "limit")
    limit["schema"]["maximum"] = 501
    document["components"]["schemas"]["Found"]["required"].append("mayor")
    app.extensions["openapi"] = json.dumps(document).encode()
