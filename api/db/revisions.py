"""The revision that a database is migrated to, and whether this release may use it."""

from collections.abc import Collection
from functools import cache

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect, select
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Base
from api.settings import ROOT

# The migrations with their configuration and seeds, where an installed package has them.
PACKAGED = ROOT / "api" / "packaged"
NOT_MIGRATED = "The database is not migrated to this release: run the command `upgrade`."


class Compatibility(Base):
    """The one row that says which releases may use the database: those that know the revision ``oldest``.

    An upgrade writes what its last revision states, and releases that do not know that revision read it.
    """

    __tablename__ = "schema_compatibility"
    one: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    oldest: Mapped[str]
    __table_args__ = (CheckConstraint("one = 1", name="one"),)


def refusal(connection: Connection) -> str | None:
    """Return a sentence that says why this release cannot use a database; None if it can."""
    heads = heads_of(connection)
    if heads == release_heads():
        return None
    if not are_newer(heads):
        return NOT_MIGRATED
    oldest = oldest_of(connection)
    if oldest in known():
        return None
    least = f"which needs a release with revision {oldest}" if oldest else "and does not say which releases may use it"
    return f"The database is migrated to revision {', '.join(sorted(heads))}, {least}; this release has {max(known())}."


def heads_of(connection: Connection) -> frozenset[str]:
    """Return the alembic revisions that a database is at."""
    return frozenset(MigrationContext.configure(connection).get_current_heads())


def are_newer(heads: Collection[str]) -> bool:
    """Return whether this release does not know a database's alembic revisions."""
    return any(head not in known() for head in heads)


def oldest_of(connection: Connection) -> str | None:
    """Return the oldest revision whose code may use a database; None if the database does not say."""
    if not inspect(connection).has_table(Compatibility.__tablename__):
        return None
    return connection.scalar(select(Compatibility.oldest))


@cache
def release_heads() -> frozenset[str]:
    """Return the alembic revisions that this release needs."""
    return frozenset(ScriptDirectory.from_config(alembic_config()).get_heads())


@cache
def known() -> frozenset[str]:
    """Return every alembic revision that this release knows."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def alembic_config() -> Config:
    """Return alembic's configuration from pyproject.toml, as its command line reads it in a checkout."""
    return Config(toml_file=(PACKAGED if PACKAGED.is_dir() else ROOT) / "pyproject.toml")
