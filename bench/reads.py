"""What a list page costs from stored documents, beside the same page from ORM objects and `dump`.

Both answer the same request with the same bytes of data, in one process, through the whole WSGI stack and
without a network, in turn: A B A B. Run it with `make bench`.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from alembic import command
from flask import Flask, Response
from flask.testing import FlaskClient
from sqlalchemy import func, select

from api.app import create_app
from api.db import Database, alembic_config
from api.documents import instant
from api.ledger import CURRENT, Head, Revision, render
from api.resources.initiatives import Initiative, initiatives
from api.settings import Settings

PATH, CONTROL = "/initiatives?limit=20", "/control"
ROUNDS, REQUESTS = 15, 100


def control(app: Flask, database: Database) -> None:
    """Add a view that does per request what is otherwise done once per change: load, `dump`, encode."""

    def view() -> Response:
        with database.reading() as session:
            version = session.execute(select(Head.version)).scalar_one()
            ids = session.scalars(select(Initiative.id).order_by(Initiative.title, Initiative.id).limit(21)).all()
            total = session.scalar(select(func.count()).select_from(Initiative))
            contents = render(session, initiatives, ids[:20])
            stamps = select(Revision.id, Revision.version, Revision.changed_at).where(Revision.kind == "initiatives", *CURRENT)
            seen = {row.id: (row.version, row.changed_at) for row in session.execute(stamps.where(Revision.id.in_(ids)))}
        data = [{**contents[id], "version": seen[id][0], "updated_at": instant(seen[id][1])} for id in ids[:20]]
        page = {"limit": 20, "total": total, "total_relation": "eq"}
        return Response(json.dumps({"data": data, "page": page, "meta": {"version": version}}), content_type="application/json")

    app.add_url_rule(CONTROL, view_func=view)


def rate(ask: Callable[[], object]) -> float:
    """Return requests per second over one round."""
    start = time.perf_counter()
    for _ in range(REQUESTS):
        ask()
    return REQUESTS / (time.perf_counter() - start)


def same(client: FlaskClient) -> None:
    """Fail unless both serve the same records."""
    mine, theirs = client.get(PATH).get_json()["data"], client.get(CONTROL).get_json()["data"]
    if mine != theirs or len(mine) != 20:  # noqa: PLR2004 - the page's size
        raise SystemExit("the two pages differ: there is nothing to compare")


def main() -> None:
    """Print the two rates and the ratio, round by round, as median with minimum and maximum."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{Path(folder) / 'bench.sqlite3'}")
        database = Database(settings, create=True)
        config = alembic_config()
        config.attributes["connection"] = database.engine
        command.upgrade(config, "head")
        app = create_app(settings)
        control(app, database)
        client = app.test_client()
        same(client)
        rounds = [(rate(lambda: client.get(PATH)), rate(lambda: client.get(CONTROL))) for _ in range(ROUNDS + 1)][1:]
        database.engine.dispose()
        app.extensions["database"].engine.dispose()
    rows = {
        f"{PATH} from the ledger, requests/s": [mine for mine, _ in rounds],
        "the same by ORM and dump, requests/s": [theirs for _, theirs in rounds],
        "ratio": [mine / theirs for mine, theirs in rounds],
    }
    for name, values in rows.items():
        print(f"{name:44} median {statistics.median(values):8.1f}   min {min(values):8.1f}   max {max(values):8.1f}")


if __name__ == "__main__":
    main()
