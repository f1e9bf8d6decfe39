"""Clients made from the OpenAPI document by others' generators compile, and read a list to its end."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from sqlalchemy import text

from api.settings import Settings
from tests.support.databases import opened, publishing, upgrade
from tests.support.node import NODE, NPM
from tests.support.processes import SERVE, listening, unused_port

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).parent / "generated"
OTHERS = Path(__file__).parent / "generators"
# How each generator is run on `openapi.json`, and the options of `tsc` that its own runtime needs.
GENERATORS = {
    "hey-api": (("openapi-ts", "-i", "openapi.json", "-o", "hey-api"), ("--exactOptionalPropertyTypes", "false")),
    "orval-fetch": (("orval", "--config", "orval.config.mjs", "--project", "orval-fetch"), ()),
    "orval-react-query": (("orval", "--config", "orval.config.mjs", "--project", "orval-react-query"), ()),
    "kubb": (
        ("kubb", "generate", "--config", "kubb.config.mjs"),
        ("--module", "ESNext", "--moduleResolution", "bundler"),
    ),
    "swagger-typescript-api": (
        ("swagger-typescript-api", "generate", "-p", "openapi.json", "-o", "swagger-typescript-api", "-n", "client.ts"),
        (),
    ),
}
# What the clients ask for, as one page.
QUERY = {
    "city.state": "CA",
    "priority": "cybersecurity,modernization",
    "include": "city",
    "sort": "-started,title",
    "limit": "500",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a migrated file, which has an initiative of another state too."""
    settings = Settings(database_url=f"sqlite:///{tmp_path_factory.mktemp('served') / 'file.sqlite3'}")
    upgrade(settings)
    with opened(settings) as database, publishing(database) as session:
        session.execute(
            text(
                "insert into initiatives (id, city_id, title, summary, status) "
                "values ('zz-boston', 'boston-ma', 'Zz', 'Made for this test.', 'pilot')"
            )
        )
        session.execute(text("insert into initiative_priorities values ('zz-boston', 'cybersecurity', 0)"))
    port = unused_port()
    with listening(SERVE, "127.0.0.1", port, DATABASE_URL=settings.database_url, PORT=port, WORKERS=1):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def folder(tmp_path: Path, server: str) -> Path:
    """A copy of the clients, with the document as it is served."""
    copy = shutil.copytree(CLIENTS, tmp_path / "clients")
    with urlopen(f"{server}/openapi.json", timeout=60) as response:
        (copy / "openapi.json").write_bytes(response.read())
    return copy


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """A copy of the programs for the other generators of TypeScript, which are installed, with the document as it is served."""
    copy = shutil.copytree(OTHERS, tmp_path_factory.mktemp("others") / "clients")
    with urlopen(f"{server}/openapi.json", timeout=60) as response:
        (copy / "openapi.json").write_bytes(response.read())
    run(copy, NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    return copy


def run(folder: Path, *arguments: str | Path, **variables: str) -> str:
    """Run a program of the toolchain in a folder, and return what it says; it must succeed."""
    # The generator of the package tidies it with a program that stands beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def understood(text: str | bytes) -> Any:
    """Read JSON with times as times: a client may write one in another form."""
    return json.loads(
        text,
        object_hook=lambda members: {
            name: datetime.fromisoformat(value) if name == "updated_at" else value for name, value in members.items()
        },
    )


def page(server: str, query: dict[str, str]) -> Any:
    """Ask for initiatives."""
    with urlopen(f"{server}/initiatives?{urlencode(query)}", timeout=60) as response:
        return understood(response.read())


def check(server: str, printed: str) -> None:
    """Assert that a client has read, page by page, what the API answers at once, and understood a refusal."""
    expected = page(server, QUERY)
    pages = -(-len(expected["data"]) // 4)
    assert pages > 2
    rest = {"pages": pages, "refused": [400, "limit"]}
    assert understood(printed) == {"data": expected["data"], "included": expected["included"], **rest}
    # The control: there is a record that only the filter by state leaves out.
    more = page(server, {name: value for name, value in QUERY.items() if name != "city.state"})
    ids, fewer = ({record["id"] for record in answer["data"]} for answer in (more, expected))
    assert ids - fewer == {"zz-boston"}


def test_typescript(server: str, folder: Path) -> None:
    """With the types of openapi-typescript, a filtered, included, sorted and paged read compiles strictly, and reads all."""
    run(folder, NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    tools = folder / "node_modules" / ".bin"
    run(folder, NODE, tools / "openapi-typescript", "openapi.json", "--output", "api.d.ts")
    run(folder, NODE, tools / "tsc", "--project", ".")
    check(server, run(folder, NODE, "read.js", server))


@pytest.mark.parametrize("generator", GENERATORS)
def test_others(server: str, others: Path, generator: str) -> None:
    """The client of each generator compiles strictly, reads all, and understands a refusal, without a cast."""
    arguments, options = GENERATORS[generator]
    tools = others / "node_modules" / ".bin"
    run(others, NODE, tools / arguments[0], *arguments[1:], SERVER=server)
    run(others, NODE, tools / "tsc", "--project", write_project(others, generator), *options)
    check(server, run(others, NODE, f"built/read-{generator}.js", server))


def write_project(folder: Path, generator: str) -> str:
    """Write the project of one generator, which compiles each file that it made; returns the name of the project's file."""
    project = {"extends": "./tsconfig.json", "include": [f"{generator}/**/*.ts", f"read-{generator}.ts"]}
    (folder / f"{generator}.json").write_text(json.dumps(project), encoding="utf-8")
    return f"{generator}.json"


def test_python(server: str, folder: Path) -> None:
    """openapi-python-client leaves nothing of the document out, and its package passes mypy, and reads the same list."""
    generate = Path(sys.executable).with_name("openapi-python-client")
    options = (
        "--path",
        "openapi.json",
        "--output-path",
        "made",
        "--meta",
        "none",
        "--fail-on-warning",
        "--config",
        "python.yaml",
    )
    run(folder, generate, "generate", *options)
    run(folder, sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "read.py")
    check(server, run(folder, sys.executable, "-W", "error", "read.py", server))
