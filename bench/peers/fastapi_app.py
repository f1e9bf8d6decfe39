"""FastAPI with SQLAlchemy's ORM and pydantic's response models, run by uvicorn."""

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bench.peers.tables import WHOLE, Initiative, by_city, connected, initiative_of, listed

engine = connected()
app = FastAPI()

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=200)]
Edtf = Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")]
Text = Annotated[str, Field(min_length=1)]


def get_session() -> Iterator[Session]:
    """Open the request's session."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]


class Model(BaseModel):
    """Base of the bodies of requests and responses."""

    model_config = ConfigDict(from_attributes=True)


class City(Model):
    """A city."""

    id: str
    name: str
    state: str
    country: str
    state_capital: bool | None
    summary: str | None


class Partner(Model):
    """An organization that takes part."""

    organization: Slug
    role: Literal["coordinator", "builder", "funder", "partner", "member"]


class Metric(Model):
    """A figure."""

    name: Text
    value: int | float | None
    unit: Text
    kind: Literal["count", "money", "share", "change", "record"]
    qualifier: Literal["exactly", "more_than", "nearly", "at_least"] | None
    as_of: Edtf | None = None


class InitiativeBase(Model):
    """The members that requests and responses share."""

    id: Slug
    title: Text
    summary: Text
    status: Literal["planned", "draft", "in_development", "pilot", "in_operation", "completed"] | None
    started: Edtf | None = None
    parent: Slug | None = None
    awards: list[Slug] = []
    priorities: list[Slug] = []
    partners: list[Partner] = []
    metrics: list[Metric] = []


class InitiativeCreate(InitiativeBase):
    """An initiative in a request."""

    model_config = ConfigDict(extra="forbid")
    city: Slug


class InitiativePublic(InitiativeBase):
    """An initiative in a response."""

    city: City


class CityCount(Model):
    """The number of a city's initiatives."""

    value: str
    label: str
    count: int


@app.get("/initiatives", response_model=list[InitiativePublic])
def read_initiatives(
    session: SessionDep,
    priority: str | None = None,
    search: str | None = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
):
    """Return a page."""
    return session.scalars(listed(priority, search).offset(offset).limit(limit)).all()


@app.get("/initiatives/by-city", response_model=list[CityCount])
def count_by_city(session: SessionDep, priority: str | None = None):
    """Return counts by city."""
    return session.execute(by_city(priority)).all()


@app.get("/initiatives/{id}", response_model=InitiativePublic)
def read_initiative(id: str, session: SessionDep):
    """Return an initiative."""
    initiative = session.get(Initiative, id, options=WHOLE)
    if not initiative:
        raise HTTPException(status_code=404, detail="Initiative not found")
    return initiative


@app.post("/initiatives", response_model=InitiativePublic, status_code=201)
def create_initiative(initiative: InitiativeCreate, session: SessionDep):
    """Create an initiative."""
    created = initiative_of(initiative.model_dump())
    session.add(created)
    try:
        session.commit()
    except IntegrityError as error:
        raise HTTPException(status_code=409, detail="Initiative exists, or refers to a record that does not") from error
    session.refresh(created)
    return created
