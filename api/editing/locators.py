"""Checks that citations of a data set locate values, and citations of a text sentences."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.editing.operations import Operation, Refused
from api.editing.staging import chunks
from api.resources.citations import Citation
from api.resources.sources import Source, SourceType

NEEDED = {True: "`locator` and `value_sha256`", False: "`paragraph`, `sentence` and `sentence_sha256`"}


def check(session: Session, citations: Mapping[str, Operation], sources: Mapping[str, Operation], refused: Refused) -> None:
    """Refuse citations, by id, of another form than their sources need, and changes of the types of sources, by id."""
    for chosen, column in ((citations, Citation.id), (sources, Citation.source_id)):
        for chunk in chunks(chosen):
            for row in session.execute(_mismatched(column.in_(chunk))):
                _refuse(citations.get(row.id), sources.get(row.source_id), row, refused)


def _mismatched(chosen: Any) -> Any:
    is_data = Source.type == SourceType.DATASET
    is_wrong = or_(is_data & Citation.paragraph.is_not(None), ~is_data & Citation.paragraph.is_(None))
    columns = (Citation.id, Citation.source_id, Source.type)
    return select(*columns).join(Source, Source.id == Citation.source_id).where(chosen, is_wrong).order_by(Citation.id)


def _refuse(citation: Operation | None, source: Operation | None, row: Any, refused: Refused) -> None:
    is_data = row.type is SourceType.DATASET
    subject = f"The source `{row.source_id}` is {'a data set' if is_data else 'a text'}"
    if citation:
        pointer = "/locator" if is_data else "/paragraph"
        refused.value(citation, pointer, "disagrees", f"{subject}, so its citations have {NEEDED[is_data]}.")
    elif source:
        detail = f"{subject}, but the citation `{row.id}` has {NEEDED[not is_data]}; change it in the same changeset."
        refused.value(source, "/type", "disagrees", detail)
