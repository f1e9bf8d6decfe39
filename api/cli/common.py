"""Helpers that the commands share: an open database, a report of differences, and parameter types for times."""

import datetime as dt
import getpass
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import click
from flask import current_app
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError

from api import logs
from api.db import failures
from api.db.database import Database
from api.editing.inputs import MESSAGE_CHECKS
from api.schema import names
from api.schema.fields import is_slug
from api.schema.operators import TYPES


@contextmanager
def open_database(*, newer: bool = False) -> Iterator[Database]:
    """Open the database without a statement timeout, because a command may take longer than a request.

    With ``newer``, it may be migrated to a newer release.

    Raises `click.ClickException` with one line when the database cannot be used, or fails before the block ends.
    """
    served: Database = current_app.extensions["database"]
    database = Database(replace(served.settings, statement_timeout=0))
    try:
        if reason := database.readiness().reads:
            raise click.ClickException(reason)
        if not newer and database.is_newer():
            raise click.ClickException("The database is migrated to a newer release: use the command of that release.")
        yield database
    except DBAPIError as error:
        raise click.ClickException(failures.reason(error) or f"The database failed: {logs.describe(error)}") from None
    finally:
        database.engine.dispose()


@contextmanager
def files_at_hand() -> Iterator[None]:
    """End the command with one line when a file cannot be read or written, or nobody takes its output."""
    try:
        yield
    except OSError as error:
        # What is left in the buffer of standard output must not fail again when Python ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        place = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{place}{error.strerror or error}") from None


def report_differences(differences: Iterable[str]) -> None:
    """Print each difference as it is found. Raises `click.ClickException` with their number if there was any."""
    count = 0
    for difference in differences:
        click.echo(difference)
        count += 1
    if count:
        raise click.ClickException(f"differences: {count}")


class DaysAgo(click.ParamType[dt.datetime]):
    """A number of days such as ``365d``, converted to the time that many days before now."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the time in UTC. Fails unless the value is a whole number of days."""
        days = re.fullmatch(r"([0-9]{1,5})d", value)
        if not days:
            self.fail(f"{value!r} is not a number of days, such as 365d", param, ctx)
        return dt.datetime.now(dt.UTC) - dt.timedelta(days=int(days[1]))


class Expiry(click.ParamType[dt.datetime]):
    """A number of days from now such as ``90d``, or a time in RFC 3339, converted to a time."""

    name = "DAYS or TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the time. Fails unless it is in the future."""
        now = dt.datetime.now(dt.UTC)
        try:
            days = re.fullmatch(r"([1-9][0-9]{0,4})d", value)
            expiry: dt.datetime = now + dt.timedelta(days=int(days[1])) if days else TYPES["instant"].read(value)
        except (ValueError, OverflowError):
            expiry = now
        if expiry <= now:
            self.fail(f"{value!r} is not a time in the future, such as 90d or 2099-01-31T12:00:00Z", param, ctx)
        return expiry


def require_name(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Return a name in its canonical form. Raises `click.BadParameter` for a text that is none."""
    try:
        return value and names.canonical(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def require_message(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Return the reason of a change. Raises `click.BadParameter` for one that a request could not have."""
    try:
        for check in MESSAGE_CHECKS:
            check(value or "")
    except ValidationError as error:
        raise click.BadParameter(str(error.messages[0])) from None
    return value


def require_slug(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return a name that can be part of a URL. Raises `click.BadParameter` for any other."""
    if not is_slug(value):
        raise click.BadParameter("use lower-case letters, digits and single hyphens")
    return value


def require_id(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return an id that an import printed. Raises `click.BadParameter` for a text that is none."""
    return None if value is None else require_slug(context, parameter, value)


def user() -> str | None:
    """Return the name of the operating system's user; None if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
