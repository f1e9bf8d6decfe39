"""``webhooks``: deliver messages to webhooks."""

import signal
import threading

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from api import logs
from api.cli.common import open_database
from api.webhooks import delivery

# Seconds between two looks for messages that are due.
POLL = 1
webhook_commands = AppGroup("webhooks", help="Deliver messages to webhooks.")


@webhook_commands.command()
@click.argument("id")
def test(id: str) -> None:
    """Send the webhook ID a test message now, from this machine.

    Prints the outcome, and exits with status 1 unless the receiver accepted the message.
    """
    with open_database() as database:
        sent = delivery.send_test(database, id, loopback=bool(database.settings.webhooks_loopback))
    if sent is None:
        raise click.ClickException(f"there is no webhook {id!r}")
    status, outcome = sent
    if status not in delivery.ACCEPTED:
        raise click.ClickException(outcome)
    click.echo(outcome)


@webhook_commands.command()
@click.option("--once", is_flag=True, help="Send the messages that are due now, and exit.")
def run(*, once: bool) -> None:
    """Deliver messages to webhooks until stopped.

    Any number of these processes can run, on any machine: each message is sent by one of them.
    """
    stop = threading.Event()
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    with open_database() as database, delivery.Senders(database, loopback=bool(database.settings.webhooks_loopback)) as senders:
        while not stop.is_set():
            try:
                started = senders.start()
                count = sum(sent.result() for sent in started) if once else len(started)
            except DBAPIError as error:
                if once:
                    raise
                click.echo(f"The database did not answer; trying again: {logs.describe(error)}", err=True)
                count = 0
            if count or once:
                click.echo(f"Messages attempted: {count}.")
            if once:
                return
            stop.wait(POLL)
