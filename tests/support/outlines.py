"""`make outlines`: the outlines of countries and states that maps show, from the atlases that npm has."""

import subprocess
import tempfile
from pathlib import Path

from api.html.maps import OUTLINES
from tests.support.node import NODE, install

LOCKED = Path(__file__).parent.parent / "html" / "outlines"


def main() -> None:
    """Write the file that the pages read."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "outlines"
        install(LOCKED, folder)
        made = subprocess.run([NODE, "outlines.mjs"], cwd=folder, check=True, stdout=subprocess.PIPE)
    OUTLINES.write_bytes(made.stdout)


if __name__ == "__main__":
    main()
