"""The commands of README.md and docs/, run as a new user runs them: in a fresh clone, on the server of `make run`."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import pytest

from api.settings import ROOT
from tests.support.editions import SEEDED
from tests.support.pages import Command, run_by
from tests.support.processes import accepts, unused_port, wait_until

pytestmark = pytest.mark.slow

FLASK = ".venv/bin/flask --app wsgi "
KEYS, DATA, LEDGER, HOOKS = (f"{FLASK}{group} " for group in ("keys", "data", "ledger", "webhooks"))
CHECK = ".venv/bin/flask --app wsgi citations check industry-insider-digital-cities-2024-part-1 FILE"
LOCATE = CHECK.replace("check", "locate")
REVALIDATION = next(command.line for command in run_by("shell") if "If-None-Match" in command.line)
MIRROR = (
    "PYTHONPATH=clients/python python3 -c "
    """'from digital_cities import *; print(mirror("http://127.0.0.1:8000", SQLiteStore("copy.sqlite3")))'"""
)


def environment(port: int) -> dict[str, str]:
    """Return the environment of a new user's shell, without this run's virtual environment and coverage."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "VIRTUAL", "PYTHON", "MAKE"))
    }
    return kept | {"PORT": str(port)}


@pytest.fixture(scope="module")
def port() -> int:
    """A port that is free."""
    return unused_port()


