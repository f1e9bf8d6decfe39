"""Compares the bases of facts with the citations, and fills them: transactions in SQL that run at once can leave wrong ones."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Subquery, and_, case, delete, exists, func, insert, select, union
from sqlalchemy.orm import Session

from api.resources.bases import Basis, FactBasis
from api.resources.citations import Citation

COLUMNS = ("subject_kind", "subject_id", "field", "basis")
# The weakest first; stated facts have no basis of their own.
WEAKNESS = {Basis.EDITORIAL: 1, Basis.INFERRED: 2, Basis.ATTRIBUTED: 3, Basis.EXTERNAL: 4}


def faults(session: Session) -> Iterator[str]:
    """Yield a line for each fact whose stored basis is not the weakest of its citations."""
    weakest = _weakest()
    stored = select(*(getattr(FactBasis, name) for name in COLUMNS[:3])).where(~exists().where(_same(weakest)))
    due = select(*(weakest.c[name] for name in COLUMNS[:3])).where(~exists().where(_same(weakest)))
    for kind, id, field in session.execute(union(stored, due).order_by(*COLUMNS[:3])):
        yield f"{kind}/{id}: the basis of {field} is not the weakest of its citations"


def fill(session: Session) -> int:
    """Store the right bases; returns the number of facts that change, whose records the triggers note."""
    number = sum(1 for _ in faults(session))
    weakest = _weakest()
    wrong = delete(FactBasis).where(~exists().where(_same(weakest))).execution_options(synchronize_session=False)
    due = select(*(weakest.c[name] for name in COLUMNS)).where(~exists().where(_same(weakest)))
    session.execute(wrong)
    session.execute(insert(FactBasis).from_select(COLUMNS, due))
    return number


def _weakest() -> Subquery:
    """Return the weakest basis of the citations of each fact."""
    weakness = case(WEAKNESS, value=Citation.basis)
    fact = (Citation.subject_kind, Citation.subject_id, Citation.field)
    number = func.row_number().over(partition_by=fact, order_by=weakness).label("number")
    ranked = select(*fact, Citation.basis, number).where(Citation.basis != Basis.STATED).subquery()
    return select(ranked).where(ranked.c.number == 1).subquery()


def _same(weakest: Subquery) -> ColumnElement[bool]:
    return and_(*(getattr(FactBasis, name) == weakest.c[name] for name in COLUMNS))
