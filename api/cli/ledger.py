"""``ledger``: check and publish what the API serves."""

import datetime as dt

import click
from flask.cli import AppGroup

from api.cli.common import Ago, ready, report
from api.editing import idempotency
from api.ledger import history, models, publish, rebuild, retention
from api.ledger import verify as verification
from api.resources import BY_NAME

ledger_commands = AppGroup("ledger", help="Check and publish what the API serves.")


@ledger_commands.command()
def verify() -> None:
    """Recompute every document and compare; lists what differs and ends with status 1."""
    with ready() as database, database.reading() as session:
        report(verification.verify(session))
    click.echo("The ledger and the tables agree.")


@ledger_commands.command()
def sweep() -> None:
    """Publish what was written past the application, as by raw SQL."""
    with ready() as database:
        publication = publish.sweep(database)
    click.echo(f"Changes published: {publication.revisions}; the dataset is at version {publication.version}.")
    report(publication.refused)


@ledger_commands.command()
def reindex() -> None:
    """Make the indexes of full text and of facets anew from what is published."""
    with ready() as database, database.writing() as session:
        count = rebuild.reindex(session)
    click.echo(f"Records indexed: {count}.")


@ledger_commands.command()
def new_epoch() -> None:
    """Begin a new epoch: after a backup was restored, before anything is written."""
    with ready() as database, database.writing() as session:
        epoch = publish.new_epoch(session)
    click.echo(f"This is epoch {epoch}: versions begin at {epoch * models.EPOCH + 1}, and who has seen what is lost is told.")


@ledger_commands.command()
@click.option("--older-than", "days", required=True, type=Ago(), help="How long ago they were superseded, such as 365d.")
def trim(days: dt.datetime) -> None:
    """Cut superseded documents out of the past; changes, deletions and what is current stay."""
    with ready() as database, database.writing() as session:
        count = retention.trim(session, days)
    click.echo(f"Documents cut: {count}.")


@ledger_commands.command()
@click.argument("kind", type=click.Choice(list(BY_NAME)))
@click.argument("id")
def erase(kind: str, id: str) -> None:
    """Erase the past documents of the record ID of KIND, from the database's files too; delete or correct it before."""
    with ready() as database:
        with database.writing() as session:
            if not (newest := history.history(session, kind, id, None, 1)):
                raise click.ClickException(f"there never was {kind}/{id}")
            count = retention.erase(session, kind, id)
            idempotency.forget(session, id)
            is_there = newest[0].op is models.Op.UPSERT
        retention.forget(database.engine, idempotency.Answer.__tablename__)
    click.echo(f"Documents erased: {count}.{' What it says now is still there.' * is_there}")
