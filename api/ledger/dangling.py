"""Citations that point to nothing in their record."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from api.ledger.models import BATCH, CURRENT, Revision
from api.resources import BY_NAME
from api.resources.citations import Citation
from api.schema.pointers import resolves


def dangling(session: Session, *conditions: Any) -> Iterator[tuple[str, str]]:
    """Yield the id of each citation that points to nothing in its published record, with a sentence about it."""
    of_subject = and_(Revision.kind == Citation.subject_kind, Revision.id == Citation.subject_id, *CURRENT)
    columns = (Citation.subject_kind, Citation.subject_id, Citation.id, Citation.field, Revision.document)
    statement = select(*columns).join(Revision, of_subject).where(*conditions)
    rows = session.execute(
        statement.order_by(Citation.subject_kind, Citation.subject_id, Citation.id).execution_options(yield_per=BATCH)
    )
    for (kind, id), citations in groupby(rows, lambda row: (row.subject_kind, row.subject_id)):
        facts = None
        for row in citations:
            if facts is None:
                document = json.loads(row.document)
                facts = {name: document[name] for name in BY_NAME[kind].facts if name in document}
            if not resolves(facts, row.field):
                yield row.id, f"citations/{row.id}: {kind}/{id} has nothing at {row.field}"
