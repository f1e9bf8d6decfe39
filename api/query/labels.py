"""The labels of records: what a reader calls them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.statements import of_ids
from api.resources import BY_NAME


@dataclass(frozen=True)
class Hit:
    """A record as it was published."""

    kind: str
    id: str
    document: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """The document, parsed."""
        record: dict[str, Any] = json.loads(self.document)
        return record

    @property
    def name(self) -> str:
        """The name or title; the id if the document has none, since it was erased or has the shape of an earlier release."""
        return str(self.record.get(BY_NAME[self.kind].label.key) or self.id)

    @property
    def names(self) -> Sequence[str]:
        """The name or title, and the aliases."""
        return self.name, *self.record.get("aliases", ())


def names_of(session: Session, noun: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the names or titles of records of a noun by id."""
    resource = BY_NAME[noun]
    model: Any = resource.model
    rows = of_ids(
        session, ("labels", noun), ids, lambda among: select(model.id, resource.label).where(among.condition(model.id))
    )
    return {row[0]: row[1] for row in rows}


def labels(session: Session, hits: Sequence[Hit]) -> list[str]:
    """Return the name or title of each record, with the name of the city that it belongs to."""
    ids = {hit.record["city"] for hit in hits if hit.record.get("city")}
    cities = names_of(session, "cities", sorted(ids))
    return [f"{hit.name} ({city})" if (city := cities.get(hit.record.get("city", ""))) else hit.name for hit in hits]
