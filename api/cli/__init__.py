"""The command line: ``flask --app wsgi COMMAND``."""

from flask import Flask

from api.cli.citations import citation_commands
from api.cli.data import data_commands
from api.cli.keys import key_commands
from api.cli.ledger import ledger_commands
from api.cli.serve import serve
from api.cli.webhooks import webhook_commands

COMMANDS = (serve, data_commands, citation_commands, key_commands, webhook_commands, ledger_commands)


def register(app: Flask) -> None:
    """Add every command to the application."""
    for command in COMMANDS:
        app.cli.add_command(command)
