"""docs/architecture.md against the tree: its folders, its paths of requests, and its places for changes."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache

import pytest

from api.settings import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`((?:api|bench|clients|docs|migrations|seeds|tests)/[\w/.-]*)(?:: ([\w.]+))?`")
STEP = re.compile(rf"^( *)- {PLACE.pattern}", re.MULTILINE)
PLACES = list(dict.fromkeys(PLACE.findall(PAGE)))


@cache
def tree_of(path: str) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def definition(path: str, dotted: str) -> ast.AST | None:
    """Return the definition of a dotted name in a file: a function, a class, a method, or an assignment."""
    node: ast.AST | None = tree_of(path)
    for name in dotted.split("."):
        body = getattr(node, "body", [])
        node = next((inner for inner in body if name in names_of(inner)), None)
    return node


def names_of(node: ast.AST) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


@cache
def imports_of(path: str) -> set[str]:
    """Return the files that a file imports, directly or through their package."""
    dotted: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            dotted |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            dotted |= {alias.name for alias in node.names}
    files = {f"{name.replace('.', '/')}{end}" for name in dotted for end in (".py", "/__init__.py")}
    here = {file for file in files if file.startswith("api/") and (ROOT / file).exists()}
    packages = {file for file in here if file.endswith("/__init__.py") and file != path}
    return here.union(*(imports_of(file) for file in packages)) if packages else here


@cache
def used(path: str) -> set[str]:
    """Return every name and attribute that a file uses."""
    nodes = list(ast.walk(tree_of(path)))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return names | imported | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def calls() -> Iterator[tuple[str, str, str]]:
    """Yield each call between steps: the caller's file, and the callee's file and name."""
    callers: dict[int, str] = {}
    for spaces, path, name in STEP.findall(PAGE):
        depth = len(spaces) // 2
        callers[depth] = path
        if depth:
            yield callers[depth - 1], path, name


def test_layers() -> None:
    """The page lists the folders in the order that the import contract enforces."""
    (block,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == ["api"]]
    assert [re.split(r" {2,}", line)[0] for line in block.splitlines()] == layers


def test_every_file_is_listed() -> None:
    """The page names every file of api/, except packages that only have a docstring, and no other file."""
    tracked = subprocess.run(["git", "ls-files", "api"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = {file for file in tracked if not file.endswith("__init__.py") or len(tree_of(file).body) > 1}
    listed = set()
    for folder, table in re.findall(r"^\*\*`(api[\w/]*)/`\*\*.*?\n\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for name, text in re.findall(r"^\| `([\w./]+)` \| (.*) \|$", table, re.MULTILINE):
            is_folder = name.endswith("/")
            listed |= (
                {f"{folder}/{name}{file}" for file in re.findall(r"`([\w-]+\.\w+)`", text)}
                if is_folder
                else {f"{folder}/{name}"}
            )
    assert listed == files


@pytest.mark.parametrize(("path", "name"), PLACES, ids=lambda value: value.replace("/", "."))
def test_places_exist(path: str, name: str) -> None:
    """Each file that the page names exists, with each function, class or table named in it."""
    assert (ROOT / path).exists()
    assert not name or definition(path, name), f"{path} does not define {name}"


@pytest.mark.parametrize(("caller", "file", "name"), list(calls()))
def test_calls(caller: str, file: str, name: str) -> None:
    """Each step's file imports the file of the step that it calls, and uses its name."""
    assert file == caller or file in imports_of(caller)
    assert name.rpartition(".")[2] in used(caller)


def test_paths_are_there() -> None:
    """The page has the path of a list, a record, a write, a revert, a change and an import, each of several steps."""
    sections = re.findall(r"^### (?:A|An) (\w+)[^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == ["list", "record", "write", "revert", "change", "import"]
    assert [name for name, text in sections if len(STEP.findall(text)) < 4] == []


def test_control() -> None:
    """The checks above fail for a function that a file does not define, import or use."""
    assert definition("api/query/parser.py", "carry_out") is None
    assert "api/web/commits.py" not in imports_of("api/query/parser.py")
    assert "carry_out" not in used("api/query/parser.py")
