"""The Makefile: `make check` and Git's hooks run the same commands, and CI runs only targets that `make help` lists."""

import re
import shlex
import subprocess

import pytest
import yaml

from api.settings import ROOT

pytestmark = pytest.mark.contract


def printed(*arguments: str) -> str:
    """Return the output of make."""
    return subprocess.run(["make", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def recipe(target: str) -> list[str]:
    """Return the commands of a target and of its dependencies, as if the environment were set up."""
    return printed("--no-print-directory", "--just-print", "--old-file=.venv/.dev", target).splitlines()


def test_hooks_are_make_check() -> None:
    """The pre-commit configuration has local hooks only, which run the commands of `make check`, all and in this order."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert [re.sub(r"^sh -c '(.*)'$", r"\1", hook["entry"]) for hook in hooks] == recipe("check")
    # These commands run on all files, with installed tools, for every commit.
    assert {(hook["language"], hook["pass_filenames"], hook["always_run"]) for hook in hooks} == {("system", False, True)}


def test_ci_runs_targets() -> None:
    """CI does nothing that a developer cannot do by a target of the Makefile."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [shlex.split(line) for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    listed = set(re.findall(r"^  ([a-z-]+) ", printed("help"), re.MULTILINE))
    assert [words[0] for words in commands] == ["make"] * len(commands)
    assert {name for words in commands for name in words[1:]} <= listed


def test_help_lists_everything() -> None:
    """`make help` lists each target that is no file, with a text."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    assert re.findall(r"^  ([a-z-]+) +\S", printed("help"), re.MULTILINE) == phony[1].split()


def test_every_test_is_run_by_one_target() -> None:
    """Each test is in exactly one of `make test`, `make test-slow` and `make campaign`; coverage is of `make test`."""
    expressions = {target: recipe(target)[-1].partition(" -m ")[2] for target in ("test", "test-slow", "campaign", "coverage")}
    assert expressions.pop("coverage").startswith(f"{expressions['test']} --cov ")
    assert expressions == {"test": '"not slow"', "test-slow": '"slow and not campaign"', "campaign": "campaign"}


@pytest.mark.parametrize("target", ["check", "test", "coverage"])
def test_lint_comes_first(target: str) -> None:
    """Quick checks run before the tests."""
    assert recipe(target)[:-1] == recipe("lint")
