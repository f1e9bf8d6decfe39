"""The command line for files of records: ``flask --app wsgi data import`` and ``data export``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from tqdm import tqdm

from api.cli.common import ready
from api.editing import transfer
from api.editing.files import FORMS
from api.resources import BY_NAME

MAX_FAULTS = 1_000
STEPS = {"write": "Writing", "publish": "Publishing", "export": "Exporting"}
data_commands = AppGroup("data", help="Take records from files, and write them to files.")


@contextmanager
def bars(total: int | None = None) -> Iterator[transfer.Progress]:
    """Show a bar for each step, with its rate and the time that remains; on anything but a terminal, nothing."""
    shown: dict[str, tqdm[Any]] = {}

    def note(step: str, count: int) -> None:
        if step not in shown:
            shown[step] = tqdm(total=total, desc=STEPS[step], unit=" records", disable=None, leave=False)
        shown[step].update(count)

    try:
        yield note
    finally:
        for bar in shown.values():
            bar.close()


@data_commands.command("import")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--message", help="Why: it is kept with the commit.")
@click.option("--dry-run", is_flag=True, help="Do everything, and take it back.")
def import_data(paths: Sequence[Path], message: str | None, *, dry_run: bool) -> None:
    """Create and update the records of FILEs, or of all files in folders, as one commit.

    A file is named for its noun: cities.yaml, cities.json, cities.ndjson or cities.csv.
    """
    files, ids, faults = transfer.read(paths)
    total = sum(map(len, ids.values()))
    click.echo(f"Records read: {total}, from {len(files)} files.")
    with ready() as database, bars(total) as progress:
        found = transfer.load(database, files, ids, message=message, dry_run=dry_run or bool(faults), progress=progress)
    for fault in [*faults, *found.faults][:MAX_FAULTS]:
        click.echo(str(fault), err=True)
    if count := len(faults) + len(found.faults):
        raise click.ClickException(f"faults: {count}; nothing is written")
    counts = ", ".join(f"{found.statuses[status]} {status}" for status in ("created", "updated", "unchanged"))
    end = "; a dry run, so nothing is written" if dry_run else f"; the dataset is at version {found.version}"
    click.echo(f"Records: {counts}{end}.")


@data_commands.command("export")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="yaml", show_default=True, help="Form of the files.")
@click.option("--noun", "names", multiple=True, type=click.Choice(list(BY_NAME)), help="Only this noun; all without it.")
def export_data(folder: Path, form: str, names: Sequence[str]) -> None:
    """Write all records to files in FOLDER, one for each noun, which `data import` takes."""
    nouns = [BY_NAME[name] for name in names or BY_NAME]
    with ready() as database, bars() as progress:
        written = transfer.export(database, folder, form, nouns, progress)
    for path, count in written.items():
        click.echo(f"{path}: {count}")
