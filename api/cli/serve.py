"""``serve``: run the server."""

import signal
import socket

import click
from flask.cli import ScriptInfo, pass_script_info, with_appcontext

from api import server
from api.cli import WSGI
from api.cli.common import open_database
from api.settings import Settings


@click.command()
@with_appcontext
@pass_script_info
def serve(info: ScriptInfo) -> None:
    """Run the server.

    HOST and PORT set the address, WORKERS and THREADS the number of processes and threads.
    """
    # Close the database before the workers are forked, so that they share no connection.
    with open_database(newer=True) as database:
        settings = database.settings
    address = check_address(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    click.echo(f"Serving on http://{host}:{settings.port}, documentation at /docs; stop with Ctrl-C.")
    server.run(info.app_import_path or WSGI, address, settings)
    # Python restores the default handlers while it ends, and a second signal would then kill it with a bad status.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def check_address(settings: Settings) -> str:
    """Return the numeric address of HOST. Raises `click.ClickException` with one line if it cannot be bound with PORT.

    Without this check granian would report a taken port by a traceback from a worker.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.ClickException(f"can't listen on HOST={settings.host} PORT={settings.port}: {reason}") from None
    return str(address[0])
