"""The pages of the documentation, README.md and docs/*.md, and the commands that they show."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from api.settings import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
WALKTHROUGH = "From a blank survey to a published award"


@dataclass(frozen=True)
class Command:
    """A command of a page: its section, its line without a comment, the comment, and the documented output."""

    page: str
    section: str
    line: str
    comment: str
    output: str

    @property
    def runner(self) -> str:
        """The kind of test that runs it."""
        if self.page == "docs/digest.md":
            return "programs"
        if self.section == WALKTHROUGH:
            return "walkthrough"
        if self.section == "Deploy":
            return "deploy"
        if self.line.startswith("curl "):
            return "request"
        return "make" if re.search(r"(^|\s)make [a-z-]+$", self.line) else "shell"


def commands() -> Sequence[Command]:
    """Return every command of every page, in order."""
    rows = []
    for page, text in PAGES.items():
        for section, body in re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", text, re.MULTILINE):
            for block in re.findall(r"^```console\n(.*?)^```$", body, re.MULTILINE | re.DOTALL):
                for line, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                    command, _, comment = re.sub(r"\s+# ", "\0", line, count=1).partition("\0")
                    rows.append(Command(page, section, command, comment, output.rstrip("\n")))
    return rows


COMMANDS = commands()


def run_by(runner: str) -> Sequence[Command]:
    """Return the commands that one kind of test runs."""
    return [command for command in COMMANDS if command.runner == runner]
