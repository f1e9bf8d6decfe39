"""Reads a list to its end with nothing but the package that is made from the served document."""

import json
import sys
from typing import Any

# The test makes the package, so it is not there when types are checked.
from made import Client  # type: ignore[import-not-found]
from made.api.initiatives import list_initiatives  # type: ignore[import-not-found]
from made.models import (  # type: ignore[import-not-found]
    Initiative,
    InitiativeList,
    ListInitiativesIncludeItem,
    ListInitiativesSortItem,
    Problem,
)
from made.types import UNSET  # type: ignore[import-not-found]

PRIORITIES = {"cybersecurity", "modernization"}


def main() -> None:
    """Print what was read, as JSON."""
    data: list[Any] = []
    cities: dict[str, Any] = {}
    pages = 0
    cursor: Any = UNSET
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
            for record in page.data:
                assert isinstance(record, Initiative)
                assert page.included.cities[record.city].state == "CA"
                assert PRIORITIES & set(record.priorities)
            data += [record.to_dict() for record in page.data]
            cities |= page.included.cities.to_dict()
            pages += 1
            cursor = page.page.cursor
        refused = list_initiatives.sync(client=client, limit=501)
    assert isinstance(refused, Problem), refused
    answer = {"data": data, "included": {"cities": cities}, "pages": pages}
    sys.stdout.write(json.dumps({**answer, "refused": [refused.status, refused.errors[0].parameter]}))


main()
