"""SQLAlchemy models of the tables, for FastAPI and Flask-smorest."""

import os
from typing import Any

from sqlalchemy import Engine, ForeignKey, Select, create_engine, event, func, make_url, or_, select
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, selectinload

STATUSES = ("planned", "draft", "in_development", "pilot", "in_operation", "completed")
ROLES = ("coordinator", "builder", "funder", "partner", "member")
KINDS = ("count", "money", "share", "change", "record")
QUALIFIERS = ("exactly", "more_than", "nearly", "at_least")
VALUES = 100


class Base(DeclarativeBase):
    """Base of the tables."""


class City(Base):
    """A city."""

    __tablename__ = "cities"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    state: Mapped[str]
    country: Mapped[str]
    state_capital: Mapped[bool | None]
    summary: Mapped[str | None]


class InitiativeAward(Base):
    """An award that credits an initiative."""

    __tablename__ = "initiative_awards"
    initiative_id: Mapped[str] = mapped_column(ForeignKey("initiatives.id"), primary_key=True)
    award_id: Mapped[str] = mapped_column(primary_key=True)


class InitiativePriority(Base):
    """A priority that an initiative serves."""

    __tablename__ = "initiative_priorities"
    initiative_id: Mapped[str] = mapped_column(ForeignKey("initiatives.id"), primary_key=True)
    priority_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]


class InitiativePartner(Base):
    """An organization that takes part."""

    __tablename__ = "initiative_partners"
    initiative_id: Mapped[str] = mapped_column(ForeignKey("initiatives.id"), primary_key=True)
    organization: Mapped[str] = mapped_column("organization_id", primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]


class InitiativeMetric(Base):
    """A figure."""

    __tablename__ = "initiative_metrics"
    initiative_id: Mapped[str] = mapped_column(ForeignKey("initiatives.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    value: Mapped[float]
    unit: Mapped[str]
    kind: Mapped[str]
    qualifier: Mapped[str | None]
    as_of: Mapped[str | None]


class Initiative(Base):
    """Something a city did."""

    __tablename__ = "initiatives"
    id: Mapped[str] = mapped_column(primary_key=True)
    city_id: Mapped[str] = mapped_column(ForeignKey("cities.id"))
    title: Mapped[str]
    summary: Mapped[str]
    status: Mapped[str]
    started: Mapped[str | None]
    parent: Mapped[str | None] = mapped_column("parent_id")
    city: Mapped[City] = relationship()
    award_links: Mapped[list[InitiativeAward]] = relationship(order_by=InitiativeAward.award_id)
    priority_links: Mapped[list[InitiativePriority]] = relationship(order_by=InitiativePriority.position)
    partners: Mapped[list[InitiativePartner]] = relationship(order_by=InitiativePartner.position)
    metrics: Mapped[list[InitiativeMetric]] = relationship(order_by=InitiativeMetric.position)

    # Properties and not SQLAlchemy's association proxies: with those, CPython 3.11 crashed within a thousand requests.
    @property
    def awards(self) -> list[str]:
        """Ids of the awards that credit it."""
        return [link.award_id for link in self.award_links]

    @property
    def priorities(self) -> list[str]:
        """Ids of the priorities that it serves."""
        return [link.priority_id for link in self.priority_links]


WHOLE = (
    joinedload(Initiative.city, innerjoin=True),
    selectinload(Initiative.award_links),
    selectinload(Initiative.priority_links),
    selectinload(Initiative.partners),
    selectinload(Initiative.metrics),
)


def filtered(priority: str | None, search: str | None) -> Select[Any]:
    """Select the initiatives that serve a priority and have every word in title or summary."""
    statement = select(Initiative)
    if priority:
        statement = statement.where(Initiative.priority_links.any(InitiativePriority.priority_id == priority))
    for word in (search or "").split():
        columns = (Initiative.title, Initiative.summary)
        statement = statement.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    return statement


def listed(priority: str | None, search: str | None) -> Select[Any]:
    """Select initiatives with their city and parts, ordered by title."""
    return filtered(priority, search).options(*WHOLE).order_by(Initiative.title, Initiative.id)


def by_city(priority: str | None) -> Select[str, str, int]:
    """Count initiatives by city, greatest count first."""
    matching = filtered(priority, None).with_only_columns(Initiative.id)
    count = func.count().label("count")
    ranked = (count.desc(), City.id)
    joined = select(City.id.label("value"), City.name.label("label"), count).join(Initiative).where(Initiative.id.in_(matching))
    return joined.group_by(City.id, City.name).order_by(*ranked).limit(VALUES)


def initiative_of(content: dict[str, Any]) -> Initiative:
    """Return an initiative with its parts, from a request's body."""
    parts = {name: content.pop(name) for name in ("city", "awards", "priorities", "partners", "metrics")}
    return Initiative(
        **content,
        city_id=parts["city"],
        award_links=[InitiativeAward(award_id=id) for id in parts["awards"]],
        priority_links=[InitiativePriority(priority_id=id, position=place) for place, id in enumerate(parts["priorities"])],
        partners=[InitiativePartner(**part, position=place) for place, part in enumerate(parts["partners"])],
        metrics=[InitiativeMetric(**part, position=place) for place, part in enumerate(parts["metrics"])],
    )


def connected() -> Engine:
    """Return the engine of ``DATABASE_URL``."""
    url = make_url(os.environ["DATABASE_URL"])
    if url.get_backend_name() != "sqlite":
        return create_engine(url.set(drivername="postgresql+psycopg"))
    engine = create_engine(url, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
