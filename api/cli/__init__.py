"""The command line: ``digital-cities COMMAND``, or ``flask --app wsgi COMMAND`` in a checkout."""

from importlib import import_module

import click
from flask import Flask
from flask.cli import AppGroup

# The module of the application that the commands maintain and serve.
WSGI = "api.wsgi"
# The module and the name of each command.
COMMANDS = {
    "serve": ("api.cli.serve", "serve"),
    "upgrade": ("api.cli.upgrade", "upgrade"),
    "data": ("api.cli.undo", "data_commands"),
    "citations": ("api.cli.citations", "citation_commands"),
    "keys": ("api.cli.keys", "key_commands"),
    "webhooks": ("api.cli.webhooks", "webhook_commands"),
    "ledger": ("api.cli.ledger", "ledger_commands"),
    "backup": ("api.cli.backup", "backup"),
    "restore": ("api.cli.restore", "restore"),
}


class Commands(AppGroup):
    """The commands of the application, each imported when it is used: a server starts sooner without them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        return command(cmd_name) if cmd_name in COMMANDS else super().get_command(ctx, cmd_name)


def command(name: str) -> click.Command:
    """Return one of our commands. Raises KeyError."""
    module, attribute = COMMANDS[name]
    row: click.Command = getattr(import_module(module), attribute)
    return row


def register(app: Flask) -> None:
    """Add every command to the application."""
    app.cli = Commands(app.name)
