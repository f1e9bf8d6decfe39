"""Install the peers' packages, apart from the product's: a virtual environment, and `node_modules` if Node is installed.

``python -m bench.peers.setup`` prints what is missing and why.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers import HERE, NODE, PEERS, VENV, Peer

OUTPUT = 500


class MissingError(RuntimeError):
    """A peer needs something that could not be installed."""


def run(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run an installer. Raises MissingError with the end of its output."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MissingError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout)[-OUTPUT:].strip()}")


def is_current(lock: Path, stamp: Path) -> bool:
    """Tell whether the packages of a lock file are installed."""
    return stamp.exists() and stamp.read_text() == hashlib.sha256(lock.read_bytes()).hexdigest()


def venv() -> None:
    """Install the packages of the peers that are written in Python."""
    lock, stamp = HERE / "requirements.lock", VENV / ".installed"
    if is_current(lock, stamp):
        return
    print("installing the peers' packages into bench/peers/.venv ...", flush=True)
    run([sys.executable, "-m", "venv", "--clear", VENV.parent], HERE)
    run(
        [VENV / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock],
        HERE,
    )
    stamp.write_text(hashlib.sha256(lock.read_bytes()).hexdigest())


def node(folder: str) -> None:
    """Install a peer that runs on Node."""
    here = HERE / folder
    lock, stamp = here / "package-lock.json", here / "node_modules" / ".installed"
    if not (shutil.which("node") and shutil.which("npm")):
        raise MissingError("node and npm are not installed")
    if is_current(lock, stamp):
        return
    print(f"installing bench/peers/{folder} ...", flush=True)
    run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], here)
    if folder == "directus":
        # Its native modules are for its own Node; those without a prebuilt file are compiled with the headers that Node brings.
        environ = {"PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}", "npm_config_nodedir": str(NODE.parent)}
        run(["npm", "rebuild", "argon2", "isolated-vm", "sqlite3"], here, environ)
    stamp.write_text(hashlib.sha256(lock.read_bytes()).hexdigest())


def ensure_peers(peers: Sequence[Peer] = PEERS) -> dict[str, str]:
    """Install the packages of peers; return, by name, why some cannot run here."""
    faults: dict[str, str] = {}
    missing: dict[str, str] = {}
    for tool in dict.fromkeys(peer.tool for peer in peers):
        try:
            venv() if tool == "venv" else node(tool)
        except (MissingError, OSError) as error:
            faults[tool] = str(error)
    for peer in peers:
        if peer.tool in faults:
            missing[peer.name] = faults[peer.tool]
    return missing


if __name__ == "__main__":
    for name, reason in ensure_peers().items():
        print(f"{name} is left out: {reason}")
