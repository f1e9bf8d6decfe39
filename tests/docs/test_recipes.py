"""The tasks of docs/query.md, done by its programs in each language."""

import json
import subprocess
import sys
from functools import reduce
from operator import getitem
from typing import Any
from urllib.request import urlopen

import pytest

from api.settings import Settings
from tests.support.attacks import server
from tests.support.databases import ON_SQLITE
from tests.support.lengths import late
from tests.support.node import NODE
from tests.support.pages import PAGES
from tests.support.recipes import ADDRESS, RECIPES, Recipe, in_javascript, in_python, in_shell

JAVASCRIPT = 'console.log = (result) => process.stdout.write(JSON.stringify(result) + "\\n");'
PYTHON = "import builtins, json\ndef print(result): builtins.print(json.dumps(result))"
# Programs by their languages: how each is run, and what makes it write each result on a line of its own.
PROGRAMS = {
    "javascript": ([NODE, "--input-type=module", "--eval"], JAVASCRIPT, in_javascript),
    "python": ([sys.executable, "-c"], PYTHON, in_python),
    "shell": (["bash", "-c"], 'curl() { command curl --silent --fail "$@" | tr "\\n" "\\v" && echo; }', in_shell),
}


@ON_SQLITE
@pytest.mark.parametrize("language", ["javascript", "python", late("shell")])
def test_recipes(settings: Settings, language: str) -> None:
    """Each task has a result, and the page's program in each language gets it."""
    command, beginning, lines = PROGRAMS[language]
    program = "\n".join(lines())
    assert f"\n{program}\n```" in PAGES["docs/query.md"]
    with server(settings) as port:
        address = f"http://127.0.0.1:{port}"
        written = f"{beginning}\n{program.replace(ADDRESS, address)}"
        done = subprocess.run([*command, written], capture_output=True, check=True)
        bodies = [urlopen(address + recipe.path).read().decode() for recipe in RECIPES]
    expected = [result(recipe, body) for recipe, body in zip(RECIPES, bodies, strict=True)]
    assert all(expected)
    printed = done.stdout.decode().split("\n")[:-1]
    if language == "shell":
        results = [result(recipe, body.replace("\v", "\n")) for recipe, body in zip(RECIPES, printed, strict=True)]
    else:
        results = [json.loads(line) for line in printed]
    assert results == expected


def result(recipe: Recipe, body: str) -> Any:
    """Return the result of a task from the answer to its request."""
    return reduce(getitem, recipe.members, json.loads(body)) if recipe.members else body
