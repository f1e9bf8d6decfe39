"""Exports: the records of each noun as files, which can be imported again."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.db.database import Database
from api.editing.files import names_of, write
from api.editing.reports import StepProgress, unseen
from api.ledger.models import BATCH, CURRENT, Revision
from api.resources import RESOURCES
from api.schema.canonical import Content
from api.schema.resource import Resource


def export(
    database: Database, folder: Path, form: str, nouns: Sequence[Resource] = RESOURCES, progress: StepProgress = unseen
) -> dict[Path, int]:
    """Write a file for each noun, all from the same version of the dataset; returns the number of records of each file.

    No file is replaced before all new ones are complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, int] = {}
    parts: dict[Path, Path] = {}
    try:
        with database.reading() as session:
            for noun in nouns:
                paths = [folder / name for name in names_of(noun, form)]
                parts |= {path: folder / f".{path.stem}.{os.getpid()}.{form}" for path in paths}
                path = paths[0]
                written[path] = write([parts[path] for path in paths], _documents(session, noun, progress), noun)
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return written


def _documents(session: Session, noun: Resource, progress: StepProgress) -> Iterator[Content]:
    published = select(Revision.document).where(Revision.kind == noun.name, *CURRENT).order_by(Revision.id)
    with session.execute(published.execution_options(yield_per=BATCH)) as rows:
        for document in rows.scalars():
            progress("export", 1)
            yield json.loads(document or "")
