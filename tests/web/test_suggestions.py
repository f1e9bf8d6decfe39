"""What a refusal suggests: names that work, and filters for the values of other APIs."""

import pytest
from flask.testing import FlaskClient

from tests.support.answers import brief

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("query", ["metrics.csv?fields=name", "csv?include=cities", "ndjson?facets=zzz&limit=x", "csv?cursor="])
def test_what_a_format_does_not_take(routing_client: FlaskClient, query: str) -> None:
    """A parameter that a format does not take is refused as such, whatever its value."""
    status, name, items = brief(routing_client.get(f"/initiatives.{query}"))
    assert (status, name, [item["code"] for item in items]) == (400, "invalid-query", ["not-in-this-format"])
