"""``data``: import records from files and export them to files."""

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from tqdm import tqdm

from api.cli.common import files_at_hand, open_database, require_message, require_name
from api.cli.reading import opened_sources, reading_options
from api.cli.template import template
from api.editing import transfer
from api.editing.file_formats import WRITTEN
from api.editing.sheets.reading import Options
from api.resources import BY_NAME

# More faults than this would not be read; their number is printed in any case.
MAX_PRINTED = 1_000
STEPS = {"write": "Writing", "publish": "Publishing", "export": "Exporting"}
data_commands = AppGroup("data", help="Import and export records as files.")
data_commands.add_command(template)


@contextmanager
def progress_bars(total: int | None = None) -> Iterator[transfer.StepProgress]:
    """Yield a callback that shows one progress bar per step on a terminal, and nothing elsewhere."""
    bars: dict[str, tqdm[Any]] = {}

    def advance(step: str, count: int) -> None:
        if step not in bars:
            bars[step] = tqdm(total=total, desc=STEPS[step], unit=" records", disable=None, leave=False)
        bars[step].update(count)

    try:
        yield advance
    finally:
        for bar in bars.values():
            bar.close()


@data_commands.command("import")
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path)
)
@reading_options
@click.option("--message", callback=require_message, help="Reason for the change, stored with the commit.")
@click.option("--author", callback=require_name, help="Name stored with the commit.  [default: user of the system]")
@click.option("--replace", is_flag=True, help="Empty the members that a record of a file lacks.")
@click.option("--overwrite", is_flag=True, help="Undo what others changed since the files were exported.")
@click.option("--dry-run", is_flag=True, help="Check everything, show what would change, and write nothing.")
@files_at_hand()
def import_data(  # noqa: PLR0913 - the options of the command
    paths: Sequence[Path],
    options: Options,
    message: str | None,
    author: str | None,
    *,
    replace: bool,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Create and update records from files, in one commit.

    PATH is a file, a folder whose files are all imported, or - for standard input. A file is named after its noun:
    cities.yaml, cities.json, cities.ndjson or cities.csv; so are the sheets of a workbook, .xlsx or .ods. A record that is in
    no file is left alone, and so is a member that a record lacks. If any record is refused, nothing is written, and every
    fault is printed with its place.
    """
    with open_database() as database, opened_sources(database, paths, options) as sources:
        files, ids, faults = transfer.read(sources.taken)
        total = sum(map(len, ids.values()))
        click.echo(f"Records read: {total}, from {len(files)} files.")
        with progress_bars(total) as progress:
            # Records that can be read are checked even if others cannot, so that one run prints every fault.
            result = transfer.load(
                database,
                files,
                ids,
                message=message,
                author=author or _user(),
                replace=replace,
                overwrite=overwrite,
                dry_run=dry_run or bool(faults or sources.faults),
                progress=progress,
                report=click.echo if dry_run else transfer.unseen,
            )
        faults = sources.with_faults([*faults, *result.faults])
        for fault in faults[:MAX_PRINTED]:
            click.echo(str(fault), err=True)
    if faults:
        raise click.ClickException(f"faults: {len(faults)}; nothing was written")
    if not total:
        raise click.ClickException("there is no record to import")
    counts = ", ".join(f"{result.statuses[status]} {status}" for status in ("created", "updated", "unchanged"))
    end = "this was a dry run: nothing was written" if dry_run else f"the dataset is at version {result.version}"
    click.echo(f"Records: {counts}; {end}.")


def _user() -> str | None:
    """Return the name of the operating system's user; None if it has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


@data_commands.command("export")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(list(WRITTEN)), default="yaml", show_default=True, help="Format of the files."
)
@click.option(
    "--noun", "names", multiple=True, type=click.Choice(list(BY_NAME)), help="Noun to export; repeatable. [default: all]"
)
@files_at_hand()
def export_data(folder: Path, form: str, names: Sequence[str]) -> None:
    """Write the records of each noun to a file in FOLDER.

    The files can be imported again. All of them show the same version of the dataset.
    """
    nouns = [BY_NAME[name] for name in names or BY_NAME]
    with open_database() as database, progress_bars() as progress:
        written = transfer.export(database, folder, form, nouns, progress)
    for path, count in written.items():
        click.echo(f"{path}: {count}")
