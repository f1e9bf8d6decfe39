"""The schemas that answers of `/reconcile` are checked against have each rule of the protocol's own ones."""

import copy
from typing import Any

import pytest

from api.schema.pointers import follow
from tests.support.reconciliation import faults

BASE = "https://api.example.org"
TYPE = {"id": "cities", "name": "Cities"}
SERVICE = {"service_url": BASE, "service_path": "/suggest", "flyout_service_url": BASE, "flyout_service_path": "/flyout/${id}"}
VALID: dict[str, Any] = {
    "manifest": {
        "versions": ["0.1", "0.2"],
        "name": "Cities",
        "identifierSpace": f"{BASE}/",
        "schemaSpace": f"{BASE}/openapi.json",
        "documentation": f"{BASE}/docs",
        "logo": f"{BASE}/logo.png",
        "serviceVersion": "1",
        "defaultTypes": [{**TYPE, "description": "Cities.", "broader": [{"id": "places", "name": "Places"}]}],
        "view": {"url": f"{BASE}/{{{{id}}}}"},
        "feature_view": {"url": f"{BASE}/features/{{{{id}}}}"},
        "preview": {"url": f"{BASE}/{{{{id}}}}.html", "width": 400, "height": 100},
        "suggest": {"entity": SERVICE, "property": SERVICE, "type": SERVICE},
        "batchSize": 20,
    },
    "queries": {
        "q0": {
            "query": "Boston",
            "type": ["cities"],
            "limit": 5,
            "properties": [{"pid": "state", "v": ["MA", 1, 1.5, True, {"id": "ma", "name": "Massachusetts"}], "name": "State"}],
            "type_strict": "should",
        },
        "q1": {"properties": [{"pid": "state", "v": "MA"}], "type": "cities"},
    },
    "results": {
        "q0": {
            "result": [
                {
                    "id": "cities/boston-ma",
                    "name": "Boston",
                    "description": "MA, US",
                    "type": [TYPE, {"id": "places"}, "towns"],
                    "score": 99.5,
                    "features": [{"id": "name", "value": 0.9}, {"id": "state", "value": True}],
                    "match": False,
                }
            ]
        }
    },
    "entity": {"result": [{"id": "cities/boston-ma", "name": "Boston", "description": "MA", "notable": ["cities", TYPE]}]},
    "type": {"result": [{**TYPE, "description": "Cities.", "broader": []}]},
    "property": {"result": [{"id": "state", "name": "State", "description": "Name of the state."}]},
}
GONE = object()
CANDIDATE, SUGGESTED, QUERY = "/q0/result/0", "/result/0", "/q0"
# A member of the valid documents, and what it must not be.
BROKEN: list[tuple[str, str, Any]] = [
    *(("manifest", f"/{name}", GONE) for name in ("versions", "name", "identifierSpace", "schemaSpace")),
    *(("manifest", f"/{name}", 5) for name in ("documentation", "logo", "serviceVersion", "defaultTypes", "suggest", "view")),
    ("manifest", "/versions", ["0.1"]),
    ("manifest", "/versions", "0.2"),
    ("manifest", "/versions", ["0.2", 0.1]),
    ("manifest", "/identifierSpace", "cities"),
    ("manifest", "/defaultTypes", [TYPE, TYPE]),
    *(("manifest", f"/defaultTypes/0/{name}", GONE) for name in ("id", "name")),
    ("manifest", "/defaultTypes/0/broader/0/name", GONE),
    ("manifest", "/defaultTypes/0/broader", ["places"]),
    *(
        ("manifest", f"/{name}/url", value)
        for name in ("view", "feature_view", "preview")
        for value in (GONE, f"{BASE}/{{id}}")
    ),
    *(("manifest", f"/preview/{name}", value) for name in ("width", "height") for value in (GONE, "400", 1.5)),
    *(("manifest", f"/suggest/{name}/service_path", 5) for name in ("entity", "property", "type")),
    ("manifest", "/suggest/entity/flyout_service_path", "/flyout/{{id}}"),
    ("manifest", "/suggest/record", SERVICE),
    ("manifest", "/batchSize", "20"),
    ("manifest", "/batchsize", 20),
    ("queries", QUERY, []),
    ("queries", QUERY, {}),
    ("queries", QUERY, {"type": "cities"}),
    ("queries", QUERY, {"properties": []}),
    ("queries", f"{QUERY}/name", "Boston"),
    *(("queries", f"{QUERY}/query", value) for value in (5, "", None)),
    *(("queries", f"{QUERY}/type", value) for value in (5, [5], TYPE)),
    *(("queries", f"{QUERY}/limit", value) for value in ("5", 0, 1.5)),
    *(("queries", f"{QUERY}/type_strict", value) for value in ("some", 1)),
    ("queries", f"{QUERY}/properties", {"state": "MA"}),
    *(("queries", f"{QUERY}/properties/0/{name}", GONE) for name in ("pid", "v")),
    *(("queries", f"{QUERY}/properties/0/v", value) for value in (None, {"name": "MA"}, {"id": 5}, [["MA"]])),
    ("results", QUERY, []),
    ("results", f"{QUERY}/result", GONE),
    ("results", f"{QUERY}/result", {}),
    *(("results", f"{CANDIDATE}/{name}", GONE) for name in ("id", "name", "score")),
    *(("results", f"{CANDIDATE}/{name}", 5) for name in ("id", "name", "description", "type", "features", "match")),
    ("results", f"{CANDIDATE}/score", "99"),
    ("results", f"{CANDIDATE}/type", ["cities", 5]),
    ("results", f"{CANDIDATE}/type", [{"name": "Cities"}]),
    ("results", f"{CANDIDATE}/features/0/value", "high"),
    ("results", f"{CANDIDATE}/url", BASE),
    *((name, "/result", value) for name in ("entity", "type", "property") for value in (GONE, {})),
    *(
        (name, f"{SUGGESTED}/{member}", value)
        for name in ("entity", "type", "property")
        for member in ("id", "name")
        for value in (GONE, 5)
    ),
    *((name, f"{SUGGESTED}/description", 5) for name in ("entity", "type", "property")),
    *(("entity", f"{SUGGESTED}/notable", value) for value in ("cities", [5], [{"name": "Cities"}])),
    ("type", f"{SUGGESTED}/broader", [5]),
]


@pytest.mark.parametrize("name", VALID)
def test_what_the_protocol_allows(name: str) -> None:
    """The control: a document with every member is allowed."""
    assert faults(name, VALID[name]) == []


@pytest.mark.parametrize(("name", "pointer", "value"), BROKEN)
def test_what_the_protocol_does_not_allow(name: str, pointer: str, value: Any) -> None:
    """A document that breaks one rule is refused."""
    document = copy.deepcopy(VALID[name])
    path, _, member = pointer.rpartition("/")
    place = follow(document, path)
    if value is GONE:
        del place[member]
    else:
        place[member] = value
    assert faults(name, document)
