"""Authorization by bearer keys (RFC 6750) and their scopes, and rate limits on writes and on refused keys.

The headers of the limits follow draft-ietf-httpapi-ratelimit-headers.
"""

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Flask, Response, after_this_request, current_app, g, request
from limits import RateLimitItem, parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy.exc import SQLAlchemyError

from api import logs
from api.db.database import Database
from api.errors import ProblemError, error_item
from api.settings import Settings
from api.web import keys
from api.web.blueprints import Blueprint, documents
from api.web.exchanges import KEY
from api.web.keys import ApiKey
from api.web.observer import observer_of
from api.web.places import client_of
from api.web.responses import writable
from api.web.windows import MovingWindows

REALM = 'Bearer realm="digital-cities"'
IN_PROCESS = "memory://"
# The keys whose use is being noted: at most one thread waits for other writers to note a key's use.
NOTING: set[str] = set()
# The key of a request that the desk makes for someone who is signed in. No client can set it: their headers begin with `HTTP_`.
SIGNED_IN = "digital_cities.signed_in"
logger = logs.sparing(__name__)


@dataclass(frozen=True)
class Limits:
    """The limits by name, the counter of requests, and what it raises if its storage does not answer."""

    items: Mapping[str, RateLimitItem]
    counter: MovingWindows | MovingWindowRateLimiter
    failures: tuple[type[Exception], ...]


def register(app: Flask, settings: Settings) -> None:
    """Set up the limits of an application, and their headers."""
    items = {"writes": parse(settings.write_limit), "refusals": parse(settings.refusal_limit)}
    if settings.limits_storage == IN_PROCESS:
        app.extensions["limits"] = Limits(items, MovingWindows(), ())
    else:
        storage = storage_from_string(settings.limits_storage)
        failures = storage.base_exceptions
        each = failures if isinstance(failures, tuple) else (failures,)
        app.extensions["limits"] = Limits(items, MovingWindowRateLimiter(storage), each)
    app.after_request(_tell)


def authorize(*scopes: str) -> ApiKey:
    """Return the key of the current request, which must be active and have these scopes. Raises 401, 403 and 429."""
    now = dt.datetime.now(dt.UTC)
    key = request.environ.get(SIGNED_IN) or _key_in_header(now)
    require(key, *scopes)
    _count("writes", key.name)
    _note_use(key, now)
    request.environ[KEY] = key.name
    return key


def _key_in_header(now: dt.datetime) -> ApiKey:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        raise _unauthorized("This needs a key: send it as `Authorization: Bearer KEY`.", "")
    return key_of(secret if scheme.lower() == "bearer" else "", now)


def key_of(secret: str, now: dt.datetime) -> ApiKey:
    """Return the active key with a secret. Raises a 401, and a 429 after too many secrets that no key has."""
    # A key that was revoked ends at once, though a standby learns of it later.
    key = writable().query(partial(keys.find, secret=secret.strip()))
    state = key.state(now) if key else "unknown"
    if key is None or state != "active":
        _count("refusals", client_of(request.remote_addr or ""))
        raise _unauthorized(f"The key in `Authorization` is {state}.", ', error="invalid_token"')
    return key


def require(key: ApiKey, *scopes: str) -> None:
    """Raise a 403 that names the missing scopes, if a key lacks any of these; a 429 after too many of them."""
    missing = sorted(scope for scope in set(scopes) if not key.allows(scope))
    if missing:
        held = f"the scopes {_listed(key.scope_list)}" if key.scope_list else "no scope"
        detail = f"The key `{key.name}` has {held}; this needs {_listed(missing)}."
        challenge = f'{REALM}, error="insufficient_scope", scope="{" ".join(missing)}"'
        item = error_item("Authorization", "missing-scope", detail, allowed=missing)
        _count("refusals", client_of(request.remote_addr or ""))
        raise ProblemError("forbidden", detail, item, headers={"WWW-Authenticate": challenge})


def _listed(scopes: Iterable[str]) -> str:
    return ", ".join(f"`{scope}`" for scope in scopes)


def documented(blp: Blueprint, *scopes: str) -> Any:
    """Return a decorator that documents which scopes a view needs."""

    def decorate(view: Any) -> Any:
        view = documents(blp, "unauthorized", "forbidden", "too-many-requests")(view)
        return blp.doc(security=[{"bearer": list(scopes)}])(view)

    return decorate


def _unauthorized(detail: str, error: str) -> ProblemError:
    item = error_item("Authorization", "unauthorized", detail)
    return ProblemError("unauthorized", detail, item, headers={"WWW-Authenticate": REALM + error})


def _count(name: str, client: str) -> None:
    """Count a request of a client, which is a key's name or an address. Raises a 429 above the limit."""
    limits: Limits = current_app.extensions["limits"]
    item = limits.items[name]
    try:
        passed = limits.counter.hit(item, name, client)
        stats = limits.counter.get_window_stats(item, name, client)
        if stats.reset_time > time.time() + item.get_expiry() + 1:
            # The clock was set back, and the counted requests are in the future: forget them, or nobody could write until then.
            limits.counter.clear(item, name, client)
            passed = limits.counter.hit(item, name, client)
            stats = limits.counter.get_window_stats(item, name, client)
    except limits.failures as error:
        # Curators can write although Redis is down; their requests are not counted then.
        logger.warning("the storage of the limits does not answer: %s", type(error).__name__)
        return
    wait = max(1, round(stats.reset_time - time.time()))
    g.limit = (name, item, stats.remaining, wait)
    if not passed:
        observer_of(current_app).count("limits_reached", name)
        detail = f"The limit `{name}` is {item.amount} requests in {item.get_expiry()} seconds; try again in {wait}."
        allowed = {"maximum": item.amount, "seconds": item.get_expiry()}
        raise ProblemError(
            "too-many-requests",
            detail,
            error_item("Authorization", "too-many-requests", detail, allowed=allowed),
            headers={"Retry-After": str(wait)},
        )


def _tell(response: Response) -> Response:
    """Add the headers of the limit that counted the request."""
    if "limit" in g:
        name, item, remaining, wait = g.limit
        response.headers["RateLimit-Policy"] = f'"{name}";q={item.amount};w={item.get_expiry()}'
        response.headers["RateLimit"] = f'"{name}";r={remaining};t={wait}'
    return response


def _note_use(key: ApiKey, now: dt.datetime) -> None:
    """Record the use of a key after the answer is sent, at most once a minute."""
    if key.last_used_at and key.last_used_at > now - keys.TOUCHED:
        return
    name = key.name
    used = writable()

    def note(response: Response) -> Response:
        response.call_on_close(lambda: _touch(used, name, now))
        return response

    after_this_request(note)


def _touch(database: Database, name: str, now: dt.datetime) -> None:
    if name in NOTING:
        return
    NOTING.add(name)
    try:
        with database.writing() as session:
            keys.touch(session, name, now)
    except (SQLAlchemyError, LookupError) as error:
        logger.warning("the last use of the key %s is not noted: %s", name, logs.describe(error))
    finally:
        NOTING.discard(name)
