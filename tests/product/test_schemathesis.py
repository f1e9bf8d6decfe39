"""Thousands of requests generated from the OpenAPI document find no difference between document and application."""

import json
import re
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

from api.resources import RESOURCES
from api.settings import Settings
from api.web import keys
from tests.support.applications import serving
from tests.support.databases import ON_SQLITE

MANY = "^(list_(?!problems)|export_|search_|create_|put_|patch_|delete_)"
# Parameters and bodies with expressions; their errors name no parameter.
EXPRESSIONS = {"filter", "queries", None}
CHOICES = {"Schema-valid request rejected", "Schema-violating request accepted"}
# The end of the refusal of a period, as of `2024/2023`.
PERIOD = re.compile(r"`[^`/]*\d[^`/]*/\d[^`]*` is not\.$")
# The end of the refusal of a day that its month does not have, as of `2023-02-29` or `202X-11-31`.
DAY = re.compile(r"`[^`]*-((0[469]|11)-31|02-(29|3[01]))[^`]*` is not\.$")
# Operations on what another operation makes, under an id or a name that the server or the request chooses.
CHANCE = re.compile(r"\{name\}/rotate|/proposals/\{id\}")
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass
class Campaign:
    """The statuses and failures of one run."""

    failures: list[str] = field(default_factory=list)
    phases: dict[str, Status] = field(default_factory=dict)
    checks: set[str] = field(default_factory=set)
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_context: Any, value: Any) -> bytes:
    """Send lines of JSON as they are."""
    return str(value).encode(errors="replace")


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Let records lack members, as the document says in words of answers to a request with `fields`."""
    for resource in RESOURCES:
        raw_schema["components"]["schemas"][resource.singular.title()].pop("required", None)


def keep_failure(
    _context: schemathesis.HookContext, failure: Failure, _case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Ignore failures in which the application refuses input that a schema cannot exclude.

    A schema cannot say that a cursor belongs to one list, which type of value each member of an expression takes, or how long a
    query may be. Nor can it say that the past has no includes, that the table of a record's parts has no `fields`, how the lines
    of NDJSON look, that a comma makes one value two, that a period ends after it begins, or how many days a month has.
    """
    # The application waits for a future version, and for changes. Nor can a schema say what a file has.
    waits = response.status_code == 503 and {"min_version", "wait"} & {*(_case.query or {})}
    if response.status_code == 414 or waits or (_case.path == "/imports" and response.status_code in {400, 422}):
        return False
    # `Prefer: return=minimal` gets no body.
    if response.headers.get("preference-applied") and response.status_code == 201:
        return False
    # Nor can a schema know the versions, a record's current one, which are checked before the rest of a request, or how long a
    # file is that a `Range` asks a part of.
    if failure.title in CHOICES and response.status_code in {410, 412, 416, 428}:
        return False
    if failure.title != "Schema-valid request rejected" or response.status_code not in {400, 422}:
        return True
    if _case.operation.method.upper() != "GET" and not _case.path.endswith(("/search", "/reconcile")):
        lines = _case.media_type == "application/x-ndjson"
        return not (lines or all(is_untold(item) for item in response.json()["errors"]))
    errors = [item for item in response.json()["errors"] if not (PERIOD.search(item["detail"]) or DAY.search(item["detail"]))]
    codes = {(item.get("parameter"), item["code"]) for item in errors}
    untold = {
        *(("cursor", "invalid-cursor"), ("sort", "named-twice"), ("highlights", "needs-q")),
        ("fields", "not-in-this-format"),
    }
    words = {"too-many-values", "not-together", "needs-include"}
    return not all(row in untold or row[0] in EXPRESSIONS or row[1] in words for row in codes)


def is_untold(item: dict[str, Any]) -> bool:
    """Tell whether input that is to be written has an error that no schema can express.

    References to records, their versions, a key's earlier use, rules across members, calendar dates, future dates, and the
    precision of decimals.
    """
    pointer = item.get("pointer", "")
    if item.get("parameter") in {"If-Match", "Idempotency-Key"}:
        return True
    if item["code"] in {"unknown-reference", "named-twice", "unknown-id", "precondition-required", "precondition-failed"}:
        return True
    # A pattern of every invisible character would be longer than the rest of the schema.
    if item["code"] == "invalid-value" and (
        "cannot contain the character" in item["detail"] or "at least one letter" in item["detail"]
    ):
        return True
    together = (
        *("/id", "/parts", "/parent", "/url", "/max_population", "/started", "/as_of", "/value", "/expires_at"),
        *("/rank", "/locator", "/text_sha256"),
    )
    if item["code"] in {"invalid-value", "read-only", "missing"} and pointer.endswith(together):
        return True
    # An operation's record has its noun's members, and a null member is present.
    return pointer.startswith(("/operations/", "/0")) or (item["code"] == "missing" and bool(pointer))


def schema_of(app: Flask, examples: int, *, every: bool = False) -> schemathesis.BaseSchema:
    """Read the served document; every run generates the same requests from it.

    Without ``every``, list parameters and record members are not each tested alone.
    """
    lists = {"include-operation-id-regex": MANY, "phases": {"coverage": {"enabled": False}}}
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
            # This check needs a second process; `test_auth` tests every operation with every kind of key.
            "checks": {"ignored_auth": {"enabled": False}},
            # This check needs the network to read compressed answers.
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
    """Assert that a campaign finds no failure and reaches every operation."""
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
    # Operations that need a version, an existing key or an existing proposal succeed by chance.
    by_chance = {label for label in operations if label.startswith(("PUT", "PATCH", "DELETE")) or CHANCE.search(label)}
    assert {label for label, statuses in campaign.statuses.items() if statuses & {200, 201}} >= operations - by_chance


@contextmanager
def campaigned(settings: Settings) -> Iterator[Flask]:
    """An application on its own database that a campaign may write to."""
    changed = replace(settings, write_limit="1000000/minute", public_url="https://api.example.org", cache_mb=8, waiters=0)
    with pytest.MonkeyPatch.context() as patch, serving(changed) as app:
        patch.setattr("api.web.consistency.PATIENCE", 0.0)
        yield app


@pytest.mark.slow
@ON_SQLITE
def test_document_is_true(settings: Settings) -> None:
    """No generated request fails a check, and every operation answers 200 at least once."""
    with campaigned(settings) as app:
        check_campaign(app, 3)


@pytest.mark.slow
@pytest.mark.campaign
def test_document_is_true_for_long(settings: Settings) -> None:
    """The same for many more requests."""
    with campaigned(settings) as app:
        check_campaign(app, 20, every=True)


@ON_SQLITE
def test_lie_is_found(settings: Settings) -> None:
    """The control: the campaign reports a document that promises pages of 501 and results with a member `mayor`."""
    with campaigned(settings) as app:
        lie(app)
        campaign = run(schema_of(app, 1))
    assert {failure.partition(":")[0] for failure in campaign.failures} == {
        "Schema-valid request rejected",
        "Response violates schema",
    }


def lie(app: Flask) -> None:
    """Make the document promise something false."""
    document = json.loads(app.extensions["openapi"])
    document["paths"] = {"/search": document["paths"]["/search"]}
    document["components"]["parameters"]["limit"]["schema"]["maximum"] = 501
    document["components"]["schemas"]["Found"]["required"].append("mayor")
    app.extensions["openapi"] = json.dumps(document).encode()
