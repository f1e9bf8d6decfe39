"""The files of `deploy/` for containers, systemd and platforms: valid by their own tools, and true to the commands and settings."""

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from zipfile import ZipFile

import click
import pytest
import yaml

from api import cli
from api.settings import ROOT, Settings
from tests.support.processes import PIPED
from tests.support.unproved import unproved

DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
UNITS = sorted(DEPLOY.glob("*.service"))
CHECKER = () if shutil.which("systemd-analyze") else unproved("systemd-analyze is missing")
# Where the units have the command.
INSTALLED = "/opt/digital-cities/bin/digital-cities"
SETTINGS = {row.name.upper() for row in fields(Settings)}
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")


def is_command(words: list[str]) -> bool:
    """Tell whether words are one of our commands, and nothing more."""
    row: click.Command | None = cli.command(words[0]) if words[0] in cli.COMMANDS else None
    for word in words[1:]:
        row = row.commands.get(word) if isinstance(row, click.Group) else None
    return row is not None and not isinstance(row, click.Group)


def ended(*arguments: str | Path) -> tuple[int, str]:
    """Run a program; returns its status and its output."""
    done = subprocess.run(arguments, **PIPED, check=False)
    return done.returncode, done.stdout


def test_example_environment() -> None:
    """The example has a line for each setting, in a comment; without the marks of comments it is the defaults."""
    lines = re.findall(r"^#([A-Z_]+)=(.*)$", (DEPLOY / "example.env").read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _ in lines] == [row.name.upper() for row in fields(Settings)]
    assert Settings.from_env(dict(lines)) == Settings()


@pytest.mark.parametrize("unit", [pytest.param(unit, id=unit.stem, marks=CHECKER) for unit in UNITS])
def test_units(unit: Path, tmp_path: Path) -> None:
    """A unit has no fault that systemd finds, and may do little by its rating; the control: a bare unit may do too much."""
    text = unit.read_text(encoding="utf-8")
    copy, bare = tmp_path / unit.name, tmp_path / "bare.service"
    # The command is not installed here.
    copy.write_text(text.replace(INSTALLED, "/bin/true"), encoding="utf-8")
    bare.write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    assert ended("systemd-analyze", "verify", copy) == (0, "")
    rating = ("systemd-analyze", "security", "--offline=true", "--threshold=20")
    assert (ended(*rating, copy)[0], ended(*rating, bare)[0]) == (0, 1)


def test_commands_exist() -> None:
    """The units, the Procfile, the container file and the services of compose run commands that there are."""
    units = [
        line
        for unit in UNITS
        for line in re.findall(rf"^ExecStart\w*={INSTALLED} (.*)$", unit.read_text("utf-8"), re.MULTILINE)
    ]
    processes = re.findall(r"^\w+:.* digital-cities (.*)$", (DEPLOY / "Procfile").read_text("utf-8"), re.MULTILINE)
    started = re.findall(r'^CMD \["(.*)"\]$', CONTAINERFILE, re.MULTILINE)
    ours = [row.get("command", ["serve"]) for row in COMPOSE["services"].values() if row["image"] == "digital-cities"]
    assert (len(units), len(processes), len(started), len(ours)) == (3, 3, 1, 3)
    assert [words for words in [*map(str.split, [*units, *processes, *started]), *ours] if not is_command(words)] == []


@pytest.mark.slow
def test_compose(tmp_path: Path) -> None:
    """The file has the schema of compose, names settings and files that there are, and has no password; the control: a wrong key."""
    check = (BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(
        (DEPLOY / "compose.yaml").read_text("utf-8").replace("read_only: true", "readonly: true"), encoding="utf-8"
    )
    assert [ended(*check, file)[0] for file in (DEPLOY / "compose.yaml", wrong)] == [0, 1]
    for name, service in COMPOSE["services"].items():
        variables = service.get("environment", {})
        assert name == "database" or set(variables) <= SETTINGS
        assert not any("PASSWORD" in key and not re.fullmatch(r"\$\{\w+:\?\}", value) for key, value in variables.items())
        mounted = [volume.split(":")[0] for volume in service.get("volumes", []) if volume.startswith(".")]
        assert [path for path in mounted if not (DEPLOY / path).is_file()] == []


def test_container_file() -> None:
    """A linter finds no fault in the container file, and the last stage drops root."""
    assert ended(BIN / "hadolint", DEPLOY / "Containerfile") == (0, "")
    last = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["10001"]
    assert "\nHEALTHCHECK " in last


@pytest.mark.slow
def test_the_container_gets_the_whole_package(tmp_path: Path) -> None:
    """The folders that the container file copies, and the ignored rest does not hide, make the same package as the checkout."""
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--)(.*)$", CONTAINERFILE, re.MULTILINE)]
    sources = {source for words in copied for source in words}
    shown = set(re.findall(r"^!(.*)$", (DEPLOY / "Containerfile.dockerignore").read_text("utf-8"), re.MULTILINE))
    assert sources == shown
    context = tmp_path / "context"
    context.mkdir()
    for source in sources:
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, context / source)
    contents = []
    for folder in (ROOT, context):
        out = tmp_path / f"wheel-of-{folder.name}"
        build = (
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            out,
            folder,
        )
        assert ended(*build)[0] == 0
        with ZipFile(next(out.iterdir())) as package:
            contents.append({row.filename: row.CRC for row in package.infolist() if not row.filename.endswith("RECORD")})
    assert contents[0] == contents[1]


# --- several machines, which `make campaign` starts

CLUSTER = DEPLOY / "cluster"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin")


def test_settings_of_a_node() -> None:
    """A node's file has settings that there are, and its addresses are HAProxy's: the standbys and the primary."""
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", (CLUSTER / "node.env").read_text(encoding="utf-8"), re.MULTILINE))
    settings = Settings.from_env(values)
    assert values.keys() <= SETTINGS
    proxy = (CLUSTER / "haproxy.cfg").read_text(encoding="utf-8")
    for name, address in (("readers", settings.database_url), ("primary", settings.primary_url)):
        assert f"listen {name}\n    bind {address.partition('@')[2].partition('/')[0]}\n" in proxy


def test_times_of_patroni() -> None:
    """Patroni would correct times that do not fit into each other; 20 seconds is the least `ttl`."""
    times = yaml.safe_load((CLUSTER / "patroni.yml").read_text(encoding="utf-8"))["bootstrap"]["dcs"]
    assert times["loop_wait"] + 2 * times["retry_timeout"] <= times["ttl"] == 20


@pytest.mark.parametrize(
    "program", [pytest.param(HAPROXY, id="haproxy", marks=() if HAPROXY else unproved("haproxy is missing"))]
)
def test_haproxy_of_a_cluster(program: str) -> None:
    """HAProxy finds no fault in the file for a cluster."""
    assert ended(program, "-c", "-f", CLUSTER / "haproxy.cfg")[0] == 0
