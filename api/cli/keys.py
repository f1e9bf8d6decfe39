"""``keys``: say who may write."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from flask.cli import AppGroup
from sqlalchemy.orm import Session

from api.cli.common import Until, ready, slug
from api.schema.fields import instant
from api.web import keys

key_commands = AppGroup("keys", help="Say who may write.")


@contextmanager
def key_of(name: str) -> Iterator[Session]:
    """Open a session to change a key. Raises a one-line error when there is none of that name, or already one."""
    with ready() as database, database.writing() as session:
        try:
            yield session
        except keys.NameTaken:
            raise click.ClickException(f"there is, or was, a key {name!r}: rotate it, or take another name") from None
        except LookupError:
            known = ", ".join(key.name for key in keys.every(session)) or "none"
            raise click.ClickException(f"there is no key {name!r}; there are: {known}") from None


@key_commands.command()
@click.argument("name", callback=slug)
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(list(keys.SCOPES)), help="What it may do.")
@click.option("--expires", type=Until(), help="When it ends, such as 90d or 2099-01-31T12:00:00Z; never by itself.")
def create(name: str, scopes: Sequence[str], expires: dt.datetime | None) -> None:
    """Make a key called NAME; its secret is printed, and can't be read again."""
    with key_of(name) as session:
        secret = keys.issue(session, name, scopes, expires)
    click.echo(secret)


@key_commands.command(name="list")
def list_keys() -> None:
    """List the keys: name, state, scopes, end and last use."""
    with ready() as database, database.reading() as session:
        now = dt.datetime.now(dt.UTC)
        for key in keys.every(session):
            end, use = (instant(value) if value else "never" for value in (key.expires_at, key.last_used_at))
            click.echo(f"{key.name}  {key.state(now)}  {','.join(key.scope_list)}  expires {end}  last used {use}")


@key_commands.command()
@click.argument("name")
def rotate(name: str) -> None:
    """Give the key NAME a new secret; the old one is of no use from then on."""
    with key_of(name) as session:
        secret = keys.rotate(session, name)
    click.echo(secret)


@key_commands.command()
@click.argument("name")
def revoke(name: str) -> None:
    """End the key NAME for ever."""
    with key_of(name) as session:
        keys.revoke(session, name)
    click.echo(f"The key {name} is revoked.")
