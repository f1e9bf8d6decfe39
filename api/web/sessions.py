"""Sessions of the desk: who is signed in, by a cookie, and the token that each form repeats.

The cookie holds a random token, and the database its SHA-256, so nobody who reads the database can sign in. A session ends with
its key: when that is revoked, expires, or gets another secret. The token of forms is a hash of that in the cookie (the
"synchronizer token pattern" of OWASP's Cross-Site Request Forgery Prevention Cheat Sheet): another site can read neither.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit

from flask import Response, request
from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, mapped_column

from api.db.types import Base
from api.errors import ProblemError, error_item
from api.web.keys import ApiKey
from api.web.responses import writable
from api.web.urls import base_url, root

COOKIE, FIELD = "desk", "token"
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
LONGEST = dt.timedelta(hours=12)
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class DeskSession(Base):
    """Someone who is signed in with a key; ``secret_sha256`` is that of the key at the time."""

    __tablename__ = "desk_sessions"
    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    secret_sha256: Mapped[str]
    expires_at: Mapped[dt.datetime]


def token() -> str:
    """Return the token in the cookie, or a new one."""
    sent = request.cookies.get(COOKIE, "")
    return sent if TOKEN.fullmatch(sent) else _new_token()


def form_token(token: str) -> str:
    """Return the token that the forms of a session repeat."""
    return hashlib.sha256(f"form {token}".encode(errors="replace")).hexdigest()


def require_own_form() -> None:
    """Raise a 403 unless a form comes from a page of this session and of this address."""
    origin = request.headers.get("Origin")
    is_ours = origin in {None, f"{request.scheme}://{request.host}"} or f"{base_url()}/".startswith(f"{origin}/")
    cookie = request.cookies.get(COOKIE, "")
    expected = form_token(cookie)
    # Everybody can compute the token that belongs to no cookie.
    if not (
        TOKEN.fullmatch(cookie)
        and is_ours
        and hmac.compare_digest(request.form.get(FIELD, "").encode(errors="replace"), expected.encode())
    ):
        detail = (
            "This form is from another session or another site: open the page again, and send it from there. The browser must "
            "keep cookies, and the address must begin with `https`."
        )
        raise ProblemError("forbidden", detail, error_item(FIELD, "invalid-value", detail))


def signed_in(now: dt.datetime) -> ApiKey | None:
    """Return the key of the person who is signed in; None if nobody is, or if the session or its key has ended."""
    if COOKIE not in request.cookies:
        return None
    statement = (
        select(ApiKey)
        .join(DeskSession, (DeskSession.key == ApiKey.name) & (DeskSession.secret_sha256 == ApiKey.secret_sha256))
        .where(DeskSession.token_sha256 == _sha256(request.cookies.get(COOKIE, "")), DeskSession.expires_at > now)
    )
    with writable().reading() as session:
        key = session.scalar(statement)
        return key if key and key.state(now) == "active" else None


def begin(key: ApiKey, now: dt.datetime, response: Response) -> Response:
    """Sign someone in, with a new token, so that one that was known before is worth nothing."""
    token = _new_token()
    row = DeskSession(token_sha256=_sha256(token), key=key.name, secret_sha256=key.secret_sha256, expires_at=now + LONGEST)
    with writable().writing() as session:
        known = DeskSession.token_sha256 == _sha256(request.cookies.get(COOKIE, ""))
        session.execute(delete(DeskSession).where((DeskSession.expires_at <= now) | known))
        session.add(row)
    return keep(token, response)


def end(response: Response) -> Response:
    """Sign out."""
    with writable().writing() as session:
        session.execute(delete(DeskSession).where(DeskSession.token_sha256 == _sha256(request.cookies.get(COOKIE, ""))))
    response.delete_cookie(COOKIE, path=f"{root()}/edit")
    return response


def keep(token: str, response: Response) -> Response:
    """Have the browser keep a token, and send it to the desk alone."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LONGEST.total_seconds()),
        path=f"{root()}/edit",
        secure=not is_loopback(),
        httponly=True,
        samesite="Strict",
    )
    return response


def is_loopback() -> bool:
    """Tell whether a browser on this machine asks without TLS: it would not send a cookie that is for TLS alone.

    A proxy on this machine may name itself as the host; then `PUBLIC_URL` is what the browser asks.
    """
    address = urlsplit(base_url())
    return address.scheme == "http" and address.hostname in LOOPBACK


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
