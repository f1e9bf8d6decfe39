"""``webhooks``: tell others of changes."""

import signal
import threading

import click
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError

from api.cli.common import ready
from api.webhooks import delivery

# Seconds between looks for something to tell.
POLL = 1
webhook_commands = AppGroup("webhooks", help="Tell others of changes.")


@webhook_commands.command()
@click.option("--once", is_flag=True, help="Send what is due, and end.")
def run(*, once: bool) -> None:
    """Tell the webhooks of changes, as long as it runs; any number of these can, on any machine."""
    stop = threading.Event()
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    with ready() as database:
        loopback = bool(database.settings.webhooks_loopback)
        while not stop.is_set():
            try:
                count = delivery.deliver(database, loopback=loopback)
            except DBAPIError as error:
                if once:
                    raise
                click.echo(f"The database did not answer, and is asked again: {' '.join(str(error.orig).split())}", err=True)
                count = 0
            if count or once:
                click.echo(f"Messages sent or tried: {count}.")
            if once:
                return
            stop.wait(POLL)
