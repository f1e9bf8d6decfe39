"""Reads a list to its end with nothing but the package that is made from the served document."""

import json
import sys
from typing import Any

# The test makes the package.
from made import Client
from made.api.initiatives import list_initiatives
from made.models import (
    InitiativeList,
    ListInitiativesIncludeItem,
    ListInitiativesSortItem,
    Problem,
)
from made.types import UNSET, Unset

PRIORITIES = {"cybersecurity", "modernization"}


def main() -> None:
    """Print what was read, as JSON."""
    data: list[Any] = []
    cities: dict[str, Any] = {}
    pages = 0
    cursor: str | Unset | None = UNSET
    with Client(base_url=sys.argv[1], raise_on_unexpected_status=True) as client:
        while cursor is not None:
            page = list_initiatives.sync(
                client=client,
                city_state=["CA"],
                priority=sorted(PRIORITIES),
                include=[ListInitiativesIncludeItem("city")],
                sort=[ListInitiativesSortItem("-started"), ListInitiativesSortItem("title")],
                limit=4,
                cursor=cursor,
            )
            assert isinstance(page, InitiativeList), page
            assert len(page.data) <= 4
            assert (page.page.cursor is None) == (page.links.next_ is None)
            related = page.included.cities
            assert not isinstance(related, Unset)
            for record in page.data:
                assert related[record.city].state == "CA"
                assert PRIORITIES & set(record.priorities)
            data += [record.to_dict() for record in page.data]
            cities |= related.to_dict()
            pages += 1
            cursor = page.page.cursor
        refused = list_initiatives.sync(client=client, limit=501)
    assert isinstance(refused, Problem), refused
    answer = {"data": data, "included": {"cities": cities}, "pages": pages}
    sys.stdout.write(json.dumps({**answer, "refused": [refused.status, refused.errors[0].parameter]}))


main()
