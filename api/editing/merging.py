"""Merges records of files with what others changed since the files were exported."""

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.editing.operations import Change, Operation, RecordKey, Refused, shown
from api.editing.staging import chunks
from api.errors import shorten
from api.ledger.models import Op, Revision
from api.schema.canonical import Content
from api.schema.fields import MAX_INTEGER

# Characters of a value in a refusal.
MAX_SHOWN = 200
CURE = "Export again, or import with `--overwrite`."


def bases(
    session: Session, operations: Iterable[Operation], last: Mapping[RecordKey, Revision]
) -> dict[RecordKey, Revision | None]:
    """Return the revisions that outdated records of files were exported from, None for one that this data does not have."""
    outdated = {
        (operation.resource.name, str(operation.id)): operation.exported
        for operation in operations
        if operation.exported
        and (old := last.get((operation.resource.name, str(operation.id))))
        and not operation.exported.is_of(old)
    }
    by_version: dict[int, Revision] = {}
    for chunk in chunks(exported.version for exported in outdated.values()):
        by_version |= {row.version: row for row in session.scalars(select(Revision).where(Revision.version.in_(chunk)))}
    result: dict[RecordKey, Revision | None] = {}
    for key, exported in outdated.items():
        base = by_version.get(exported.version)
        is_it = base and (base.kind, base.id) == key and base.op is Op.UPSERT and exported.is_of(base)
        result[key] = base if is_it else None
    return result


def refuse_deleted(change: Change, old: Revision, refused: Refused) -> None:
    """Refuse a record of a file that was deleted after the file was exported."""
    deleted = f"was deleted{by(old, refused.published)} after the file was exported"
    detail = (
        f"The {change.operation.resource.singular} `{change.id}` {deleted}. "
        "To create it again, leave out its `version`, or import with `--overwrite`."
    )
    refused.value(change.operation, "/version", "outdated", detail, problem="conflict")


def merged(session: Session, change: Change, base: Revision | None, refused: Refused) -> Content | None:
    """Return a record with the edits of a file, and with what others changed since; None if both changed the same member.

    ``change`` is what the file has; a member with the same value in the revision ``base`` is not an edit.
    """
    operation, name = change.operation, f"The {change.operation.resource.singular} `{change.id}`"
    if base is None or base.document is None:
        fate = "was trimmed" if base else "is not in this data, which was restored, or is not that of the file"
        detail = f"{name} has changed, and the version that the file has of it {fate}. {CURE}"
        refused.value(operation, "/version", "outdated", detail, problem="conflict")
        return None
    before, exported, has_conflict = change.before or {}, json.loads(base.document), False
    result = {}
    for member, edited in (change.content or {}).items():
        now, former = before[member], exported.get(member)
        result[member] = now if edited == former else edited
        if edited != former != now != edited:
            has_conflict = True
            values = [shorten(shown(value), MAX_SHOWN) for value in (former, now, edited)]
            other = by(_last_change(session, base, member), refused.published)
            detail = (
                f"{name} was changed{other} after the file was exported, from "
                f"{values[0]} to {values[1]}; the file has {values[2]}. To keep the change, write its value into the file; to "
                "undo it, import with `--overwrite`."
            )
            refused.value(operation, f"/{member}", "outdated", detail, problem="conflict")
    return None if has_conflict else result


def _last_change(session: Session, base: Revision, member: str) -> Revision:
    """Return the last revision after ``base`` that changed a member."""
    of_record = (Revision.kind == base.kind, Revision.id == base.id, Revision.version >= base.version)
    before, result = None, base
    for revision in session.scalars(select(Revision).where(*of_record).order_by(Revision.version)):
        after = json.loads(revision.document).get(member) if revision.document else before
        before, result = after, revision if after != before else result
    return result


def by(revision: Revision, published: int = MAX_INTEGER) -> str:
    """Return who made a revision, and when, as the end of a clause; ``published`` is the last version that clients can see."""
    if revision.version > published:
        return " by SQL"
    author = f" by `{revision.author}`" if revision.author else ""
    return f" in version {revision.version}{author} on {revision.changed_at:%Y-%m-%d at %H:%M} UTC"
