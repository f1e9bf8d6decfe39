"""The package of `make wheel`, installed in an empty environment, needs nothing of the checkout."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from urllib.request import urlopen
from zipfile import ZipFile

import click
import pytest

from api import __version__, cli
from api.settings import ROOT
from tests.support.pages import run_by
from tests.support.processes import PIPED, environment, listening, unused_port

pytestmark = pytest.mark.slow

PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
PATHS = ("/readyz", "/cities", "/cities.html", "/docs", "/openapi.json")
COMMANDS = [
    (name, *below)
    for name in cli.COMMANDS
    for row in [cli.command(name)]
    for below in [(), *([part] for part in (row.commands if isinstance(row, click.Group) else ()))]
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built as `make wheel` builds it, but with the installed hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of the package in an environment that borrows the other packages of this one."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    subprocess.run([*PIP, "--python", folder / "bin" / "python", "install", "--no-deps", wheel], check=True)
    borrowed = next(folder.glob("lib/python*/site-packages")) / "borrowed.pth"
    borrowed.write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder / "bin" / "digital-cities"


def files_of(command: Path) -> set[Path]:
    """Return all files of an environment, without compiled modules."""
    return {path for path in command.parents[1].rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__"}


def elsewhere(folder: Path, command: Path, *arguments: str) -> list[str]:
    """Return how to run a command in a folder, where nothing leads to the checkout."""
    return ["env", "-C", str(folder), "-u", "PYTHONPATH", str(command), *arguments]


def run(folder: Path, command: Path, *arguments: str) -> str:
    """Run a command in a folder, and return what it prints."""
    done = subprocess.run(elsewhere(folder, command, *arguments), **PIPED, env=environment({}), check=False)
    assert done.returncode == 0, done.stdout
    output: str = done.stdout
    return output


def serves(folder: Path, command: Path, *arguments: str) -> None:
    """See that a command serves the facts, with its pages, from a folder."""
    port = unused_port()
    with listening(elsewhere(folder, command, *arguments), "127.0.0.1", port, PORT=port):
        answers = {path: fetched(f"http://127.0.0.1:{port}{path}") for path in PATHS}
    assert json.loads(answers["/readyz"]) == {"status": "ok", "writes": "ok"}
    assert len(json.loads(answers["/cities"])["data"]) == 6
    assert json.loads(answers["/openapi.json"])["info"]["version"] == __version__


def fetched(url: str) -> bytes:
    """Return the body of a good answer."""
    with urlopen(url, timeout=60) as response:
        body: bytes = response.read()
        return body


def test_one_version(wheel: Path, command: Path, tmp_path: Path) -> None:
    """The name of the file, and the command, have the version of `api`."""
    assert wheel.name == f"digital_cities_api-{__version__}-py3-none-any.whl"
    assert run(tmp_path, command, "--version") == f"digital-cities, version {__version__}\n"


def test_only_api_is_installed(wheel: Path) -> None:
    """The package adds no module but `api` to an environment, where names such as `migrations` could be those of others."""
    with ZipFile(wheel) as package:
        names = {name.partition("/")[0] for name in package.namelist()}
    assert names == {"api", f"digital_cities_api-{__version__}.dist-info"}


def test_all_data_travels(wheel: Path) -> None:
    """The package has every tracked file of `api`, `migrations` and `seeds`."""
    tracked = subprocess.run(["git", "ls-files", "api", "migrations", "seeds"], **PIPED, check=True).stdout.splitlines()
    with ZipFile(wheel) as package:
        names = set(package.namelist())
    assert {path if path.startswith("api/") else f"api/packaged/{path}" for path in tracked} - names == set()


def test_it_serves_from_another_folder(command: Path, tmp_path: Path) -> None:
    """The installed command makes its database in the current folder, serves it, and writes nothing next to its code."""
    before = files_of(command)
    assert run(tmp_path, command, "upgrade") == ""
    serves(tmp_path, command, "serve")
    assert files_of(command) == before
    assert {path.name for path in tmp_path.iterdir()} == {
        f"digital-cities.sqlite3{end}" for end in ("", "-shm", "-wal", ".published")
    }
    assert run(tmp_path, command, "ledger", "verify") == "The ledger and the tables agree.\n"
    assert run(tmp_path, command, "webhooks", "run", "--once") == "Messages attempted: 0.\n"
    assert "out/cities.yaml: 6\n" in run(tmp_path, command, "data", "export", "out")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help(command: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Each command that `flask --app wsgi` has is there, and explains itself without a database."""
    assert run(tmp_path, command, *words, "--help").startswith(f"Usage: digital-cities {' '.join(words)} ")
    assert list(tmp_path.iterdir()) == []


def test_the_documented_install(wheel: Path, tmp_path: Path) -> None:
    """The commands of the page, next to the package, need nothing but pip: they end with a server of an empty environment."""
    shutil.copy(wheel, tmp_path)
    lines = [
        command.line.replace("/opt/digital-cities", f"{tmp_path}/venv").replace("python3 ", f"{sys.executable} ")
        for command in run_by("deploy")
    ]
    assert len(lines) == 4
    run(tmp_path, Path("sh"), "-c", "\n".join(["set -e", *lines[:-1]]))
    serves(tmp_path, Path("sh"), "-c", f"exec {lines[-1]}")
