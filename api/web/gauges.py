"""What `/metrics` reads when it is asked: the places and connections in use, the ledger, the standby and the webhooks."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from api.db.database import Database
from api.ledger import head
from api.ledger.models import Dirty, Head
from api.web.metrics import Gauge
from api.web.places import Places
from api.webhooks.subscriptions import Webhook, WebhookState

# The name and the meaning of the gauge that only a standby has.
STANDBY = ("standby_lag_seconds", "Age of the last commit that the standby has, while it has more to replay.")


def of_process(database: Database, places: Mapping[str, Places]) -> Sequence[Gauge]:
    """Return the gauges of this process, which add up to those of the server."""
    pool: Any = database.engine.pool
    connections = {"in use": float(pool.checkedout()), "kept": float(pool.checkedin())}
    return [
        ("places_used", "Places for slow requests that are taken.", "kind", {name: row.used for name, row in places.items()}),
        ("places", "Places for slow requests.", "kind", {name: row.total for name, row in places.items()}),
        ("database_connections", "Connections to the database.", "state", connections),
    ]


def of_dataset(database: Database) -> Sequence[Gauge]:
    """Return the gauges of the dataset; without a database only that it is away."""
    up = ("database_up", "Whether the database can be read.", "")
    try:
        with database.reading() as session:
            return [(*up, {"": 1}), *_ledger(session), *_webhooks(session), *_standby(session)]
    except (DBAPIError, PoolTimeoutError):
        return [(*up, {"": 0})]


def _ledger(session: Session) -> Sequence[Gauge]:
    epoch, version = session.execute(select(Head.epoch, Head.version)).one()
    notes = session.scalar(select(func.count()).select_from(Dirty)) or 0
    return [
        ("ledger_version", "The last version of the dataset.", "", {"": version}),
        ("ledger_epoch", "The epoch of the dataset; a new one begins after a loss.", "", {"": epoch}),
        ("ledger_unpublished_notes", "Changes that SQL made and nobody has published.", "", {"": notes}),
    ]


def _webhooks(session: Session) -> Sequence[Gauge]:
    now = dt.datetime.now(dt.UTC)
    count = select(func.count()).select_from(Webhook)
    states = {state.value: 0.0 for state in WebhookState}
    states |= {
        state.value: number for state, number in session.execute(select(Webhook.state, func.count()).group_by(Webhook.state))
    }
    due = session.scalar(count.where(Webhook.due_at <= now)) or 0
    failing = session.scalar(count.where(Webhook.attempts > 0)) or 0
    return [
        ("webhooks", "Webhooks by their state.", "state", states),
        ("webhooks_due", "Webhooks with a message that should have been sent by now.", "", {"": due}),
        ("webhooks_failing", "Webhooks whose last attempt failed.", "", {"": failing}),
    ]


def _standby(session: Session) -> Sequence[Gauge]:
    if not head.is_standby(session):
        return []
    # Nothing to replay is no lag, however long ago the last commit was.
    lag = session.scalar(
        select(func.coalesce(func.extract("epoch", func.now() - func.pg_last_xact_replay_timestamp()), 0)).where(
            func.pg_last_wal_receive_lsn() != func.pg_last_wal_replay_lsn()
        )
    )
    return [(*STANDBY, "", {"": float(lag or 0)})]
