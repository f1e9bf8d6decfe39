"""What the commands share: an open database, complaints, and the types of their arguments."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
from flask import current_app
from sqlalchemy.exc import DBAPIError

from api.db.database import Database
from api.schema.fields import is_slug
from api.schema.operators import TYPES


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


class Ago(click.ParamType[dt.datetime]):
    """So many days ago."""

    name = "DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the moment."""
        days = re.fullmatch(r"([0-9]{1,5})d", value)
        if not days:
            self.fail(f"{value!r} is not so many days, such as 365d", param, ctx)
        return dt.datetime.now(dt.UTC) - dt.timedelta(days=int(days[1]))


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