@contextmanager
def served(folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """Run `make run` in a folder until it serves."""
    server = subprocess.Popen(
        ["make", "run"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        lines = list(takewhile(lambda line: "Started worker-2" not in line, server.stdout))
        assert any(line.startswith(f"Serving on http://127.0.0.1:{environ['PORT']}") for line in lines), lines
        # A worker says that it has started before it listens.
        wait_until(lambda: accepts("127.0.0.1", int(environ["PORT"])), server)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
        assert server.stdout is not None
        server.stdout.close()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Path]:
    """A fresh clone in which `make run` is serving."""
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    with served(folder, environment(port)):
        yield folder


CHANGING = re.compile(r'"(updated_at|request_id)": ?"[^"]*"')


@pytest.mark.parametrize("command", run_by("request"), ids=lambda command: command.line)
def test_requests(clone: Path, port: int, command: Command) -> None:
    """Each request of a page, sent to the server of a fresh clone, has the answer that the page shows."""
    written = command.line.replace(":8000", f":{port}") + " -sS -w '\\n%{http_code}'"
    done = subprocess.run(written, shell=True, cwd=clone, env=environment(port), capture_output=True, text=True, check=True)
    body, _, status = done.stdout.rpartition("\n")
    expected, body = command.output, body.replace(f":{port}", ":8000")
    if expected.startswith("HTTP "):
        line, _, expected = expected.partition("\n")
        assert status == line.split()[1]
    else:
        assert status == "200"
    if expected.startswith("{"):
        answer, promised = (json.loads(CHANGING.sub(r'"\1":"-"', text)) for text in (body, expected))
        some = re.fullmatch(r"of the answer: (.*)", command.comment)
        assert promised == ({name: answer[name] for name in some[1].split(", ")} if some else answer)
    else:
        assert body.splitlines()[: len(expected.splitlines())] == expected.splitlines()


ABSENT = {
    "merge cities fresno fresno-ca --dry-run": "faults: 1; nothing was written",
    'rename cities fresno fresno-ca --message "As the others."': "faults: 1; nothing was written",
    'revert --import part-two --message "The wrong file."': "There is no import part-two.",
    "revert 826 --dry-run": "No changeset begins with version 826.",
}
MAPPED = (
    "import tests/files/mapped.csv --noun initiatives --columns Ort=city --columns Was=title --columns Stand=status --dry-run"
)


def test_commands(clone: Path, port: int, tmp_path: Path) -> None:
    """Each other command of a page runs as it is written, apart from the names in capitals."""
    invented = tmp_path / "text.txt"
    invented.write_text("Not the article.\n", encoding="utf-8")
    outcomes = {}
    for command in [command.line for command in run_by("shell")]:
        written = (
            command.replace(" FILE", f" {invented}").replace(" FOLDER", f" {tmp_path / 'out'}").replace(":8000", f":{port}")
        )
        done = subprocess.run(
            written,
            shell=True,
            cwd=clone,
            env=environment(port),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        outcomes[command] = (done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1])
    assert outcomes == {
        LEDGER + "verify": (0, "The ledger and the tables agree."),
        LEDGER + "sweep": (0, outcomes[LEDGER + "sweep"][1]),
        LEDGER + "reindex": (0, "Records indexed: 81."),
        LEDGER + "trim --older-than 365d": (0, "Documents removed: 0."),
        LEDGER + "erase cities boston-ma": (0, "Documents erased: 0. The current document stays."),
        FLASK + "backup cities.backup": (0, outcomes[FLASK + "backup cities.backup"][1]),
        FLASK + "restore cities.backup --yes": (
            0,
            (
                f"Restored: the dataset is at version {SEEDED}. Epoch 1 has begun: its first version is 1000000000001. "
                "Webhooks that will be told: 0."
            ),
        ),
        LEDGER + "new-epoch": (
            0,
            "Epoch 2 has begun: its first version is 2000000000001. Clients that saw lost versions are told so.",
        ),
        HOOKS + "run --once": (0, "Messages attempted: 0."),
        MIRROR: (0, f"{SEEDED}"),
        KEYS + "create curator --scope write --expires 90d": (
            0,
            outcomes[KEYS + "create curator --scope write --expires 90d"][1],
        ),
        KEYS + "list": (0, outcomes[KEYS + "list"][1]),
        KEYS + "rotate curator": (0, outcomes[KEYS + "rotate curator"][1]),
        KEYS + "revoke curator": (0, "The key curator is revoked."),
        DATA + "export FOLDER --format yaml": (0, f"{tmp_path / 'out'}/citations.yaml: 744"),
        DATA + 'import FOLDER --message "Correct the names." --dry-run': (
            0,
            f"Records: 0 created, 0 updated, {SEEDED} unchanged; this was a dry run: nothing was written.",
        ),
        DATA + 'import FOLDER --message "Correct the names."': (
            0,
            f"Records: 0 created, 0 updated, {SEEDED} unchanged; the dataset is at version {SEEDED}.",
        ),
        DATA + "diff FOLDER": (0, "Records that differ: 0."),
        DATA + "template initiatives FOLDER": (0, f"{tmp_path / 'out'}/initiatives.xlsx"),
        # The seeds have none of these.
        **{DATA + command: (1, outcomes[DATA + command][1]) for command in ABSENT},
        DATA + MAPPED: (0, "Records: 2 created, 0 updated, 0 unchanged; this was a dry run: nothing was written."),
        REVALIDATION: (0, "304"),
        # The article is not in the repository: here the command tells another text from it.
        CHECK: (1, outcomes[CHECK][1]),
        LOCATE: (0, outcomes[LOCATE][1]),
    }
    assert outcomes[CHECK][1].startswith("Error: faults: ")
    assert [outcomes[DATA + command][1].partition(": ")[2].startswith(said) for command, said in ABSENT.items()] == [True] * 4
    assert outcomes[LOCATE][1].startswith("Warning: this is not the text of ")
    assert outcomes[LEDGER + "sweep"][1].startswith("Changes published: 0;")
    secrets = [outcomes[KEYS + command][1] for command in ("create curator --scope write --expires 90d", "rotate curator")]
    assert all(re.fullmatch(r"dca_[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    assert outcomes[KEYS + "list"][1].startswith("curator  active  write  expires 2")


def test_ten_commands(clone: Path, tmp_path: Path) -> None:
    """The curators' walk-through, run in one shell, ends with the published award, its city and its citation."""
    commands = [command.line for command in run_by("walkthrough")]
    assert len(commands) == 10
    other = unused_port()
    script = "\necho\n".join(["set -euo pipefail", *commands]).replace(":8000", f":{other}")
    # These changes must stay invisible to other tests.
    environ = environment(other) | {"DATABASE_URL": f"sqlite:///{tmp_path}/curators.sqlite3"}
    with served(clone, environ):
        done = subprocess.run(["bash", "-c", script], cwd=clone, env=environ, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert [answer.get("detail") for answer in answers if "status" in answer] == []
    # One makes the key, and one remembers a tag.
    assert len(answers) == 8
    shown = answers[-1]
    assert [(award["id"], award["rank"]) for award in shown["data"]] == [("digital-cities-2025-fresno-ca", 2)]
    assert {noun: list(records) for noun, records in shown["included"].items()} == {
        "cities": ["fresno-ca"],
        "citations": ["awards-digital-cities-2025-fresno-ca-rank-p1-s1"],
        "initiatives": ["fresno-ca-permit-portal"],
    }
    verify = [".venv/bin/flask", "--app", "wsgi", "ledger", "verify"]
    subprocess.run(verify, cwd=clone, env=environ, capture_output=True, check=True)


def test_postgresql(clone: Path, postgresql: str) -> None:
    """With DATABASE_URL, the same clone migrates and checks a PostgreSQL."""
    surroundings = environment(1) | {"DATABASE_URL": postgresql}
    for command in (".venv/bin/alembic upgrade head", ".venv/bin/flask --app wsgi ledger verify"):
        done = subprocess.run(command.split(), cwd=clone, env=surroundings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_add_a_noun(clone: Path) -> None:
    """The command that creates a migration finds nothing to do, because there is no new noun."""
    done = subprocess.run(
        [".venv/bin/alembic", "check"], cwd=clone, env=environment(1), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "No new upgrade operations detected.")
