"""The ids and words that a dataset's requests name, read from it."""

from sqlalchemy import func, select

from api.app import create_app
from api.db.database import Database
from api.ledger.models import Head
from api.resources.initiatives import Initiative, InitiativePartner, InitiativePriority
from api.resources.metrics import InitiativeMetric
from api.settings import Settings
from bench.peers import Facts

# The most frequent priority of the generated datasets, and two frequent words.
PRIORITY, WORDS = "cybersecurity", ("traffic", "dashboard")
DEEP, PAGE, STEP = 50_000, 20, 500


def facts_of(settings: Settings) -> Facts:
    """Return the same facts for the same number of initiatives, on either kind of database."""
    database = Database(settings)
    order = (Initiative.title, Initiative.id)
    with database.reading() as session:
        size = session.scalar(select(func.count()).select_from(Initiative)) or 0
        offset = min(DEEP, size * 3 // 4) // PAGE * PAGE
        title, before = session.execute(select(*order).order_by(*order).offset(offset - 1).limit(1)).one()
        # A record from the middle that has parts of every kind.
        parts = [select(part.initiative_id) for part in (InitiativeMetric, InitiativePartner, InitiativePriority)]
        whole = select(Initiative.id).where(*(Initiative.id.in_(part) for part in parts)).order_by(Initiative.id)
        count = session.scalar(select(func.count()).select_from(whole.subquery())) or 0
        id = session.scalars(whole.offset(count // 2).limit(1)).one()
        # In the middle of the initiatives, which come last.
        version = session.scalars(select(Head.version)).one() - size // 2
    database.engine.dispose()
    return Facts(PRIORITY, id, WORDS, offset, (title, before), cursor(settings, offset), version)


def cursor(settings: Settings, offset: int) -> str:
    """Return the product's cursor at the end of the page before `offset`."""
    app = create_app(settings)
    client, last = app.test_client(), ""
    for at in range(0, offset, STEP):
        after = f"&cursor={last}" if last else ""
        page = client.get(f"/initiatives?fields=id&count=none&limit={min(STEP, offset - at)}{after}").get_json()
        last = page["page"]["cursor"]
    app.extensions["database"].engine.dispose()
    return last
