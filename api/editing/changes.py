"""The changes that operations make: each checked by itself, first its body, then against the record as it is published."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from api.editing import merging
from api.editing.inputs import check_patch, content_of, merged, read, salvaged, sendable
from api.editing.operations import IMPORTS, JOIN, RENAME, Change, Operation, RecordKey, Refused
from api.editing.rows import arranged, layout
from api.editing.staging import CHUNK
from api.errors import ErrorList, Item
from api.ledger import publish, redirects
from api.ledger.history import near_id
from api.ledger.models import Op, Revision
from api.resources import RESOURCES
from api.schema.canonical import PUBLICATION, Content
from api.schema.fields import RESERVED, SLUG, instant, is_slug
from api.schema.pointers import token_of

UNPUBLISHED = "SQL changed it directly, and the next write, or `ledger sweep`, publishes that"


def checked(operations: Sequence[Operation], refused: Refused) -> list[Operation]:
    """Return operations with their ids and the values or errors of their bodies, one for each record.

    The database is not asked. Operations without an id are left out, and their errors added to ``refused``.
    """
    by_record: dict[RecordKey, Operation] = {}
    for operation in operations:
        id = _id(operation, refused)
        if id is None:
            continue
        if (operation.resource.name, id) in by_record:
            detail = f"An earlier operation names `{operation.resource.name}/{id}`; one operation per record is allowed."
            refused.operation("invalid-body", operation, "id", detail, code="named-twice")
        by_record.setdefault((operation.resource.name, id), operation if operation.id == id else replace(operation, id=id))
    count, result = 0, []
    for operation in by_record.values():
        # Once there are as many errors as an answer can have, the other bodies are not read: none of them is carried out.
        result.append(with_values(operation, refused.most) if count < refused.most else operation)
        count += len(result[-1].errors)
    return result


def with_values(operation: Operation, most: int) -> Operation:
    """Return an operation with the values of its body, or with what is wrong with it."""
    resource, body, errors = operation.resource, operation.body, ErrorList(most)
    if operation.verb in {"delete", "merge", JOIN, RENAME}:
        return operation
    if operation.verb == "patch":
        check_patch(resource, body, errors, operation.pointer)
        return replace(operation, errors=errors)
    body = {"id": operation.id, **body} if isinstance(body, dict) else body
    return replace(operation, values=read(resource, body, errors, operation.pointer), errors=errors)


def changes_of(session: Session, operations: Sequence[Operation], refused: Refused) -> list[Change]:
    """Return the changes of those operations that are valid in the dataset; the errors of the others are added to ``refused``.

    ``operations`` are what `checked` returned.
    """
    by_record = {(operation.resource.name, str(operation.id)): operation for operation in operations}
    last = last_revisions(session, by_record)
    bases = merging.bases(session, operations, last)
    changes = []
    for (kind, id), operation in by_record.items():
        change = None if refused.full else _change(session, operation, id, last.get((kind, id)), refused)
        if change and change.status == "updated" and (kind, id) in bases:
            change = _merged(session, change, bases[kind, id], refused)
        changes.append(change)
    return [change for change in changes if change]


def last_revisions(session: Session, records: Iterable[RecordKey]) -> dict[RecordKey, Revision]:
    """Return the last revisions of some records, deletions included."""
    result: dict[RecordKey, Revision] = {}
    keys = list(records)
    for resource in RESOURCES:
        ids = [id for kind, id in keys if kind == resource.name]
        for start in range(0, len(ids), CHUNK):
            revisions = publish.last_revisions(session, resource.name, ids[start : start + CHUNK])
            result |= {(resource.name, id): revision for id, revision in revisions.items()}
    return result


def _id(operation: Operation, refused: Refused) -> str | None:
    """Return the id of an operation's record; None if it is missing, malformed, or differs between request and record."""
    in_body = operation.body.get("id") if isinstance(operation.body, dict) else None
    id = in_body if operation.id is None else operation.id
    if operation.id is not None and not (isinstance(in_body, str | None) and in_body in (None, id)):
        detail = f"The record is `{id}`, and an id never changes."
        refused.value(operation, "/id", "read-only", detail, allowed=[id])
        return None
    if id is None and not isinstance(operation.body, dict):
        refused.value(operation, "", "invalid-value", f"The {operation.resource.singular} must be an object.")
    elif not (isinstance(id, str) and is_slug(id) and id != RESERVED):
        example = operation.resource.fields["id"].example
        detail = f"An id has at most 200 lower-case letters, digits and single hyphens, such as `{example}`."
        code = "missing" if id is None else "invalid-value"
        refused.value(operation, "/id", code, "`id` is missing. " * (id is None) + detail, allowed={"pattern": SLUG})
    else:
        return id
    return None


def _change(session: Session, operation: Operation, id: str, old: Revision | None, refused: Refused) -> Change | None:
    """Return the change of an operation; None if it is refused."""
    change = Change(operation, id, old)
    if old and old.op is Op.UPSERT:
        document = json.loads(old.document or "")
        change.before = sendable(operation.resource, document)
        is_allowed = _may_change(change, old, document, refused)
    else:
        is_allowed = _may_create(session, change, refused)
    if not is_allowed or operation.verb == "delete":
        return change if is_allowed else None
    errors = refused.items["invalid-body"]
    earlier = len(errors)
    errors += operation.errors
    change.data = operation.values
    if operation.verb in {"patch", "merge"} and not operation.errors:
        body = _completed(operation, change.before or {})
        change.data = read(operation.resource, body, errors, operation.pointer)
    if change.data is None:
        if operation.verb in IMPORTS:
            _salvage(change, errors[earlier:], refused)
        return None
    change.content = arranged(layout(operation.resource), content_of(operation.resource, change.data))
    return change


