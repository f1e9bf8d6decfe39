"""API keys: who may write, and what. The database holds only the SHA-256 of a secret."""

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, String, bindparam, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db import statements
from api.db.types import Base, table_of
from api.resources import RESOURCES

# Secret scanners recognize a leaked key by its prefix.
PREFIX = "dca_"
# The least time between two updates of `last_used_at`.
TOUCHED = dt.timedelta(minutes=1)
PROPOSE, PUBLISH = "propose", "publish"
SCOPES: Mapping[str, str] = {
    "write": "Change the records of every noun.",
    **{f"write:{resource.name}": f"Change {resource.name}." for resource in RESOURCES},
    PROPOSE: "Propose changes of every noun, and read proposals. Every other scope includes it.",
    PUBLISH: "Publish and refuse proposals of every noun, also its own unless `PROPOSAL_REVIEW` is 1.",
    "admin": "Everything, and manage keys and webhooks.",
}


class ApiKey(Base):
    """An API key; ``scopes`` are separated by spaces."""

    __tablename__ = "api_keys"
    name: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str] = mapped_column(unique=True)
    scopes: Mapped[str]
    created_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]

    @property
    def scope_list(self) -> Sequence[str]:
        """The scopes that exist; one that an earlier release knew, such as `read`, allows nothing and is left out."""
        return [scope for scope in self.scopes.split() if scope in SCOPES]

    def allows(self, scope: str) -> bool:
        """Tell whether the key has a scope, by itself or within a wider one."""
        scopes = set(self.scope_list)
        is_within = (scope == PROPOSE and bool(scopes)) or ("write" in scopes and scope.startswith("write:"))
        return scope in scopes or "admin" in scopes or is_within

    def state(self, now: dt.datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "active"


class NameTaken(ValueError):  # noqa: N818 - what is wrong, not that something is
    """A key of that name exists, or existed and was revoked."""


class UnknownKey(LookupError):  # noqa: N818 - the same
    """No key has that name."""


def issue(
    session: Session, name: str, scopes: Iterable[str], expires_at: dt.datetime | None = None, *, now: dt.datetime | None = None
) -> str:
    """Create a key and return its secret, which is not stored. Raises NameTaken."""
    if session.get(ApiKey, name):
        raise NameTaken(name)
    secret = _new_secret()
    key = ApiKey(
        name=name,
        secret_sha256=_sha256(secret),
        scopes=" ".join(scope for scope in SCOPES if scope in set(scopes)),
        created_at=now or dt.datetime.now(dt.UTC),
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return secret


def find(connection: Connection, secret: str) -> ApiKey | None:
    """Return the key with this secret, whether it is active or not; None if there is none.

    Looking up a hash tells an attacker nothing by its time: a secret that is close to the right one has an unrelated hash.
    """
    rows = statements.rows(connection, "key", _key_of_secret, {"secret": _sha256(secret)})
    return ApiKey(**rows[0]._asdict()) if rows else None


def _key_of_secret() -> Select[Any]:
    table = table_of(ApiKey)
    return select(*table.c).where(table.c.secret_sha256 == bindparam("secret", type_=String))


def rotate(session: Session, name: str) -> str:
    """Replace a key's secret and return the new one; the old one stops working at once. Raises UnknownKey."""
    secret = _new_secret()
    get(session, name).secret_sha256 = _sha256(secret)
    return secret


def revoke(session: Session, name: str, *, now: dt.datetime | None = None) -> None:
    """End a key for ever; no later key can take its name, which stays in the ledger. Raises UnknownKey."""
    key = get(session, name)
    key.revoked_at = key.revoked_at or now or dt.datetime.now(dt.UTC)


def get(session: Session, name: str) -> ApiKey:
    """Return a key by its name. Raises UnknownKey."""
    key = session.get(ApiKey, name)
    if key is None:
        raise UnknownKey(name)
    return key


def every(session: Session) -> Sequence[ApiKey]:
    """Return all keys, by name."""
    return session.scalars(select(ApiKey).order_by(ApiKey.name)).all()


def touch(session: Session, name: str, now: dt.datetime) -> None:
    """Record that a key was used, unless its last recorded use is less than a minute old. Raises UnknownKey."""
    key = get(session, name)
    if key.last_used_at is None or key.last_used_at <= now - TOUCHED:
        key.last_used_at = now


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
