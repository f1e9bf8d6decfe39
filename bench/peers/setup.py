"""Install the peers' own packages: a virtual environment, and `node_modules` where Node is present. Nothing of the product's.

``python -m bench.peers.setup`` says what is missing and why.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers import HERE, NODE, PEERS, VENV, Peer

SAID = 500


class MissingError(RuntimeError):
    """What a peer needs is not there."""


def run(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run an installer. Raises MissingError with the end of what it said."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MissingError(f"{' '.join(map(str, command))}: {(done.stderr or done.stdout)[-SAID:].strip()}")


def stamped(lock: Path, stamp: Path) -> bool:
    """Say whether what a lock file says is installed."""
    return stamp.exists() and stamp.read_text() == hashlib.sha256(lock.read_bytes()).hexdigest()


def venv() -> None:
    """Install what the peers written in Python are made of."""
    lock, stamp = HERE / "requirements.lock", VENV / ".installed"
    if stamped(lock, stamp):
        return
    print("installing the peers' packages into bench/peers/.venv ...", flush=True)
    run([sys.executable, "-m", "venv", "--clear", VENV.parent], HERE)
    run(
        [VENV / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock],
        HERE,
    )
    stamp.write_text(hashlib.sha256(lock.read_bytes()).hexdigest())


def node(folder: str) -> None:
    """Install a peer of Node's."""
    here = HERE / folder
    lock, stamp = here / "package-lock.json", here / "node_modules" / ".installed"
    if not (shutil.which("node") and shutil.which("npm")):
        raise MissingError("there is no node and npm here")
    if stamped(lock, stamp):
        return
    print(f"installing bench/peers/{folder} ...", flush=True)
    run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], here)
    if folder == "directus":
        # Its native parts are for its own Node; without a prebuilt one they are compiled, for which that has the headers.
        environ = {"PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}", "npm_config_nodedir": str(NODE.parent)}
        run(["npm", "rebuild", "argon2", "isolated-vm", "sqlite3"], here, environ)
    stamp.write_text(hashlib.sha256(lock.read_bytes()).hexdigest())


def ensure_peers(peers: Sequence[Peer] = PEERS) -> dict[str, str]:
    """Install what peers need; returns why, by name, for those that can't run here."""
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
    for name, why in ensure_peers().items():
        print(f"{name} is left out: {why}")
