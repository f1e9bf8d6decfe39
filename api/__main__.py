"""The command ``digital-cities`` of an installed package; in a checkout it is ``python -m api``."""

from importlib import import_module
from typing import Any

import click
from flask.cli import ScriptInfo

from api import __version__
from api.cli import WSGI, Commands


def load_app(*_arguments: Any) -> Any:
    """Return the application, which commands that need none do not wait for."""
    return import_module(WSGI).app


@click.group(cls=Commands, name="digital-cities", context_settings={"obj": ScriptInfo(create_app=load_app)})
@click.version_option(__version__)
def main() -> None:
    """Serve and maintain the Digital Cities API.

    Every setting is an environment variable, such as DATABASE_URL.
    """


if __name__ == "__main__":
    main()
