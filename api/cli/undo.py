"""``data revert``, ``data merge`` and ``data rename``: take changes back, and give records other ids."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from api.cli.common import open_database, require_message, require_name, require_slug, user
from api.cli.data import data_commands
from api.editing import reverts
from api.editing.changes import checked
from api.editing.operations import JOIN, RENAME, Operation, Refused
from api.editing.writer import Writer, outcomes_of
from api.errors import ProblemError
from api.ledger import changesets, history
from api.resources import BY_NAME

Planning = Callable[[Session], Sequence[Operation]]
NOUN = click.argument("noun", type=click.Choice(list(BY_NAME)))
ID = click.argument("id", callback=require_slug)


def _written(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that writes."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Check everything, show what would change, and write nothing."),
        click.option("--author", callback=require_name, help="Name stored with the commit.  [default: user of the system]"),
        click.option("--message", callback=require_message, help="Reason for the change, stored with the commit."),
    ):
        command = option(command)
    return command


@data_commands.command("revert")
@click.argument("version", type=click.IntRange(min=1), required=False)
@click.option("--import", "import_id", help="Revert all pieces of this import as one commit.")
@_written
def revert(version: int | None, import_id: str | None, message: str | None, author: str | None, *, dry_run: bool) -> None:
    """Make the opposite of the changeset that begins with VERSION, or of an import, as a new commit.

    It is refused if it would undo later changes, and names these: revert them first.
    """
    if (version is None) == (import_id is None):
        raise click.UsageError("Name either a VERSION or an import.")
    with open_database() as database, database.reading() as session:
        commits = [version] if version else changesets.of_import(session, import_id or "")
        if version and (first := history.commit_of(session, version)) != version:
            begins = f"; the changeset of that version begins with {first}" if first else ""
            raise click.ClickException(f"No changeset begins with version {version}{begins}.")
    if not commits:
        raise click.ClickException(f"There is no import {import_id}.")
    message = message or reverts.message(commits, import_id)
    _write(partial(reverts.operations, commits=commits), message=message, author=author, dry_run=dry_run)


@data_commands.command("merge")
@NOUN
@ID
@click.argument("into", callback=require_slug)
@_written
def merge(noun: str, id: str, into: str, **how: Any) -> None:
    """Give all references to the record ID of a NOUN to the record INTO, delete it, and let its id lead there."""
    _move(JOIN, noun, id, into, **how)


@data_commands.command("rename")
@NOUN
@ID
@click.argument("to", callback=require_slug)
@_written
def rename(noun: str, id: str, to: str, **how: Any) -> None:
    """Give the record ID of a NOUN the id TO, also in all references to it, and let the old one lead there."""
    _move(RENAME, noun, id, to, **how)


def _move(verb: str, noun: str, id: str, into: str, **how: Any) -> None:
    if id == into:
        raise click.UsageError("Both ids are the same.")
    operations = checked([Operation(verb=verb, resource=BY_NAME[noun], id=id, into=into)], Refused())
    _write(lambda _: operations, **how)


def _write(plan: Planning, *, message: str | None, author: str | None, dry_run: bool) -> None:
    """Write the operations of a plan as one commit, and print what each did. Raises `click.ClickException` for a refusal."""
    with open_database() as database, database.writing() as session:
        try:
            writer = Writer(session)
            changes = writer.apply(plan(session))
            publication = writer.publish(reason=message, author=author or user())
        except ProblemError as error:
            session.rollback()
            for item in error.errors:
                click.echo(item["detail"], err=True)
            raise click.ClickException(f"faults: {len(error.errors)}; nothing was written") from None
        except IntegrityError:
            session.rollback()
            raise click.ClickException("a unique value would pass from one record to another; nothing was written") from None
        for outcome in outcomes_of(session, changes, publication):
            into = f", and leads to {outcome.revision.merged_into}" if outcome.revision.merged_into else ""
            click.echo(f"{outcome.resource.name}/{outcome.revision.id}: {outcome.status}{into}")
        if dry_run:
            session.rollback()
    end = "this was a dry run: nothing was written" if dry_run else f"the dataset is at version {publication.version}"
    click.echo(f"Records: {len(changes)}; {end}.")
