"""The command line: ``flask --app wsgi COMMAND``."""

import datetime as dt
import importlib
import multiprocessing
import os
import re
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from granian import Granian
from granian.constants import Interfaces
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from api import fingerprints, hooks, keys, ledger, past, retention
from api import verify as verification
from api.db import Database
from api.documents import instant, is_slug
from api.operators import TYPES
from api.resources import BY_NAME
from api.resources.citations import Citation
from api.resources.sources import Source
from api.settings import ROOT

# Seconds between looks for something to tell.
POLL = 1
ledger_commands = AppGroup("ledger", help="Check and publish what the API serves.")
key_commands = AppGroup("keys", help="Say who may write.")
webhook_commands = AppGroup("webhooks", help="Tell others of changes.")
citation_commands = AppGroup("citations", help="Check the facts against their sources.")


def register(app: Flask) -> None:
    """Add the commands to the application."""
    app.cli.add_command(ledger_commands)
    app.cli.add_command(citation_commands)
    app.cli.add_command(key_commands)
    app.cli.add_command(webhook_commands)
    app.cli.add_command(serve)


@contextmanager
def ready() -> Iterator[Database]:
    """Open the database without a time limit. Raises a one-line error when it can't serve, or stops doing so."""
    served: Database = current_app.extensions["database"]
    database = Database(replace(served.settings, statement_timeout=0))
    try:
        if reason := database.unreadiness():
            raise click.ClickException(reason)
        yield database
    except DBAPIError as error:
        raise click.ClickException(f"the database stopped answering: {' '.join(str(error.orig).split())}") from None
    finally:
        database.engine.dispose()


def report(complaints: Iterable[str]) -> None:
    """Print each complaint as it comes, and end with status 1 if there was any."""
    count = 0
    for complaint in complaints:
        click.echo(complaint)
        count += 1
    if count:
        raise click.ClickException(f"differences: {count}")


@click.command()
@with_appcontext
def serve() -> None:
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
    Server(
        "wsgi:app",
        address=str(address[0]),
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        working_dir=ROOT,
        respawn_failed_workers=True,
        websockets=False,
        workers_kill_timeout=10,
    ).serve(target_loader=load_in_worker)
    # Whoever says so again comes too late: Python takes its handlers away while it ends.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


class Server(Granian):  # type: ignore[misc, valid-type]  # granian chooses the class by platform
    """A server that can be told to stop many times: granian's handler deadlocks when it is interrupted by itself."""

    def signal_handler_interrupt(self, *signal_and_frame: object) -> None:
        """Stop, once."""
        if not self.interrupt_signal:
            super().signal_handler_interrupt(*signal_and_frame)


def load_in_worker(_target: str) -> Flask:
    """Return the application to a worker, which stops when its parent says so or is no more, and for nobody else.

    A terminal's Ctrl-C, and a supervisor's SIGTERM, reach every process of the group; a worker that is told twice
    deadlocks in granian's handler.
    """
    os.setpgid(0, 0)
    # Until granian sets its own handler, the parent's is inherited, which stops nothing here.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()
    app: Flask = importlib.import_module("wsgi").app
    return app


def end_with_parent() -> None:
    """End this process when its parent was killed: its port would stay taken, and nobody would know whom to stop."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@ledger_commands.command()
def verify() -> None:
    """Recompute every document and compare; lists what differs and ends with status 1."""
    with ready() as database, database.reading() as session:
        report(verification.verify(session))
    click.echo("The ledger and the tables agree.")


@ledger_commands.command()
def sweep() -> None:
    """Publish what was written past the application, as by raw SQL."""
    with ready() as database:
        publication = ledger.sweep(database)
    click.echo(f"Changes published: {publication.revisions}; the dataset is at version {publication.version}.")
    report(publication.refused)


@ledger_commands.command()
def reindex() -> None:
    """Make the indexes of full text and of facets anew from what is published."""
    with ready() as database, database.writing() as session:
        count = ledger.reindex(session)
    click.echo(f"Records indexed: {count}.")


class Ago(click.ParamType[dt.datetime]):
    """So many days ago."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the moment."""
        days = re.fullmatch(r"([0-9]{1,5})d", value)
        if not days:
            self.fail(f"{value!r} is not so many days, such as 365d", param, ctx)
        return dt.datetime.now(dt.UTC) - dt.timedelta(days=int(days[1]))


@ledger_commands.command()
def new_epoch() -> None:
    """Begin a new epoch: after a backup was restored, before anything is written."""
    with ready() as database, database.writing() as session:
        epoch = ledger.new_epoch(session)
    click.echo(f"This is epoch {epoch}: versions begin at {epoch * ledger.EPOCH + 1}, and who has seen what is lost is told.")


@ledger_commands.command()
@click.option("--older-than", "days", required=True, type=Ago(), help="How long ago they were superseded, such as 365d.")
def trim(days: dt.datetime) -> None:
    """Cut superseded documents out of the past; changes, deletions and what is current stay."""
    with ready() as database, database.writing() as session:
        count = retention.trim(session, days)
    click.echo(f"Documents cut: {count}.")


@ledger_commands.command()
@click.argument("kind", type=click.Choice(list(BY_NAME)))
@click.argument("id")
def erase(kind: str, id: str) -> None:
    """Erase the past documents of the record ID of KIND, from the database's files too; delete or correct it before."""
    with ready() as database:
        with database.writing() as session:
            if not (newest := past.history(session, kind, id, None, 1)):
                raise click.ClickException(f"there never was {kind}/{id}")
            count = retention.erase(session, kind, id)
            is_there = newest[0].op is ledger.Op.UPSERT
        retention.forget(database.engine)
    click.echo(f"Documents erased: {count}.{' What it says now is still there.' * is_there}")


class Until(click.ParamType[dt.datetime]):
    """How long something is good for: so many days, or until a time of RFC 3339."""

    name = "DAYS or TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the moment."""
        now = dt.datetime.now(dt.UTC)
        try:
            days = re.fullmatch(r"([1-9][0-9]{0,4})d", value)
            until: dt.datetime = now + dt.timedelta(days=int(days[1])) if days else TYPES["instant"].read(value)
        except (ValueError, OverflowError):
            until = now
        if until <= now:
            self.fail(f"{value!r} is no time to come, such as 90d or 2099-01-31T12:00:00Z", param, ctx)
        return until


def slug(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Refuse a name that could not be a part of an address."""
    if not is_slug(value):
        raise click.BadParameter("use lower-case letters, digits and single hyphens")
    return value


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
                count = hooks.deliver(database, loopback=loopback)
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


@citation_commands.command()
@click.argument("source")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check(source: str, file: Path) -> None:
    """Check every citation of SOURCE (its id) against FILE, the source's text in UTF-8, a paragraph a line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.ClickException(f"{file} is not a text in UTF-8") from None
    with ready() as database, database.reading() as session:
        found = session.get(Source, source)
        if found is None:
            known = ", ".join(session.scalars(select(Source.id).order_by(Source.id)))
            raise click.ClickException(f"there is no source {source!r}; there are: {known}")
        rows = session.scalars(select(Citation).where(Citation.source_id == source).order_by(Citation.id)).all()
    complaints = fingerprints.check(
        text, [{column.key: getattr(row, column.key) for column in Citation.__table__.c} for row in rows]
    )
    if fingerprints.text_sha256(text) != found.text_sha256:
        complaints.append("the text as a whole is not the source's")
    report(complaints)
    click.echo(f"Citations that agree with the text: {len(rows)}.")
