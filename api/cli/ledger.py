"""``ledger``: verify, repair and trim the ledger."""

import datetime as dt
from itertools import chain

import click
from flask.cli import AppGroup

from api.cli.common import DaysAgo, open_database, report_differences
from api.editing import idempotency, proposals
from api.editing.audit import audit
from api.ledger import epochs, history, models, publish, rebuild, retention
from api.ledger import verify as verification
from api.resources import BY_NAME

ledger_commands = AppGroup("ledger", help="Verify, repair and trim the ledger.")


@ledger_commands.command()
def verify() -> None:
    """Verify that the ledger and the tables agree, and that every record is one that could be written.

    Renders every record again and compares it with its published document, and checks the hashes, the chain and the indexes.
    Checks each record by the rules of writing, which raw SQL can break. Prints each difference, and exits with status 1 if
    there is any.
    """
    with open_database() as database, database.reading() as session:
        report_differences(chain(verification.verify(session), audit(session)))
    click.echo("The ledger and the tables agree.")


@ledger_commands.command()
def sweep() -> None:
    """Publish changes that raw SQL made.

    Exits with status 1 if a changed record cannot be published; it still publishes the others.
    """
    with open_database() as database:
        publication = publish.sweep(database)
    click.echo(f"Changes published: {publication.revisions}; the dataset is at version {publication.version}.")
    report_differences(publication.refused)


@ledger_commands.command()
def reindex() -> None:
    """Rebuild the indexes, and what triggers keep."""
    with open_database() as database, database.writing() as session:
        count = rebuild.reindex(session)
    click.echo(f"Records indexed: {count}.")


@ledger_commands.command()
def new_epoch() -> None:
    """Begin a new epoch after restoring a backup.

    Run this before anything is written. Clients that saw versions that the backup does not have are then told so, instead of
    missing changes.
    """
    with open_database() as database, database.writing() as session:
        epoch = epochs.new_epoch(session)
    first = epoch * models.EPOCH + 1
    click.echo(f"Epoch {epoch} has begun: its first version is {first}. Clients that saw lost versions are told so.")


@ledger_commands.command()
@click.option("--older-than", "before", required=True, type=DaysAgo(), help="Least age of a superseded document, such as 365d.")
def trim(before: dt.datetime) -> None:
    """Remove old superseded documents from history.

    Versions, hashes, deletions and current documents stay.
    """
    with open_database() as database, database.writing() as session:
        count = retention.trim(session, before)
    click.echo(f"Documents removed: {count}.")


@ledger_commands.command()
@click.argument("kind", metavar="NOUN", type=click.Choice(list(BY_NAME)))
@click.argument("id")
def erase(kind: str, id: str) -> None:
    """Erase all past documents of one record.

    NOUN is a plural such as cities; ID is the id of the record. The documents are also removed from the database's files.
    The current document stays: correct or delete the record first.
    """
    with open_database() as database:
        with database.writing() as session:
            if not (newest := history.revisions_of(session, kind, id, None, 1)):
                raise click.ClickException(f"there has never been a record {kind}/{id}")
            count = retention.erase(session, kind, id)
            idempotency.forget(session, id)
            proposals.forget(session, kind, id)
            is_current = newest[0].op is models.Op.UPSERT
        tables = (idempotency.StoredAnswer, proposals.Proposal, models.ReplacedRecord)
        retention.vacuum(database.engine, *(table.__tablename__ for table in tables))
    click.echo(f"Documents erased: {count}.{' The current document stays.' * is_current}")
