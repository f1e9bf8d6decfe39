"""Records to write, as they are in the database."""

import pytest
from sqlalchemy import UniqueConstraint, select
from sqlalchemy.orm import Session

from api.db.types import Base
from api.resources import RESOURCES
from api.schema.resource import Resource

# Runs a test once for each noun.
nouns = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
# For long tests: the nouns with parts and those without any come first, the others in the long run.
FIRST = {"initiatives", "surveys", "citations"}
few_nouns = pytest.mark.parametrize(
    "resource",
    [
        pytest.param(resource, marks=() if resource.name in FIRST else pytest.mark.slow, id=resource.name)
        for resource in RESOURCES
    ],
)
FRESNO = {"id": "fresno-ca", "name": "Fresno", "state": "CA", "country": "US"}


def copy_of_a_record(session: Session, resource: Resource, id: str = "zz-copy") -> str:
    """Insert a copy of a record under an id without references, and return the id."""
    table = Base.metadata.tables[resource.name]
    values = dict(session.execute(select(table).order_by(table.c.id).limit(1)).mappings().one())
    for constraint in (one for one in table.constraints if isinstance(one, UniqueConstraint)):
        free = [column for column in constraint.columns if not column.foreign_keys and values[column.name] is not None]
        if free:
            old = values[free[-1].name]
            values[free[-1].name] = old + 1 if isinstance(old, int) else f"{old} (copy)"
    if resource.name == "awards":
        # Only references are unique about a placing: take a city that has none.
        values["city_id"] = "boston-ma"
    session.execute(table.insert(), values | {"id": id})
    return id
