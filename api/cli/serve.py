"""``serve``: run the server."""

import signal
import socket

import click
from flask.cli import ScriptInfo, pass_script_info, with_appcontext

from api import server
from api.cli.common import ready


@click.command()
@with_appcontext
@pass_script_info
def serve(info: ScriptInfo) -> None:
    """Serve the API, as HOST, PORT, WORKERS and THREADS say."""
    # The workers are forked, so whatever was opened to look is closed before.
    with ready() as database:
        settings = database.settings
    try:
        # Ask first: the server's own answer to a taken port is a trace from another process.
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        msg = f"can't listen on HOST={settings.host} PORT={settings.port}: {getattr(error, 'strerror', None) or error}"
        raise click.ClickException(msg) from None
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    click.echo(f"Serving on http://{shown}:{settings.port}, documentation at /docs; stop with Ctrl-C.")
    server.run(info.app_import_path or "wsgi", str(address[0]), settings)
    # Whoever says so again comes too late: Python takes its handlers away while it ends.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
