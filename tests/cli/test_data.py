"""`data export` and `data import` on the command line."""

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import select

from api.ledger.models import Revision
from api.resources import RESOURCES
from api.settings import ROOT, Settings
from tests.support.applications import serving
from tests.support.databases import Store, opened, template
from tests.support.editions import SEEDED, seeded
from tests.support.files import city, write
from tests.support.lengths import late


def run(settings: Settings, *arguments: str) -> Result:
    """Run a command as a shell would, on no terminal."""
    with serving(settings) as app:
        return app.test_cli_runner().invoke(args=["data", *arguments])


def test_commands(settings: Settings, tmp_path: Path) -> None:
    """On no terminal the commands say what they do in plain lines; the message is kept with the commit."""
    out = run(settings, "export", str(tmp_path / "out"), "--format", "csv", "--noun", "cities", "--noun", "awards")
    assert (out.exit_code, out.output.splitlines()) == (0, [f"{tmp_path}/out/cities.csv: 6", f"{tmp_path}/out/awards.csv: 4"])
    write(tmp_path, "cities.json", [city("fresno-ca")])
    into = run(settings, "import", str(tmp_path / "cities.json"), str(tmp_path / "out"), "--message", "Fresno joins.")
    assert (into.exit_code, into.output.splitlines()) == (
        0,
        [
            "Records read: 11, from 4 files.",
            f"Records: 1 created, 0 updated, 10 unchanged; the dataset is at version {SEEDED + 1}.",
        ],
    )
    with opened(settings) as database, database.reading() as session:
        revision = session.scalars(select(Revision).where(Revision.id == "fresno-ca")).one()
        assert (revision.reason, revision.author) == ("Fresno joins.", getpass.getuser())
    shutil.rmtree(tmp_path / "out")
    write(tmp_path, "cities.json", [city("fresno-ca", name=5)])
    wrong = run(settings, "import", str(tmp_path / "cities.json"))
    assert wrong.exit_code == 1
    assert wrong.stderr.splitlines() == [
        f"{tmp_path}/cities.json:1: name: `name`: Not a valid string.",
        "Error: faults: 1; nothing was written",
    ]
    (tmp_path / "all").mkdir()
    for resource in RESOURCES:
        write(tmp_path / "all", f"{resource.name}.json", list(seeded(resource.name).values()))
    dry = run(settings, "import", str(tmp_path / "all"), "--dry-run")
    assert (
        dry.output.splitlines()[-1]
        == f"Records: 0 created, 0 updated, {SEEDED} unchanged; this was a dry run: nothing was written."
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("x" * 501, "Longer than maximum length 500."),
        ("\udc80", "A text cannot contain a null character or half of a surrogate pair."),
    ],
)
def test_the_message_of_an_import(settings: Settings, tmp_path: Path, message: str, reason: str) -> None:
    """`--message` takes what a request's message may be, and nothing is written with another; the control has 500 characters."""
    path = str(write(tmp_path, "cities.json", [city("fresno-ca")]))
    wrong = run(settings, "import", path, "--message", message)
    assert (wrong.exit_code, wrong.stderr.splitlines()[-1]) == (2, f"Error: Invalid value for '--message': {reason}")
    assert run(settings, "import", path, "--message", "x" * 500).output.splitlines()[-1].startswith("Records: 1 created")


def test_the_author_of_an_import(settings: Settings, tmp_path: Path) -> None:
    """`--author` names the author of the commit, in the form of all names."""
    path = str(write(tmp_path, "cities.json", [city("fresno-ca")]))
    assert run(settings, "import", path, "--author", " Ada  Lovelace").exit_code == 0
    with opened(settings) as database, database.reading() as session:
        assert session.scalars(select(Revision.author).where(Revision.id == "fresno-ca")).one() == "Ada Lovelace"
    wrong = run(settings, "import", path, "--author", "\x1b[31m")
    assert (wrong.exit_code, wrong.stderr.splitlines()[-1]) == (
        2,
        "Error: Invalid value for '--author': A name cannot contain the character U+001B.",
    )


def test_an_export_to_a_full_disk(settings: Settings, tmp_path: Path) -> None:
    """An export to a full disk ends with one line and status 1, and leaves no file of the export."""
    (tmp_path / f".awards.{os.getpid()}.csv").symlink_to("/dev/full")
    out = run(settings, "export", str(tmp_path), "--format", "csv", "--noun", "cities", "--noun", "awards")
    assert (out.exit_code, out.output) == (1, f"Error: {tmp_path}/awards.csv: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("target", "reason"), [late("/dev/full", "No space left on device"), (None, "Broken pipe")])
def test_an_output_that_nobody_takes(sqlite_store: Store, tmp_path: Path, target: str | None, reason: str) -> None:
    """If standard output is full or closed, the command ends with one line and status 1, and the files are there."""
    reader, writer = os.pipe()
    os.close(reader)
    with Path(target).open("w", encoding="utf-8") if target else os.fdopen(writer, "w") as stdout:
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "data", "export", str(tmp_path), "--noun", "cities"]
        settings = sqlite_store.copy(template(sqlite_store))
        environment = os.environ | {"DATABASE_URL": settings.database_url}
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (1, f"Error: {reason}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["cities.yaml"]
