"""Credits: the data sets whose values a record has, and the terms of their use."""

from sqlalchemy import select
from sqlalchemy.orm import Mapped

from api.db.types import Base
from api.resources.citations import Citation
from api.resources.sources import Source

_CREDITS = (
    select(
        Citation.id,
        Citation.subject_kind,
        Citation.subject_id,
        Citation.source_id,
        Source.attribution,
        Source.licence,
    )
    .join(Source, Source.id == Citation.source_id)
    .where(Citation.locator_record.is_not(None), Source.attribution.is_not(None))
    .subquery("credits")
)


class Credit(Base):
    """A citation of a data set that requires an attribution wherever its values are shown; a query, not a table."""

    __table__ = _CREDITS
    __mapper_args__ = {"primary_key": [_CREDITS.c.id]}  # noqa: RUF012 - SQLAlchemy's form
    id: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    source_id: Mapped[str]
    attribution: Mapped[str]
    licence: Mapped[str | None]
