"""The command line: ``flask --app wsgi COMMAND``."""

from flask import Flask

from api.cli.citations import citation_commands
from api.cli.data import data_commands
from api.cli.keys import key_commands
from api.cli.ledger import ledger_commands
from api.cli.serve import serve
from api.cli.webhooks import webhook_commands


def register(app: Flask) -> None:
    """Add the commands to the application."""
    app.cli.add_command(data_commands)
    app.cli.add_command(ledger_commands)
    app.cli.add_command(citation_commands)
    app.cli.add_command(key_commands)
    app.cli.add_command(webhook_commands)
    app.cli.add_command(serve)
