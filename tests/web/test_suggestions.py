"""What a refusal suggests: names that work, and filters for the values of other APIs."""

import json

import pytest
from flask.testing import FlaskClient

from api.errors import ProblemError
from api.query import parameters, parser
from api.resources import RESOURCES
from api.schema.resource import Resource
from tests.support.answers import brief
from tests.support.lengths import sampled

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
def test_a_suggestion_works(resource: Resource) -> None:
    """Each name that is suggested for another spelling of a name is one that the parameter takes."""
    spellings = ("-{}", "--{}", "{}:desc", "{}s", "{}.id", "{}[x]", "x.{}")
    for row in parameters.parameters(resource).values():
        names = [*row.choices(resource)] if row.choices and row.many else []
        for name in sampled(names, 10):
            words = [spelling.format(name) for spelling in spellings]
            with pytest.raises(ProblemError) as raised:
                parser.parse(resource, [(row.name, [word]) for word in words if word not in names])
            assert {item["suggestion"] for item in raised.value.errors if "suggestion" in item} <= {*names}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("initiatives?city=Los%20Angeles", "A name is for `city.name`."),
        ("initiatives?partner=Amazon", "A name is for `partner.name`."),
        ("initiatives?parent=My%20LA", "A name is for `parent.title`."),
        *(
            (f"initiatives?status={word}", "For records without one, use `status__isnull=true`.")
            for word in ("null", "", "None")
        ),
        ('initiatives?filter={"status":null}', "For records without one, use `status__isnull=true`."),
        *(
            (f"initiatives?metric.value={sign}5", f"For this, use `metric.value__{ours}=5`.")
            for sign, ours in ((">", "gt"), (">=", "gte"), ("<", "lt"), ("<=", "lte"), ("!", "not"), ("!=", "not"))
        ),
        ("cities?state=ca", "did you mean `CA`?"),
        ("awards?category=500000+or+more", "did you mean `500000-or-more`?"),
        ("cities?id=Boston,%20MA", "did you mean `boston`?"),
        ('initiatives?filter={"status":{"eq":"pilot"}}', "An operator is part of a name, as in `status__not`."),
        # No other filter takes these.
        ('initiatives?filter={"id":3}', "`3` is not."),
        ('initiatives?filter={"evolving":{}}', "`an object` is not."),
        ("cities?state=California", "`California` is not."),
        ("cities?id=null!", "did you mean `null`?"),
        ("initiatives?evolving=%3Etrue", "did you mean `true`?"),
    ],
)
def test_values_of_other_apis(routing_client: FlaskClient, query: str, said: str) -> None:
    """A value that another API would take is answered with the filter that takes it here, or in our spelling."""
    status, name, items = brief(routing_client.get(f"/{query}"))
    assert (status, name, items[0]["code"]) == (400, "invalid-query", "invalid-value")
    assert items[0]["detail"].endswith(said)


@pytest.mark.parametrize("name", ["sort", "city", "fields", "started__gte"])
@pytest.mark.parametrize("path", ["search", "suggest"])
def test_parameters_of_lists(routing_client: FlaskClient, path: str, name: str) -> None:
    """A search of all nouns names the lists for a parameter that only they have, and no other parameter."""
    _, _, (item, other) = brief(routing_client.get(f"/{path}?q=a&{name}=x&zzz=1"))
    said = f"`{name}` is not a parameter here. The list of a noun takes it, also together with `q`: `/initiatives?q=`."
    assert (item["detail"], item.get("suggestion")) == (said, None)
    assert other["detail"] == "`zzz` is not a parameter here."


@pytest.mark.parametrize("name", ["q", "limit", "fields[cities]"])
def test_parameters_in_an_expression(routing_client: FlaskClient, name: str) -> None:
    """A parameter in an expression, in a body or in `filter`, is told from an unknown filter."""
    expression = {"and": [{name: 1}]}
    said = f"`{name}` is not a filter here. It is a parameter of the query string."
    for answer in (
        routing_client.post("/initiatives/search", json=expression),
        routing_client.get("/initiatives", query_string={"filter": json.dumps(expression)}),
    ):
        assert [row["detail"] for row in brief(answer)[2]] == [said]


@pytest.mark.parametrize("query", ["metrics.csv?fields=name", "csv?include=cities", "ndjson?facets=zzz&limit=x", "csv?cursor="])
def test_what_a_format_does_not_take(routing_client: FlaskClient, query: str) -> None:
    """A parameter that a format does not take is refused as such, whatever its value."""
    status, name, items = brief(routing_client.get(f"/initiatives.{query}"))
    assert (status, name, [item["code"] for item in items]) == (400, "invalid-query", ["not-in-this-format"])
