"""Load from `wrk`, which the system's package of that name installs."""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
# Each thread of wrk runs its own copy of the script, so the address of a table tells their ids apart.
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{authorization}
local body, count, mark = [[{body}]], 0, tostring({{}}):gsub("%W", "")
function request()
    count = count + 1
    local id = "w-{stamp}-" .. mark .. "-" .. count
    return wrk.format(nil, nil, nil, (body:gsub("THE%-ID", id)))
end
"""
ID = "THE-ID"


@dataclass(frozen=True)
class Measurement:
    """What one run of a server measured: responses a second, and the 99th percentile of their times in milliseconds."""

    rate: float
    p99: float


def require() -> None:
    """Raise SystemExit if `wrk` is missing."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is missing: install the system's package of that name (apt-get install wrk)")


def load(
    url: str,
    seconds: float,
    *,
    connections: int = 16,
    headers: Mapping[str, str] | None = None,
    script: Path | None = None,
) -> Measurement:
    """Send as many requests as the server answers for some seconds, over `connections` at once.

    Raises SystemExit if a response is an error, because an error says nothing about speed.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "--latency"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    command += [*(["-s", str(script)] if script else []), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own command
    # wrk counts a 304 as an error.
    if "Non-2xx" in output and "If-None-Match" not in (headers or {}):
        raise SystemExit(f"{url}: {output}")
    rate, slow = re.search(r"Requests/sec:\s+([\d.]+)", output), re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    if not rate or not slow:
        raise SystemExit(f"wrk printed for {url}: {output}")
    return Measurement(float(rate[1]), float(slow[1]) * MILLISECONDS[slow[2]])


def write_script(path: Path, body: str, key: str | None) -> Path:
    """Write the Lua script that posts a body, with a new id in place of `ID` each time, and with an API key if there is one."""
    authorization = f'wrk.headers["Authorization"] = "Bearer {key}"' if key else ""
    path.write_text(POST.format(authorization=authorization, body=body, stamp=time.time_ns()), encoding="utf-8")
    return path
