"""``keys``: create, list, rotate and revoke API keys."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from api.cli.common import Expiry, open_database, require_slug
from api.schema.fields import instant
from api.web import keys

key_commands = AppGroup("keys", help="Create, list, rotate and revoke API keys.")


@contextmanager
def key_session(name: str) -> Iterator[Session]:
    """Open a session that changes the API key called ``name``.

    Raises `click.ClickException` with one line when the name is taken, or when no key has it.
    """
    with open_database() as database, database.writing() as session:
        try:
            yield session
        except keys.NameTaken:
            raise click.ClickException(
                f"there is already a key {name!r}, or was one: rotate it, or choose another name"
            ) from None
        except LookupError:
            known = ", ".join(key.name for key in keys.every(session)) or "none"
            raise click.ClickException(f"there is no key {name!r}; the keys are: {known}") from None


@key_commands.command()
@click.argument("name", callback=require_slug)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(list(keys.SCOPES)),
    help="What the key may do; repeatable.",
)
@click.option("--expires", type=Expiry(), help="When the key expires, such as 90d or 2099-01-31T12:00:00Z. [default: never]")
def create(name: str, scopes: Sequence[str], expires: dt.datetime | None) -> None:
    """Create the key NAME and print its secret.

    The secret is shown only this once; the database keeps its SHA-256.
    """
    with key_session(name) as session:
        secret = keys.issue(session, name, scopes, expires)
    click.echo(secret)


@key_commands.command(name="list")
def list_keys() -> None:
    """List all keys.

    Each line has the name, the state, the scopes, the expiry and the last use.
    """
    with open_database() as database, database.reading() as session:
        now = dt.datetime.now(dt.UTC)
        for key in keys.every(session):
            expiry, use = (instant(value) if value else "never" for value in (key.expires_at, key.last_used_at))
            click.echo(f"{key.name}  {key.state(now)}  {','.join(key.scope_list)}  expires {expiry}  last used {use}")


@key_commands.command()
@click.argument("name")
def rotate(name: str) -> None:
    """Give the key NAME a new secret and print it.

    The old secret stops working at once.
    """
    with key_session(name) as session:
        secret = keys.rotate(session, name)
    click.echo(secret)


@key_commands.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the key NAME for good."""
    with key_session(name) as session:
        keys.revoke(session, name)
    click.echo(f"The key {name} is revoked.")
