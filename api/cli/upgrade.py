"""``upgrade``: migrate the database."""

import click
from alembic import command
from alembic.util import CommandError

from api.db.revisions import alembic_config


@click.command()
def upgrade() -> None:
    """Migrate the database to this release; a missing SQLite file is made."""
    try:
        command.upgrade(alembic_config(), "head")
    except CommandError as error:
        raise click.ClickException(str(error)) from None
