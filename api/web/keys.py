"""Keys: who may write, and what. Only the SHA-256 of a secret is kept."""

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.db.types import Base
from api.resources import RESOURCES

# A secret is known for one wherever it turns up, as by scanners of what is published by mistake.
PREFIX = "dca_"
TOUCHED = dt.timedelta(minutes=1)
SCOPES: Mapping[str, str] = {
    "read": "Nothing that is not open to everyone.",
    "write": "Change the records of every noun.",
    **{f"write:{resource.name}": f"Change {resource.name}." for resource in RESOURCES},
    "admin": "Everything, and the keys themselves.",
}


class Key(Base):
    """A key, by its name; ``scopes`` are separated by spaces."""

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
        """The scopes."""
        return self.scopes.split()

    def allows(self, scope: str) -> bool:
        """Tell whether the key may do what a scope stands for."""
        held = set(self.scope_list)
        return scope in held or "admin" in held or ("write" in held and scope.startswith("write:"))

    def state(self, now: dt.datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else "active"


class NameTaken(ValueError):  # noqa: N818 - what is wrong, not that something is
    """There is, or was, a key of that name."""


def issue(
    session: Session, name: str, scopes: Iterable[str], expires_at: dt.datetime | None, *, now: dt.datetime | None = None
) -> str:
    """Make a key; returns its secret, which nobody can read again. Raises NameTaken."""
    if session.get(Key, name):
        raise NameTaken(name)
    secret = _secret()
    wanted = " ".join(scope for scope in SCOPES if scope in set(scopes))
    made = now or dt.datetime.now(dt.UTC)
    session.add(Key(name=name, secret_sha256=_sha256(secret), scopes=wanted, created_at=made, expires_at=expires_at))
    session.flush()
    return secret


def find(session: Session, secret: str) -> Key | None:
    """Return the key of a secret, whatever its state."""
    found = session.scalar(select(Key).where(Key.secret_sha256 == _sha256(secret)))
    return found if found and hmac.compare_digest(found.secret_sha256, _sha256(secret)) else None


def rotate(session: Session, name: str) -> str:
    """Give a key a new secret, and return it; the old one is of no use from then on. Raises LookupError."""
    secret = _secret()
    _named(session, name).secret_sha256 = _sha256(secret)
    return secret


def revoke(session: Session, name: str, *, now: dt.datetime | None = None) -> Key:
    """End a key for ever; its name stays, in the ledger too. Raises LookupError."""
    key = _named(session, name)
    key.revoked_at = key.revoked_at or now or dt.datetime.now(dt.UTC)
    return key


def every(session: Session) -> Sequence[Key]:
    """Return all keys, by name."""
    return session.scalars(select(Key).order_by(Key.name)).all()


def touch(session: Session, name: str, now: dt.datetime) -> None:
    """Note that a key was used, unless that was noted within the last minute."""
    key = _named(session, name)
    if key.last_used_at is None or key.last_used_at <= now - TOUCHED:
        key.last_used_at = now


def _named(session: Session, name: str) -> Key:
    found = session.get(Key, name)
    if found is None:
        raise LookupError(name)
    return found


def _secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
