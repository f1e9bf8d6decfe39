"""`data template`: write empty tables with explanations."""

from pathlib import Path

import click

from api.cli.common import files_at_hand
from api.editing.sheets import templates
from api.resources import BY_NAME


@click.command("template")
@click.argument("noun", type=click.Choice(list(BY_NAME)))
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["xlsx", "csv"]), default="xlsx", show_default=True, help="Format of the files."
)
@files_at_hand()
def template(noun: str, folder: Path, form: str) -> None:
    """Write empty tables of NOUN into FOLDER, with explanations above their columns.

    Records follow below the names of the columns; `data import` passes over the explanations. Lists of objects, such as the
    metrics of initiatives, have a table of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in templates.write(folder, BY_NAME[noun], form):
        click.echo(str(path))
