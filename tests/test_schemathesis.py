"""What the OpenAPI document says is what the application does, for thousands of requests made from it."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.run import TESTING_PHASES

from api.rest import PAGED

LISTS = "^(list_(?!problems)|export_|search_)"
# An expression is a parameter, or a body, of which the errors name no parameter.
EXPRESSIONS = {"filter", None}


@dataclass
class Campaign:
    """What a run did and found."""

    failures: list[str] = field(default_factory=list)
    phases: dict[str, Status] = field(default_factory=dict)
    checks: set[str] = field(default_factory=set)
    statuses: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


def keep_failure(
    _context: schemathesis.HookContext, failure: Failure, _case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Drop one kind of failure: that what no schema can tell is refused.

    A schema can say what a cursor is made of, but not which list made it; what an expression's members are called, but not
    in what type of value each is asked for; not that a stream has no pages, nor how long all of a query may be; and how
    many values a list has, but not that a comma within one makes two of it.
    """
    if response.status_code == 414:
        return False
    if failure.title != "Schema-valid request rejected" or response.status_code not in {400, 422}:
        return True
    codes = {(item.get("parameter"), item["code"]) for item in response.json()["errors"]}
    untold = {("cursor", "invalid-cursor"), ("sort", "named-twice"), ("highlights", "needs-q")} | {
        (parameter, "not-in-this-format") for parameter in PAGED
    }
    return not all(row in untold or row[0] in EXPRESSIONS or row[1] == "too-many-values" for row in codes)


def schema_of(app: Flask, examples: int, *, every: bool = False) -> schemathesis.BaseSchema:
    """Read the served document; the same requests are made from it in every run.

    Unless ``every``, the many parameters of lists are not each tried out one by one.
    """
    lists = {"include-operation-id-regex": LISTS, "phases": {"coverage": {"enabled": False}}}
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "continue-on-failure": True,
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


def check_campaign(app: Flask, examples: int, *, every: bool = False) -> None:
    """Assert that a campaign finds nothing, and that it did what it should have."""
    schema = schema_of(app, examples, every=every)
    campaign = run(schema)
    assert campaign.failures == []
    assert campaign.phases == {phase.value: Status.SUCCESS for phase in TESTING_PHASES}
    load_all_checks()
    assert campaign.checks == set(CHECKS.get_all_names())
    paths = schema.raw_schema["paths"]
    operations = {f"{method.upper()} {path}" for path, item in paths.items() for method in ("get", "post") if method in item}
    assert {label for label, statuses in campaign.statuses.items() if 200 in statuses} == operations


def test_document_is_true(app: Flask) -> None:
    """No request made from the document, in any phase, fails any check; and every operation gets to answer 200."""
    check_campaign(app, 5)


@pytest.mark.slow
def test_document_is_true_for_long(app: Flask) -> None:
    """The same for many more requests."""
    check_campaign(app, 200, every=True)


def test_lie_is_found(own_client: FlaskClient) -> None:
    """The control: when the document promises pages of 501, and what is found a mayor, the campaign says so."""
    app = own_client.application
    document = json.loads(app.extensions["openapi"])
    document["paths"] = {"/search": document["paths"]["/search"]}
    operation = document["paths"]["/search"]["get"]
    (limit,) = (parameter for parameter in operation["parameters"] if parameter["name"] == "limit")
    limit["schema"]["maximum"] = 501
    document["components"]["schemas"]["Found"]["required"].append("mayor")
    app.extensions["openapi"] = json.dumps(document).encode()
    campaign = run(schema_of(app, 1))
    assert {failure.partition(":")[0] for failure in campaign.failures} == {
        "Schema-valid request rejected",
        "Response violates schema",
    }
