"""``data``: import records from files and export them to files."""

import datetime as dt
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup
from tqdm import tqdm

from api.cli.common import files_at_hand, open_database, require_id, require_message, require_name, user
from api.cli.reading import opened_sources, reading_options
from api.cli.template import template
from api.db.turns import turn
from api.editing import entries, exports, imports
from api.editing.file_formats import WRITTEN
from api.editing.imports import ImportOptions
from api.editing.reports import Imported, StepProgress, unseen
from api.editing.sheets.reading import Options
from api.resources import BY_NAME

# More faults than this would not be read; their number is printed in any case.
MAX_PRINTED = 1_000
# Objects that an import may make before Python looks for circular garbage; usually 700.
OBJECTS = 10_000
STATUSES = ("created", "updated", "deleted", "unchanged")
SHOWN = {"created", "updated", "unchanged"}
STEPS = {"write": "Writing", "publish": "Publishing", "export": "Exporting"}
data_commands = AppGroup("data", help="Import and export records as files.")
data_commands.add_command(template)


@contextmanager
def progress_bars(total: int | None = None) -> Iterator[StepProgress]:
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


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Let Python look for circular garbage after many objects: an import makes many, few of them in circles."""
    thresholds = gc.get_threshold()
    gc.set_threshold(OBJECTS, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def import_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments and options that say what an import does to a command."""
    options = (
        click.argument(
            "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path)
        ),
        reading_options,
        click.option("--replace", is_flag=True, help="Empty the members that a record of a file lacks."),
        click.option("--overwrite", is_flag=True, help="Undo what others changed since the files were exported."),
        click.option(
            "--delete-missing", is_flag=True, help="Delete the records that are in no file, of each noun that has a file."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@data_commands.command("import")
@import_options
@click.option("--message", callback=require_message, help="Reason for the change, stored with the commit.")
@click.option("--author", callback=require_name, help="Name stored with the commit.  [default: user of the system]")
@click.option("--dry-run", is_flag=True, help="Check everything, show what would change, and write nothing.")
@click.option("--atomic", is_flag=True, help="Make one commit of any number of records, while others wait.")
@click.option("--import-id", callback=require_id, help="Id of an import that was interrupted, to go on with it.")
@click.option("--no-wait", is_flag=True, help="Fail if another import is running, instead of waiting for its end.")
@files_at_hand()
def import_data(paths: Sequence[Path], options: Options, *, author: str | None, no_wait: bool, **how: Any) -> None:
    """Create and update records from files.

    PATH is a file, a folder whose files are all imported, or - for standard input. A file is named after its noun:
    cities.yaml, cities.json, cities.ndjson or cities.csv; so are the sheets of a workbook, .xlsx or .ods. A record that is in
    no file is left alone, and so is a member that a record lacks. If any record is refused, nothing is written, and every
    fault is printed with its place.

    Up to 1,000 records are one commit. More are checked as a whole, and then published in pieces, so that others can write in
    between.
    """
    author = author or user()
    with open_database() as database, opened_sources(database, paths, options) as sources:
        files, ids, faults = entries.read(sources.taken)
        total = sum(map(len, ids.values()))
        click.echo(f"Records read: {total}, from {len(files)} files.")
        # Records that can be read are checked even if others cannot, so that one run prints every fault.
        is_wrong = bool(faults or sources.faults)
        how |= {"dry_run": how["dry_run"] or is_wrong, "report": click.echo if how["dry_run"] else unseen, "warn": click.echo}
        waiting = nullcontext() if how["dry_run"] else turn(database, _holder(author), _waiting(no_wait))
        with waiting, collecting_rarely(), progress_bars(total) as progress:
            result = imports.load(database, files, ids, ImportOptions(author=author, progress=progress, **how))
        result.faults = sources.with_faults([*faults, *result.faults])
        for fault in result.faults[:MAX_PRINTED]:
            click.echo(str(fault), err=True)
    _conclude(result, total, dry_run=how["dry_run"])


@data_commands.command("diff")
@import_options
@files_at_hand()
def diff_data(paths: Sequence[Path], options: Options, **how: Any) -> None:
    """Compare files with the data: print each record and member that an import would change, before and after.

    Ends with status 1 if there are differences, and with 2 if the files are refused.
    """
    with open_database() as database, opened_sources(database, paths, options) as sources:
        files, ids, faults = entries.read(sources.taken)
        with collecting_rarely():
            result = imports.load(database, files, ids, ImportOptions(dry_run=True, report=click.echo, **how))
        result.faults = sources.with_faults([*faults, *result.faults])
        for fault in result.faults[:MAX_PRINTED]:
            click.echo(str(fault), err=True)
    if result.faults:
        raise click.UsageError(f"faults: {len(result.faults)}")
    count = result.statuses.total() - result.statuses["unchanged"]
    click.echo(f"Records that differ: {count}.")
    sys.exit(int(count > 0))


def _conclude(result: Imported, total: int, *, dry_run: bool) -> None:
    """Print what came of an import. Raises `click.ClickException` if there are faults, or was no record."""
    counts = ", ".join(
        f"{result.statuses[status]} {status}" for status in STATUSES if status in SHOWN or result.statuses[status]
    )
    if result.faults and result.version and not dry_run:
        published = f"others wrote meanwhile. Published: {counts}. Go on with --import-id {result.import_id}"
        raise click.ClickException(f"faults: {len(result.faults)}; {published}")
    if result.faults:
        raise click.ClickException(f"faults: {len(result.faults)}; nothing was written")
    if not total:
        raise click.ClickException("there is no record to import")
    end = "this was a dry run: nothing was written" if dry_run else f"the dataset is at version {result.version}"
    click.echo(f"Records: {counts}; {end}.")


def _holder(author: str | None) -> str:
    return f"{author or 'somebody'}, since {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _waiting(no_wait: bool) -> Callable[[str], None]:  # noqa: FBT001 - the flag of the command
    def waiting(holder: str) -> None:
        if no_wait:
            raise click.ClickException(f"Another import is running: {holder}")
        click.echo(f"Waiting for the end of another import: {holder}")

    return waiting


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
        written = exports.export(database, folder, form, nouns, progress)
    for path, count in written.items():
        click.echo(f"{path}: {count}")