def _salvage(change: Change, errors: Sequence[Item], refused: Refused) -> None:
    """Keep the right values of a wrong record of a file, so that one report also has what it refers to in vain."""
    operation = change.operation
    wrong = {item["pointer"].removeprefix(f"{operation.pointer}/").partition("/")[0] for item in errors}
    if isinstance(operation.body, dict) and (data := salvaged(operation.resource, operation.body, wrong)):
        refused.salvaged.append(replace(change, data=data))


def _completed(operation: Operation, before: Content) -> Content:
    """Return a record with the members of a body and those that the body lacks."""
    if operation.verb == "patch":
        return merged(before, operation.body)  # type: ignore[no-any-return]
    return {**operation.body, **{name: value for name, value in before.items() if name not in operation.body}}


def _merged(session: Session, change: Change, base: Revision | None, refused: Refused) -> Change | None:
    """Return the change of a record of an outdated file, without what the file would undo; None if it is refused."""
    content = merging.merged(session, change, base, refused)
    if content is None:
        return None
    resource = change.operation.resource
    change.data = read(resource, content, refused.items["invalid-body"], change.operation.pointer)
    change.content = arranged(layout(resource), content_of(resource, change.data)) if change.data is not None else None
    return change if change.content is not None else None


def _may_create(session: Session, change: Change, refused: Refused) -> bool:
    """Tell whether an operation is allowed if its record does not exist."""
    operation, name = change.operation, f"{change.operation.resource.singular} `{change.id}`"
    if change.old and change.old.merged_into and operation.verb in {"patch", "delete"}:
        end = redirects.target(session, operation.resource.name, change.old.merged_into)
        detail = f"The {name} was merged into `{end}`, or renamed: change that one."
        refused.operation("record-deleted", operation, "id", detail, suggestion=end)
        refused.members |= {"deleted_at": instant(change.old.changed_at), "version": change.old.version}
    elif operation.expected:
        refused.operation("precondition-failed", operation, "If-Match", f"There is no {name}.")
        refused.members.setdefault("current", None)
    elif change.old and change.old.merged_into and not operation.revives:
        _refuse_redirect(session, change, change.old.merged_into, refused)
    elif operation.exported and change.old:
        merging.refuse_deleted(change, change.old, refused)
    elif operation.verb in {"create", "put", *IMPORTS}:
        return True
    elif change.old:
        is_published = change.old.version <= refused.published
        detail = f"The {name} was deleted" + (f" in version {change.old.version}." if is_published else f"; {UNPUBLISHED}.")
        refused.operation("record-deleted", operation, "id", detail)
        if is_published:
            refused.members |= {"deleted_at": instant(change.old.changed_at), "version": change.old.version}
    else:
        suggestion = near_id(session, operation.resource.name, change.id) if refused.suggests else None
        detail = f"There is no {name}."
        refused.operation("record-not-found", operation, "id", detail, code="unknown-id", suggestion=suggestion)
    return False


def _refuse_redirect(session: Session, change: Change, into: str, refused: Refused) -> None:
    """Refuse a new record under an id that leads to another one: its readers would take the one for the other."""
    operation, end = change.operation, redirects.target(session, change.operation.resource.name, into)
    assert change.old
    detail = (
        f"The id `{change.id}` leads to the {operation.resource.singular} `{end}` since version {change.old.version}. Write "
        f"`{end}` instead, or revert the changeset {change.old.commit_version} if the two are not the same."
    )
    records = [{"kind": operation.resource.name, "id": end}]
    refused.value(operation, "/id", "redirects", detail, problem="conflict", records=records)


def _may_change(change: Change, old: Revision, document: Content, refused: Refused) -> bool:
    """Tell whether an operation is allowed if its record exists: it must not undo a change that its caller has not seen."""
    operation, name = change.operation, f"The {change.operation.resource.singular} `{change.id}`"
    if operation.verb == "create":
        records = [{"kind": operation.resource.name, "id": change.id}]
        refused.value(operation, "/id", "already-exists", f"{name} exists already.", problem="conflict", records=records)
    elif operation.verb in IMPORTS:
        return True
    elif operation.absent:
        refused.operation("precondition-failed", operation, "If-None-Match", f"{name} exists already.")
        refused.members["current"] = refused.current(document)
    elif operation.expected is None:
        cure = "send the `ETag` that you read as `If-Match`" if operation.place is None else "send its `version` as `if_match`"
        refused.operation("precondition-required", operation, "If-Match", f"{name} exists already: {cure}.")
    elif not operation.expected.holds(old):
        is_published = old.version <= refused.published
        state = (
            f"is at version {old.version}, which is not the state that you named"
            if is_published
            else f"has changed: {UNPUBLISHED}"
        )
        refused.operation("precondition-failed", operation, "If-Match", f"{name} {state}.")
        refused.members.setdefault("current", refused.current(document))
        _name_differences(operation, document, refused)
    else:
        return True
    return False


def _name_differences(operation: Operation, document: Content, refused: Refused) -> None:
    """Add an error for each member of the caller's body whose current value is another."""
    for member, value in operation.body.items() if isinstance(operation.body, dict) else ():
        if member in document and member not in PUBLICATION and document[member] != value:
            detail = f"The current value of `{member}` differs from yours."
            refused.value(operation, f"/{token_of(member)}", "differs", detail, problem="precondition-failed")
